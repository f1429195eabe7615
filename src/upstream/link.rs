//! Octets to and from Office 365, buffered, each wait with its deadline, each reply with the command that it is owed to.
//!
//! A server that is one reply ahead would have the reply to RCPT taken for the verdict on the mail: a false 250. So
//! nothing leaves while no reply is owed and something has come all the same. What is still under way then is not seen;
//! what it says of itself is looked at in [`transaction`](super::transaction), and where it says nothing of itself, the
//! verdict is believed behind a goodbye alone.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::io::{AsyncRead as _, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::task::{coop::unconstrained, yield_now};
use tokio::time::{Instant, timeout};

use super::line::Line;
use crate::deadlines::Deadlines;
use crate::outcome::{Cause, Fault, Stage, TlsFault};
use crate::redact::Redactor;
use crate::smtp::reply::{BrokenReply, Flaw, Reply, ReplyReader};
use crate::telemetry;
use crate::term::{self, Term};
use crate::transport::tls;
use crate::transport::watch::{Seen, Watcher};
use crate::wire::BoxedWire;

/// Octets that are gathered before they are written, and the size of a chunk of streamed content.
pub(super) const MAX_CHUNK: usize = 64 * 1024;

/// Octets in and out, buffered.
pub(super) struct Link {
    pub(super) wire: BoxedWire,
    pub(super) replies: ReplyReader,
    /// What waits to be written.
    pub(super) out: Vec<u8>,
    /// Replies that will be owed when that has left.
    gathered: usize,
    /// Replies that are owed.
    owed: usize,
    /// A part of the content has left: a server may refuse before it has seen the end.
    pub(super) may_be_refused_early: bool,
    pub(super) deadlines: Arc<Deadlines>,
    pub(super) last_reply: Instant,
    /// What the sign-in told the server.
    told: Redactor,
    /// Nothing secret is said any more.
    signed_in: bool,
    /// How long this replica may use it, in a fleet; behind the wire, which is closed first.
    pub(super) term: Option<Arc<Term>>,
}

impl Link {
    pub(super) fn new(wire: BoxedWire, deadlines: Arc<Deadlines>) -> Self {
        let (replies, last_reply) = (ReplyReader::default(), Instant::now());
        Self {
            wire,
            replies,
            out: Vec::new(),
            gathered: 0,
            owed: 0,
            may_be_refused_early: false,
            deadlines,
            last_reply,
            told: Redactor::default(),
            signed_in: false,
            term: None,
        }
    }

    pub(super) async fn secure(
        mut self,
        tls: &Arc<ClientConfig>,
        host: &str,
        watcher: &Watcher,
    ) -> Result<Self, Fault> {
        // Whoever sits in between could put replies here that would be taken for the server's (CVE-2011-0411's kind).
        if let Some(Cause::BrokenReply(_) | Cause::Refused(_)) = self.unasked().await {
            return Err(fault(Stage::StartTls, Cause::BytesAfterStartTls));
        }
        let wire = tls::handshake(tls, host, self.wire, self.deadlines.tls).await?;
        watcher.see(Seen::Secured(wire.get_ref().1.protocol_version()));
        Ok(Self::new(Box::new(wire), self.deadlines))
    }

    pub(super) fn line(&mut self, line: &Line) {
        telemetry::wire('C', line);
        self.command(line.wire());
        line.secrets().for_each(|secret| self.told.add(secret));
    }

    /// A command, or the last octets of content: one reply is owed for it.
    pub(super) fn command(&mut self, octets: &[u8]) {
        self.out.extend_from_slice(octets);
        self.gathered += 1;
    }

    /// What has been gathered will not be written.
    pub(super) fn forget(&mut self) {
        self.out.clear();
        self.gathered = 0;
    }

    /// Whether every command has its reply and nothing more has come, as far as was read.
    pub(super) fn is_in_step(&self) -> bool {
        self.owed == 0 && self.gathered == 0 && !self.replies.has_unread()
    }

    /// From here on only a refusal is searched for the secrets of the sign-in: each mail's 250 would pay for it.
    pub(super) const fn signed_in(&mut self) {
        self.signed_in = true;
    }

    /// Writes what has been gathered, whole, where nothing came that was not asked for.
    pub(super) async fn flush(&mut self, stage: Stage) -> Result<(), Fault> {
        self.in_step(stage).await?;
        self.write(stage).await
    }

    /// Whether what has been gathered may leave: with a reply unread that is owed to no command, every reply from here on
    /// would be taken for the answer to another command.
    pub(super) async fn in_step(&mut self, stage: Stage) -> Result<(), Fault> {
        if self.out.is_empty() || self.owed > 0 {
            return Ok(());
        }
        self.unasked().await.map_or(Ok(()), |cause| Err(fault(stage, cause)))
    }

