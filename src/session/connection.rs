//! One session: the pure [`machine`](super::machine) asked for its steps, and one message after the other from its first
//! octet to its answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::app::{AppConnection, FLUSH, tell};
use super::machine::Machine;
use super::patience::Patience;
use super::peer::BoxedAppWire;
use super::places::Place;
use super::repeats::{OneMail, Repeats, Told};
use super::step::{Ending, Guard, Limits, Step};
use crate::credential::AppLogin;
use crate::deadlines::Deadlines;
use crate::delivery::Delivery;
use crate::life::{Life, ending};
use crate::message::policy::Policy;
use crate::message::repair::Note;
use crate::message::{
    Abandoned, Budget, DeliveryRecord, Envelope, HeldContent, MessageId, NotPrepared, Share, prepare,
};
use crate::outcome::{Cause, Context, Fault, Outcome, Stage};
use crate::smtp::path::Address;
use crate::smtp::reply::Reply;
use crate::smtp::sasl::Login;
use crate::telemetry;

/// What is remembered from one session to the next.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    repeats: Repeats,
    patience: Arc<Mutex<Patience>>,
}

impl Memory {
    /// An app hung up after its mail had waited for this long.
    fn hung_up(&self, after: Duration) {
        let time_out = self.patience.lock().unwrap_or_else(PoisonError::into_inner).hung_up(after);
        time_out.into_iter().for_each(telemetry::apps_are_impatient);
    }
}

/// What all sessions share.
#[derive(Clone)]
pub struct Sessions {
    /// The machine's limits.
    pub limits: Limits,
    /// What the app must sign in with, if it must.
    pub app_login: Option<AppLogin>,
    /// Who answers for a message.
    pub delivery: Delivery,
    /// What is done about senders, recipients and headers.
    pub policy: Arc<Policy>,
    /// Memory for held content.
    pub budget: Budget,
    /// What is remembered from one session to the next.
    pub memory: Memory,
    /// Every wait.
    pub deadlines: Arc<Deadlines>,
    /// Whether new mail is still taken.
    pub life: watch::Receiver<Life>,
}

/// The policy, what is left of today's recipients, and the session's share of memory.
#[derive(Debug)]
struct SenderGuard {
    policy: Arc<Policy>,
    delivery: Delivery,
    share: Share,
}

impl Guard for SenderGuard {
    fn refuse_sender(&self, sender: Option<&Address>) -> Option<Reply> {
        let refused = sender.and_then(|sender| self.policy.refuse_sender(sender));
        refused.or_else(|| self.delivery.refuse_sender(sender))
    }

    fn refuse_recipient(&self, recipient: &Address) -> Option<Reply> {
        self.policy.refuse_recipient(recipient)
    }

    fn keep_envelope(&self, octets: usize) -> bool {
        self.share.keep_envelope(octets)
    }
}

impl Sessions {
    /// Serves one connection until it ends, whose place nobody else wants.
    pub async fn serve(&self, wire: BoxedAppWire) -> Ending {
        match Place::alone() {
            Some(place) => self.serve_at(wire, place).await,
            None => Ending::NoPlace,
        }
    }

