//! One connection of the app: the socket and the deadlines around the pure [`machine`](super::machine).

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, ready};
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::machine::{Ending, Guard, Limits, Machine, Notice, Step};
use super::patience::Patience;
use super::peer::{BoxedAppWire, Peer};
use super::places::Place;
use super::repeats::{OneMail, Repeats, Told};
use crate::credential::AppLogin;
use crate::deadlines::Deadlines;
use crate::delivery::Delivery;
use crate::life::{Life, ending};
use crate::message::policy::Policy;
use crate::message::repair::Note;
use crate::message::{
    Abandoned, Awaited, Budget, DeliveryRecord, Envelope, HeldContent, MessageId, NotPrepared, Piece, Share,
    Source, prepare,
};
use crate::outcome::{Cause, Context, Fault, Outcome, Stage};
use crate::smtp::path::Address;
use crate::smtp::reply::Reply;
use crate::smtp::sasl::Login;
use crate::telemetry;

/// Octets of one read of the socket.
const READ: usize = 16 * 1024;
/// Replies that are written at the latest when they have grown to this.
const FLUSH: usize = 8 * 1024;
/// What is read ahead while the app waits for its verdict, to notice that it hung up, or has said QUIT before.
const READ_AHEAD: usize = 4 * 1024;
/// What is read and dropped at the end, at most.
const UNREAD: usize = 64 * 1024;

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

/// How the app's octets ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// A FIN: the app has gone, or will only read from here on.
    Fin,
    /// A FIN, and the app reads on.
    HalfClosed,
    /// A reset.
    Reset,
}

/// The app's socket with its machine.
pub struct AppConnection {
    wire: BoxedAppWire,
    machine: Machine,
    out: BytesMut,
    /// When it was greeted.
    begun: Instant,
    /// The command line that has begun, and when.
    line: Option<(u64, Instant)>,
    envelope_since: Option<Instant>,
    dropping_since: Option<Instant>,
    end: Option<End>,
    /// The mail that is coming.
    mail: Option<Arc<OneMail>>,
    deadlines: Arc<Deadlines>,
}

impl AppConnection {
    /// A connection that is about to be greeted.
    pub fn new(wire: BoxedAppWire, machine: Machine, deadlines: Arc<Deadlines>) -> Self {
        Self {
            wire,
            machine,
            out: BytesMut::new(),
            begun: Instant::now(),
            line: None,
            envelope_since: None,
            dropping_since: None,
            end: None,
            mail: None,
            deadlines,
        }
    }

