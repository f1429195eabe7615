//! One connection of the app: the socket and the deadlines around the pure [`machine`](super::machine).

use std::sync::Arc;
use std::time::SystemTime;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::machine::{Ending, Guard, Limits, Machine, Notice, Step};
use super::places::Place;
use crate::credential::AppLogin;
use crate::deadlines::Deadlines;
use crate::delivery::Delivery;
use crate::life::Life;
use crate::message::policy::Policy;
use crate::message::{
    Abandoned, Awaited, Budget, DeliveryRecord, Envelope, HeldContent, MessageId, NotPrepared, Piece, Source,
    prepare,
};
use crate::outcome::{Cause, Context, Fault, Outcome, Stage};
use crate::smtp::path::Address;
use crate::smtp::reply::Reply;
use crate::smtp::sasl::Login;
use crate::telemetry;
use crate::wire::BoxedWire;

/// Octets of one read of the socket.
const READ: usize = 16 * 1024;
/// Replies that are written at the latest when they have grown to this.
const FLUSH: usize = 8 * 1024;
/// What is read ahead while the app waits for its verdict, to notice that it hung up.
const READ_AHEAD: usize = 64 * 1024;

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
    /// Every wait.
    pub deadlines: Arc<Deadlines>,
    /// Whether new mail is still taken.
    pub life: watch::Receiver<Life>,
}

/// The policy, and what is left of today's recipients.
#[derive(Debug)]
struct SenderGuard {
    policy: Arc<Policy>,
    delivery: Delivery,
}

impl Guard for SenderGuard {
    fn refuse_sender(&self, sender: Option<&Address>) -> Option<Reply> {
        let refused = sender.and_then(|sender| self.policy.refuse_sender(sender));
        refused.or_else(|| self.delivery.refuse_sender(sender))
    }

    fn refuse_recipient(&self, recipient: &Address) -> Option<Reply> {
        self.policy.refuse_recipient(recipient)
    }
}

/// The app's socket with its machine.
pub struct AppConnection {
    wire: BoxedWire,
    machine: Machine,
    out: BytesMut,
    input: Box<[u8]>,
    /// When it was greeted.
    begun: Instant,
    /// The command line that has begun, and when.
    line: Option<(u64, Instant)>,
    envelope_since: Option<Instant>,
    dropping_since: Option<Instant>,
    deadlines: Arc<Deadlines>,
}

impl AppConnection {
    /// A connection that is about to be greeted.
    pub fn new(wire: BoxedWire, machine: Machine, deadlines: Arc<Deadlines>) -> Self {
        Self {
            wire,
            machine,
            out: BytesMut::new(),
            input: vec![0; READ].into_boxed_slice(),
            begun: Instant::now(),
            line: None,
            envelope_since: None,
            dropping_since: None,
            deadlines,
        }
    }

    /// The next piece of the content that [`Step::Begin`] announced; the socket is read only here.
    async fn next_content(&mut self) -> Piece {
        loop {
            match self.machine.step() {
                Step::Content(chunk) => return Piece::Chunk(chunk),
                Step::End => return Piece::End,
                Step::Abandoned(why) => return Piece::Abandoned(why),
                Step::Reply(reply) => self.out.extend_from_slice(&reply),
                Step::Notice(notice) => tell(notice),
                Step::NeedInput => self.read().await,
                // The machine lets neither happen inside a message.
                Step::Begin(_) | Step::TakePlace | Step::SignIn(_) | Step::Close(_) => {
                    return Piece::Abandoned(Abandoned::HungUp);
                }
            }
        }
    }

    /// Ends when the app has hung up without having said QUIT.
    async fn hung_up(&mut self) -> Abandoned {
        while !self.machine.has_quit() && self.machine.unread() < READ_AHEAD {
            match self.wire.read(&mut self.input).await {
                Ok(0) | Err(_) => {
                    self.machine.eof();
                    return Abandoned::HungUp;
                }
                Ok(octets) => self.machine.received(&self.input[..octets]),
            }
        }
        std::future::pending().await
    }

    /// When the app must have sent more: what it has begun has an end too, or an octet now and then would keep its place
    /// for ever.
    fn patience_ends(&mut self) -> Instant {
        let (now, deadlines) = (Instant::now(), &self.deadlines);
        let mut ends = now + deadlines.app_idle;
        let line = self.machine.unfinished_line();
        self.line = line.map(|number| match self.line {
            Some(begun @ (same, _)) if same == number => begun,
            _ => (number, now),
        });
        if let Some((_, since)) = self.line {
            ends = ends.min(since + deadlines.app_line);
        }
        for (is_so, since, within) in [
            (self.machine.is_in_envelope(), &mut self.envelope_since, deadlines.app_envelope),
            // As long as any mail may take: the end of refused content may never come.
            (self.machine.is_dropping(), &mut self.dropping_since, deadlines.stream),
        ] {
            *since = is_so.then(|| since.unwrap_or(now));
            if let Some(since) = *since {
                ends = ends.min(since + within);
            }
        }
        if self.machine.is_newcomer() {
            ends = ends.min(self.begun + deadlines.app_silence);
        }
        ends
    }

