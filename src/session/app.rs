//! The app's socket with its machine: what is read and when, what is written, and whether the app is still there.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::machine::Machine;
use super::peer::{BoxedAppWire, Peer};
use super::repeats::OneMail;
use super::step::{Ending, Notice, Step};
use crate::deadlines::Deadlines;
use crate::message::{Abandoned, Awaited, Piece, Source};
use crate::telemetry;

/// Octets of one read of the socket.
const READ: usize = 16 * 1024;
/// Replies that are written at the latest when they have grown to this.
pub(super) const FLUSH: usize = 8 * 1024;
/// What is read ahead while the app waits for its verdict, to notice that it hung up, or has said QUIT before.
const READ_AHEAD: usize = 4 * 1024;
/// What is read and dropped at the end, at most.
const UNREAD: usize = 64 * 1024;

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
pub(super) struct AppConnection {
    wire: BoxedAppWire,
    pub(super) machine: Machine,
    pub(super) out: BytesMut,
    /// When it was greeted.
    begun: Instant,
    /// The command line that has begun, and when.
    line: Option<(u64, Instant)>,
    envelope_since: Option<Instant>,
    dropping_since: Option<Instant>,
    end: Option<End>,
    /// QUIT came before the end of the content was sent: the app does not wait for its answer, and does not come again. One
    /// that has lost its patience says QUIT later (curl, PHPMailer).
    quit_at_once: bool,
    /// The mail that is coming.
    pub(super) mail: Option<Arc<OneMail>>,
    deadlines: Arc<Deadlines>,
}

impl AppConnection {
    /// A connection that is about to be greeted.
    pub(super) fn new(wire: BoxedAppWire, machine: Machine, deadlines: Arc<Deadlines>) -> Self {
        Self {
            wire,
            machine,
            out: BytesMut::new(),
            begun: Instant::now(),
            line: None,
            envelope_since: None,
            dropping_since: None,
            end: None,
            quit_at_once: false,
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
            // Not zeroed: that would be half of what a mail costs.
            let mut octets = [const { MaybeUninit::uninit() }; READ];
            let mut buffer = ReadBuf::uninit(&mut octets);
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
        self.quit_at_once = self.machine.has_quit();
        if !self.quit_at_once && !self.reads_on().await {
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
    pub(super) async fn read_once(&mut self) {
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
    pub(super) async fn give_verdict(&mut self) -> bool {
        // The reply alone: what the app has sent behind its content is not looked at here.
        if let Step::Reply(reply) = self.machine.step() {
            self.out.extend_from_slice(&reply);
        }
        self.look().await;
        let quit_at_once = std::mem::take(&mut self.quit_at_once);
        // Nobody who waits for an answer says QUIT before it.
        let has_given_up = self.machine.has_quit() && !quit_at_once;
        let is_gone = self.end.is_some() && !quit_at_once && self.wire.peer().await == Peer::Gone;
        // A write to a socket that nobody holds succeeds; on loopback the reset is there at once.
        let taken = !is_gone && self.flush().await && (quit_at_once || !self.wire.has_failed());
        if !taken {
            self.machine.eof();
        }
        taken && !has_given_up
    }

    /// Writes the replies that are owed; false if the app does not take them. Dropped in the middle it has kept what
    /// is not yet written, so that no reply is written twice.
    pub(super) async fn flush(&mut self) -> bool {
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
    pub(super) async fn close(&mut self, ending: Ending) {
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

/// Tells what the dialogue says about the app's set-up.
pub(super) fn tell(notice: Notice) {
    match notice {
        Notice::StartTlsAsked => telemetry::starttls_asked(),
        Notice::EndNotSeen => telemetry::end_not_seen(),
    }
}