    /// The next piece of the content that [`Step::Begin`] announced; the socket is read only here.
    async fn next_content(&mut self) -> Piece {
        loop {
            match self.machine.step() {
                Step::Content(chunk) => {
                    self.mail.iter().for_each(|mail| mail.passes(&chunk));
                    return Piece::Chunk(chunk);
                }
                Step::End => return Piece::End,
                Step::Abandoned(why) => return Piece::Abandoned(why),
                Step::Reply(reply) => self.out.extend_from_slice(&reply),
                Step::Notice(Notice::StartTlsAsked) => telemetry::starttls_asked(),
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
        let again = 5 * self.deadlines.app_look;
        if !self.machine.owes_verdict() {
            // Behind content that is unread its end cannot be seen: of an app that is gone nobody holds the socket.
            while self.wire.peer().await != Peer::Gone {
                sleep(again).await;
            }
            self.machine.gone();
            return Abandoned::HungUp;
        }
        while self.reads_ahead() {
            self.receive().await;
        }
        if self.machine.has_quit() {
            return std::future::pending().await;
        }
        if self.end.is_none() {
            self.wire.closed().await;
            self.end = Some(End::Fin);
        }
        // Nothing tells of the rest: one that half-closed first and goes then sends no second FIN.
        while self.reads_on().await {
            sleep(again).await;
        }
        self.machine.gone();
        Abandoned::HungUp
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

    /// Hands the machine what comes from the socket, or its end; false then. The octets pass through the stack: a buffer
    /// for each of 64 idle sessions would be a megabyte.
    async fn receive(&mut self) -> bool {
        let (wire, machine, seen) = (&mut self.wire, &mut self.machine, &mut self.end);
        poll_fn(|context| {
            let mut octets = [0; READ];
            let mut buffer = ReadBuf::new(&mut octets);
            let read = ready!(Pin::new(&mut *wire).poll_read(context, &mut buffer));
            let end = match read {
                Ok(()) if buffer.filled().is_empty() => Some(End::Fin),
                Ok(()) => None,
                Err(_) => Some(End::Reset),
            };
            match end {
                None => machine.received(buffer.filled()),
                Some(_) => machine.eof(),
            }
            *seen = seen.or(end);
            Poll::Ready(end.is_none())
        })
        .await
    }

    /// Whether the app is still there, once its octets have ended. A lingering close was seen to look like a half-close for
    /// some milliseconds: only what looks so twice is one.
    async fn reads_on(&mut self) -> bool {
        let sure = match self.end {
            None => return true,
            Some(End::Reset) => return false,
            Some(End::HalfClosed) => true,
            Some(End::Fin) => false,
        };
        let mut peer = self.wire.peer().await;
        if !sure && matches!(peer, Peer::HalfClosed | Peer::Open) {
            sleep(self.deadlines.app_look).await;
            peer = self.wire.peer().await;
        }
        // Where nobody can say, it is gone.
        let reads_on = peer == Peer::HalfClosed;
        if reads_on {
            self.end = Some(End::HalfClosed);
        }
        reads_on
    }

    /// Looks once for octets that are there, and for their end.
    async fn look(&mut self) {
        while self.reads_ahead() {
            let mut receive = pin!(self.receive());
            let polled = poll_fn(|context| Poll::Ready(receive.as_mut().poll(context))).await;
            if polled.is_pending() {
                break;
            }
        }
    }

    /// Whether more may be read while the app waits for its verdict.
    fn reads_ahead(&self) -> bool {
        self.end.is_none() && !self.machine.has_quit() && self.machine.unread() < READ_AHEAD
    }

    /// Whether the app still waits for its verdict; with QUIT said it need not.
    async fn still_waits(&mut self) -> Result<(), Abandoned> {
        self.look().await;
        if !self.machine.has_quit() && !self.reads_on().await {
            self.machine.gone();
            return Err(Abandoned::HungUp);
        }
        match &self.mail {
            Some(mail) if mail.was_accepted().await => Err(Abandoned::Accepted),
            _ => Ok(()),
        }
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
        if timeout_at(ends, self.receive()).await.is_err() {
            self.machine.idle();
        }
    }

    /// Writes the verdict that the machine was just given; whether the app has taken it, as far as one can see from here.
    async fn give_verdict(&mut self) -> bool {
        // The reply alone: what the app has sent behind its content is not looked at here.
        if let Step::Reply(reply) = self.machine.step() {
            self.out.extend_from_slice(&reply);
        }
        self.look().await;
        // Who says QUIT does not wait, and does not come again.
        let has_quit = self.machine.has_quit();
        let is_gone = self.end.is_some() && !has_quit && self.wire.peer().await == Peer::Gone;
        // A write to a socket that nobody holds succeeds; on loopback the reset is there at once.
        let taken = !is_gone && self.flush().await && (has_quit || !self.wire.has_failed());
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

    fn stays(&mut self) -> Awaited<'_, Result<(), Abandoned>> {
        Box::pin(self.still_waits())
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
            let mut dropped = [0; 1024];
            while !ended_in_step && unread < UNREAD {
                match self.wire.read(&mut dropped).await {
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
                Step::Notice(Notice::StartTlsAsked) => telemetry::starttls_asked(),
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
                if !prepared.changes.contains(&Note::Redirected) {
                    // The same stand in the message, and 500 with an ORCPT each are some hundred kilobytes.
                    given.recipients = Vec::new();
                }
                if ![Note::MessageId, Note::Date].iter().all(|note| prepared.changes.contains(note)) {
                    coming.is_its_own();
                }
                let (verdict, record) = match self.came_before(&coming, &mut content).await {
                    Err(why) => (Err(why), DeliveryRecord::default()),
                    Ok(()) => self.delivery.deliver(&prepared.message, &mut content).await,
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
                    Outcome::Accepted(_) if !app_heard => {
                        coming.was_not_heard(Told { reply: reply.clone(), id })
                    }
                    _ => coming.was_heard(),
                }
                telemetry::message(mail, &outcome, outcome.name(&context), &reply, app_heard);
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