    /// Writes what is owed, then reads once.
    async fn read(&mut self) {
        if self.flush().await {
            self.read_once().await;
        } else {
            self.machine.eof();
        }
    }

    /// Reads once. An app that is silent for too long ends its session.
    async fn read_once(&mut self) {
        let ends = self.patience_ends();
        if ends <= Instant::now() {
            // Looked at first: octets that are there already would be read however late they are.
            return self.machine.idle();
        }
        match timeout_at(ends, self.wire.read(&mut self.input)).await {
            Ok(Ok(0) | Err(_)) => self.machine.eof(),
            Ok(Ok(octets)) => self.machine.received(&self.input[..octets]),
            Err(_) => self.machine.idle(),
        }
    }

    /// Writes the verdict that the machine was just given; whether the app has taken it, as far as one can see from here.
    async fn give_verdict(&mut self) -> bool {
        // The reply alone: what the app has sent behind its content is not looked at here.
        if let Step::Reply(reply) = self.machine.step() {
            self.out.extend_from_slice(&reply);
        }
        let taken = self.flush().await;
        if !taken {
            self.machine.eof();
        }
        taken
    }

    /// Writes the replies that are owed; false if the app does not take them. Dropped in the middle it has kept what
    /// is not yet written, so that no reply is written twice.
    async fn flush(&mut self) -> bool {
        if self.out.is_empty() {
            return true;
        }
        let written = timeout(self.deadlines.app_write, self.wire.write_all_buf(&mut self.out)).await;
        // A long list of replies must not stay as memory.
        if self.out.is_empty() && self.out.capacity() > FLUSH {
            self.out = BytesMut::new();
        }
        matches!(written, Ok(Ok(())))
    }
}

impl Source for AppConnection {
    fn next(&mut self) -> Awaited<'_, Piece> {
        Box::pin(self.next_content())
    }

    fn gone(&mut self) -> Awaited<'_, Abandoned> {
        Box::pin(self.hung_up())
    }
}

impl AppConnection {
    /// Says the last words so that they arrive: closed with octets unread, the kernel sends a reset, which can destroy a
    /// reply that the app has not read yet.
    async fn close(&mut self, ending: Ending) {
        if ending == Ending::MadeRoom {
            // It has no place any more, and one that does not read must not stay for long without one.
            let _ = timeout(self.deadlines.quit, self.flush()).await;
        } else {
            self.flush().await;
        }
        // These ended between two commands: nothing is unread, or the app is gone.
        let ended_in_step = matches!(
            ending,
            Ending::Quit | Ending::HungUp | Ending::Idle | Ending::MadeRoom | Ending::ShuttingDown
        );
        let parting = async {
            let _ = self.wire.shutdown().await;
            let mut unread = 0;
            while !ended_in_step && unread < READ_AHEAD {
                match self.wire.read(&mut self.input).await {
                    Ok(0) | Err(_) => break,
                    Ok(octets) => unread += octets,
                }
            }
        };
        let _ = timeout(self.deadlines.quit, parting).await;
    }
}

impl Sessions {
    /// Serves one connection until it ends, whose place nobody else wants.
    pub async fn serve(&self, wire: BoxedWire) -> Ending {
        match Place::alone() {
            Some(place) => self.serve_at(wire, place).await,
            None => Ending::NoPlace,
        }
    }

    /// Serves one connection until it ends.
    pub async fn serve_at(&self, wire: BoxedWire, mut place: Place) -> Ending {
        let limits = self.limits.clone();
        let machine = if place.is_newcomers() { Machine::newcomer(limits) } else { Machine::new(limits) };
        let mut connection = AppConnection::new(wire, machine, Arc::clone(&self.deadlines));
        let _open = telemetry::session_open();
        connection.machine.guard(Arc::new(SenderGuard {
            policy: Arc::clone(&self.policy),
            delivery: self.delivery.clone(),
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
                Step::Begin(envelope) => self.message(&mut connection, envelope).await,
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
    async fn message(&self, connection: &mut AppConnection, given: Envelope) {
        let id = MessageId::next(SystemTime::now());
        let begun = Instant::now();
        let mut content = HeldContent::new(&mut *connection, self.budget.clone());
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
                let (verdict, record) = self.delivery.deliver(&given, &prepared, &mut content).await;
                (verdict, record, Some(prepared))
            }
            Ok(Err(NotPrepared::Unsendable(refusal))) => {
                let cause = Cause::Unsendable(refusal);
                (Ok(Outcome::Failed(Fault::new(Stage::Content, cause))), DeliveryRecord::default(), None)
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
                telemetry::message(mail, &outcome, outcome.name(&context), &reply, app_heard);
            }
            Err(why) => {
                telemetry::abandoned(mail, why);
                connection.machine.forgo_answer();
            }
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

fn tell(notice: Notice) {
    match notice {
        Notice::StartTlsAsked => telemetry::starttls_asked(),
        Notice::EndNotSeen => telemetry::end_not_seen(),
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