    /// What has come, though no reply is owed: nothing, as a rule.
    pub(super) async fn unasked(&mut self) -> Option<Cause> {
        // What the runtime knows of its sockets is as old as its last look at them.
        yield_now().await;
        let (wire, replies) = (&mut self.wire, &mut self.replies);
        let arrived = unconstrained(poll_fn(|context| {
            let mut octets = [const { MaybeUninit::uninit() }; 2048];
            let mut buffer = ReadBuf::uninit(&mut octets);
            Poll::Ready(match Pin::new(&mut *wire).poll_read(context, &mut buffer) {
                Poll::Ready(read) => Some(read.map(|()| {
                    replies.received(buffer.filled());
                    buffer.filled().len()
                })),
                Poll::Pending => None,
            })
        }));
        let ended = match arrived.await {
            Some(Ok(0)) => Some(Cause::Closed),
            Some(Err(error)) => Some(broken(&error)),
            Some(Ok(_)) | None => None,
        };
        if !self.replies.has_unread() {
            return ended;
        }
        Some(match self.replies.next() {
            // RFC 5321 section 3.8: a server that shuts down says so unasked.
            Ok(Some(reply)) if reply.code == 421 || (self.may_be_refused_early && reply.code >= 400) => {
                Cause::Refused(self.redacted(reply))
            }
            Ok(Some(reply)) => {
                let line = self.redacted(reply).to_string();
                Cause::BrokenReply(BrokenReply { flaw: Flaw::Unasked, line })
            }
            Ok(None) => Cause::BrokenReply(BrokenReply { flaw: Flaw::UnaskedBeginning, line: String::new() }),
            Err(what) => Cause::BrokenReply(self.harmless(what)),
        })
    }

    /// Writes what has been gathered, whole.
    pub(super) async fn write(&mut self, stage: Stage) -> Result<(), Fault> {
        // Also where the last octets of content have left before their end was known: one reply that is not counted as owed
        // now would be counted with the next mail's, and what comes unasked behind that is not looked at.
        self.owed += std::mem::take(&mut self.gathered);
        if self.out.is_empty() {
            return Ok(());
        }
        let within = self.deadlines.chunk;
        // Looked at before each write, not only awaited: a process that was stopped wakes up in the middle of a mail, and
        // its connection is another's by then.
        let is_over = self.term.as_deref().is_some_and(Term::is_over);
        let write = async {
            self.wire.write_all(&self.out).await?;
            self.wire.flush().await
        };
        let written = tokio::select! {
            biased;
            () = term::over(self.term.as_deref()), if !is_over => None,
            written = timeout(within, write), if !is_over => Some(written),
            else => None,
        };
        self.out.clear();
        self.out.shrink_to(MAX_CHUNK);
        match written {
            Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(error))) => Err(fault(stage, broken(&error))),
            Some(Err(_)) => Err(fault(stage, Cause::TimedOut(within))),
            None => Err(fault(stage, Cause::TermOver)),
        }
    }

    /// Without what we have told the server in secret: before the sign-in is through, in refusals, and where the dialogue is
    /// logged. Not in each 2xx: to look for a token in all its forms is a quarter of what a mail costs.
    fn redacted(&self, mut reply: Reply) -> Reply {
        let is_shown = reply.code >= 400 || telemetry::dialogue_is_logged();
        if !self.signed_in || is_shown {
            reply.lines.iter_mut().for_each(|line| *line = self.told.redact(line));
        }
        reply
    }

    /// Before it is cut to be shown: of a secret that is cut in two neither half is found.
    fn harmless(&self, mut broken: BrokenReply) -> BrokenReply {
        broken.line = self.told.redact(&broken.line);
        broken
    }

    /// Writes what has been gathered, then reads one reply.
    pub(super) async fn reply(&mut self, stage: Stage) -> Result<Reply, Fault> {
        self.flush(stage).await?;
        let within = match stage {
            Stage::Greeting => self.deadlines.greeting,
            Stage::Verdict => self.deadlines.verdict,
            _ => self.deadlines.command,
        };
        self.read_reply(stage, within).await
    }

    pub(super) async fn read_reply(&mut self, stage: Stage, within: Duration) -> Result<Reply, Fault> {
        let reading = async {
            let mut octets = [0; 2048];
            loop {
                match self.replies.next() {
                    Ok(Some(reply)) => return Ok(reply),
                    Ok(None) => {}
                    Err(broken) => return Err(Cause::BrokenReply(broken)),
                }
                match self.wire.read(&mut octets).await {
                    Ok(0) => return Err(Cause::Closed),
                    Ok(count) => self.replies.received(&octets[..count]),
                    Err(error) => return Err(broken(&error)),
                }
            }
        };
        let reply = tokio::select! {
            biased;
            reply = timeout(within, reading) => reply.unwrap_or(Err(Cause::TimedOut(within))),
            () = term::over(self.term.as_deref()) => Err(Cause::TermOver),
        };
        let reply = reply.map_err(|cause| match cause {
            Cause::BrokenReply(what) => fault(stage, Cause::BrokenReply(self.harmless(what))),
            cause => fault(stage, cause),
        })?;
        // The greeting is owed to no command.
        self.owed = self.owed.saturating_sub(1);
        let reply = self.redacted(reply);
        telemetry::wire('S', &reply);
        self.last_reply = Instant::now();
        Ok(reply)
    }

    /// After a failed write: a server that closes often says why first, behind the replies that were still owed.
    pub(super) async fn last_words(&mut self, stage: Stage, written: Fault) -> Fault {
        let until = Instant::now() + self.deadlines.quit;
        loop {
            match self.read_reply(stage, until - Instant::now()).await {
                Ok(reply) if reply.code < 400 && Instant::now() < until => {}
                Ok(reply) if reply.code >= 400 => return fault(stage, Cause::Refused(reply)),
                _ => return written,
            }
        }
    }
}

pub(super) fn fault(stage: Stage, cause: Cause) -> Fault {
    Fault::new(stage, cause)
}

fn broken(error: &std::io::Error) -> Cause {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    match error.kind() {
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof => Cause::Closed,
        // TLS 1.3: what the server says of our certificate comes after the handshake.
        _ => match error.get_ref().and_then(|error| error.downcast_ref()) {
            Some(rustls::Error::AlertReceived(alert)) => Cause::Tls(TlsFault::Alert(tls::alert(*alert))),
            _ => Cause::Io(error.to_string()),
        },
    }
}