    /// Serves one connection until it ends.
    pub async fn serve_at(&self, wire: BoxedAppWire, mut place: Place) -> Ending {
        let limits = self.limits.clone();
        let machine = if place.is_newcomers() { Machine::newcomer(limits) } else { Machine::new(limits) };
        let mut connection = AppConnection::new(wire, machine, Arc::clone(&self.deadlines));
        let _open = telemetry::session_open();
        let share = self.budget.share();
        connection.machine.guard(Arc::new(SenderGuard {
            policy: Arc::clone(&self.policy),
            delivery: self.delivery.clone(),
            share: share.clone(),
        }));
        let mut life = self.life.clone();
        loop {
            match connection.machine.step() {
                Step::Reply(reply) => {
                    connection.out.extend_from_slice(&reply);
                    if connection.out.len() >= FLUSH && !connection.flush().await {
                        return Ending::HungUp;
                    }
                }
                Step::NeedInput if *life.borrow_and_update() != Life::Running => {
                    connection.machine.shutdown()
                }
                Step::NeedInput if !connection.flush().await => connection.machine.eof(),
                Step::NeedInput => {
                    if connection.machine.is_between_transactions() && !place.is_newcomers() {
                        place.is_silent();
                    }
                    tokio::select! {
                        () = connection.read_once() => {}
                        // Looked at by the arm above; a sender that is gone changes nothing.
                        Ok(()) = life.changed() => {}
                        () = place.told_to_go() => {}
                    }
                    if !place.goes_on() {
                        connection.machine.make_room();
                    }
                }
                Step::TakePlace => {
                    let has_place = place.take().await;
                    connection.machine.seated(has_place);
                }
                Step::SignIn(login) => {
                    let accepted = self.accepts(&login);
                    connection.machine.signed_in(accepted);
                }
                Step::Begin(envelope) => {
                    self.message(&mut connection, envelope, &share).await;
                    share.keep_envelope(0);
                }
                Step::Notice(notice) => tell(notice),
                Step::Close(ending) => {
                    connection.close(ending).await;
                    return ending;
                }
                // A message takes its own content and hears of its end; what is left over has nobody to tell.
                Step::Content(_) | Step::End | Step::Abandoned(_) => {}
            }
        }
    }

    /// One message, from the first octet of its content to the answer.
    async fn message(&self, connection: &mut AppConnection, mut given: Envelope, share: &Share) {
        let id = MessageId::next(SystemTime::now());
        let begun = Instant::now();
        let _in_hand = telemetry::message_in_hand();
        let coming = self.memory.repeats.begin(&given);
        connection.mail = Some(Arc::clone(&coming));
        let mut content = HeldContent::new(&mut *connection, self.budget.clone()).within(share.clone());
        let mut received = None;
        let prepared = timeout(self.deadlines.app_held, async {
            content.fill().await?;
            received = Some(begun.elapsed());
            prepare(id, &given, &mut content, &self.policy, SystemTime::now()).await
        });
        let prepared = prepared.await;
        let received = received.unwrap_or_else(|| begun.elapsed());
        let (verdict, record, prepared) = match prepared {
            Err(_) => {
                let fault = Fault::new(Stage::Content, Cause::AppTooSlow);
                (Ok(Outcome::Failed(fault)), DeliveryRecord::default(), None)
            }
            Ok(Ok(prepared)) => {
                if ![Note::Redirected, Note::LocalTo].iter().any(|note| prepared.changes.contains(note)) {
                    // The same stand in the message, and 500 with an ORCPT each are some hundred kilobytes.
                    given.recipients = Vec::new();
                }
                if ![Note::MessageId, Note::Date].iter().all(|note| prepared.changes.contains(note)) {
                    coming.is_its_own();
                }
                let (verdict, record) = match self.came_before(&coming, &mut content).await {
                    Err(why) => (Err(why), DeliveryRecord::default()),
                    Ok(()) => self.delivery.deliver(&given, &prepared, &mut content).await,
                };
                (verdict, record, Some(prepared))
            }
            Ok(Err(NotPrepared::Unsendable(refusal))) => {
                let cause = Cause::Unsendable(refusal);
                (Ok(Outcome::Failed(Fault::new(Stage::Content, cause))), DeliveryRecord::default(), None)
            }
            Ok(Err(NotPrepared::NoRoom)) => {
                let fault = Fault::new(Stage::Content, Cause::NoRoom);
                (Ok(Outcome::Failed(fault)), DeliveryRecord::default(), None)
            }
            Ok(Err(NotPrepared::Abandoned(why))) => (Err(why), DeliveryRecord::default(), None),
        };
        // Whatever the verdict, the app hears it at the end of its content, or the dialogue would be out of step.
        let verdict = match verdict {
            // Its content may take for ever to end.
            Ok(outcome) if outcome.is_app_too_slow() => Ok(outcome),
            Ok(outcome) => match timeout(self.deadlines.stream, content.drain()).await {
                Ok(drained) => drained.map(|()| outcome),
                Err(_) => Ok(outcome),
            },
            Err(why) => Err(why),
        };
        let is_complete = content.is_complete();
        let (octets, total) = (content.octets(), begun.elapsed());
        drop(content);
        let (message, changes, message_id) = match prepared {
            Some(prepared) => (Some(prepared.message), prepared.changes, prepared.message_id),
            None => (None, Vec::new(), None),
        };
        let record = DeliveryRecord { message_id, octets, received, total, changes, ..record };
        let envelope = message.as_ref().map_or(&given, |message| &message.envelope);
        let mail = telemetry::Mail { id, given: &given, envelope, record: &record };
        match verdict {
            Ok(outcome) => {
                let context =
                    message.as_ref().map_or(Context::default(), |message| self.delivery.context(message));
                let reply = outcome.to_reply(&context);
                if is_complete {
                    connection.machine.answer(&reply);
                } else {
                    connection.machine.cut(&reply);
                }
                let app_heard = connection.give_verdict().await;
                match outcome {
                    Outcome::Accepted(_) | Outcome::Queued(_) if !app_heard => {
                        coming.was_not_heard(Told { reply: reply.clone(), id })
                    }
                    _ => coming.was_heard(),
                }
                telemetry::message(mail, &outcome, &context, &reply, app_heard);
            }
            Err(why) => match coming.told().filter(|_| why == Abandoned::Accepted) {
                Some(told) => {
                    connection.machine.answer(&told.reply);
                    let app_heard = connection.give_verdict().await;
                    telemetry::repeated(mail, told.id, &told.reply, app_heard);
                    if app_heard {
                        coming.was_heard();
                    }
                }
                None => {
                    if why == Abandoned::HungUp && is_complete {
                        self.memory.hung_up(total.saturating_sub(received));
                    }
                    telemetry::abandoned(mail, why);
                    connection.machine.forgo_answer();
                }
            },
        }
        connection.mail = None;
    }

