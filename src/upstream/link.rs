//! Octets to and from Office 365, buffered, each wait with its deadline.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::line::Line;
use crate::deadlines::Deadlines;
use crate::outcome::{Cause, Fault, Stage};
use crate::smtp::reply::{Reply, ReplyReader};
use crate::telemetry;
use crate::transport::tls;
use crate::transport::watch::{Seen, Watcher};
use crate::wire::BoxedWire;

/// Octets that are gathered before they are written, and the size of a chunk of streamed content.
pub(super) const MAX_CHUNK: usize = 64 * 1024;

/// Octets in and out, buffered.
pub(super) struct Link {
    pub(super) wire: BoxedWire,
    pub(super) replies: ReplyReader,
    pub(super) out: Vec<u8>,
    pub(super) deadlines: Arc<Deadlines>,
    pub(super) last_reply: Instant,
    /// Lines of the sign-in: a reply that says them back is redacted.
    pub(super) secrets: Vec<Line>,
}

impl Link {
    pub(super) fn new(wire: BoxedWire, deadlines: Arc<Deadlines>) -> Self {
        let (replies, last_reply) = (ReplyReader::default(), Instant::now());
        Self { wire, replies, out: Vec::new(), deadlines, last_reply, secrets: Vec::new() }
    }

    pub(super) async fn secure(
        self,
        tls: &Arc<ClientConfig>,
        host: &str,
        watcher: &Watcher,
    ) -> Result<Self, Fault> {
        // Whoever sits in between could put replies here that would be taken for the server's (CVE-2011-0411's kind).
        if self.replies.has_unread() {
            return Err(fault(Stage::StartTls, Cause::BytesAfterStartTls));
        }
        let wire = tls::handshake(tls, host, self.wire, self.deadlines.tls).await?;
        watcher.see(Seen::Secured(wire.get_ref().1.protocol_version()));
        Ok(Self::new(Box::new(wire), self.deadlines))
    }

    pub(super) fn line(&mut self, line: &Line) {
        telemetry::wire('C', line);
        self.out.extend_from_slice(line.wire());
        if line.is_secret() {
            self.secrets.push(line.clone());
        }
    }

    fn redact(&self, text: String) -> String {
        self.secrets.iter().fold(text, |text, line| line.redact(&text))
    }

    /// Writes what has been gathered, whole.
    pub(super) async fn flush(&mut self, stage: Stage) -> Result<(), Fault> {
        if self.out.is_empty() {
            return Ok(());
        }
        let within = self.deadlines.chunk;
        let write = async {
            self.wire.write_all(&self.out).await?;
            self.wire.flush().await
        };
        let written = timeout(within, write).await;
        self.out.clear();
        self.out.shrink_to(MAX_CHUNK);
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(fault(stage, broken(&error))),
            Err(_) => Err(fault(stage, Cause::TimedOut(within))),
        }
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
                    Err(broken) => return Err(Cause::BrokenReply(broken.0)),
                }
                match self.wire.read(&mut octets).await {
                    Ok(0) => return Err(Cause::Closed),
                    Ok(count) => self.replies.received(&octets[..count]),
                    Err(error) => return Err(broken(&error)),
                }
            }
        };
        let reply = timeout(within, reading).await.unwrap_or(Err(Cause::TimedOut(within)));
        let mut reply = reply.map_err(|cause| match cause {
            Cause::BrokenReply(what) => fault(stage, Cause::BrokenReply(self.redact(what))),
            cause => fault(stage, cause),
        })?;
        for line in &mut reply.lines {
            *line = self.redact(std::mem::take(line));
        }
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
            Some(rustls::Error::AlertReceived(_)) => Cause::Tls(error.to_string()),
            _ => Cause::Io(error.to_string()),
        },
    }
}