    /// Whether a mail that is here as a whole was accepted before, which it waits for where the same is under way. What
    /// streams is asked at its end.
    async fn came_before(&self, coming: &OneMail, content: &mut HeldContent<'_>) -> Result<(), Abandoned> {
        if !content.is_complete() {
            return Ok(());
        }
        tokio::select! {
            biased;
            was_accepted = coming.was_accepted() => {
                if was_accepted { Err(Abandoned::Accepted) } else { Ok(()) }
            }
            why = content.gone() => Err(why),
            // The delivery has the answer for that.
            () = ending(&self.life) => Ok(()),
        }
    }

    /// Compares in constant time: the time taken must not tell how much of a guess was right.
    fn accepts(&self, login: &Login) -> bool {
        let Some(expected) = &self.app_login else { return true };
        let password = match expected.password.read() {
            Ok(password) => password,
            Err(problem) => {
                telemetry::app_password_unreadable(&problem);
                return false;
            }
        };
        let username_is_right = equal(login.username.expose(), expected.username.as_bytes());
        let password_is_right = equal(login.password.expose(), password.expose().as_bytes());
        username_is_right & password_is_right
    }
}

/// Equality whose time depends on the lengths alone.
fn equal(a: &[u8], b: &[u8]) -> bool {
    let mut difference = u8::from(a.len() != b.len());
    for (index, octet) in a.iter().enumerate() {
        difference |= octet ^ b.get(index).copied().unwrap_or_default();
    }
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_equal_octets_are_equal() {
        assert!(equal(b"secret", b"secret"));
        assert!(equal(b"", b""));
        for (a, b) in [("secret", "secre"), ("secre", "secret"), ("secret", "Secret"), ("", "x"), ("\0", "")]
        {
            assert!(!equal(a.as_bytes(), b.as_bytes()), "{a:?} {b:?}");
        }
    }
}
