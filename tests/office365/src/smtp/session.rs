//! The commands of one connection and what they change.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::rustls::ServerConfig;

use super::command::{self, Declared, Offered, Refusal};
use super::content::Content;
use super::wire::{End, Incoming, Shape, Wire};
use crate::fault::{Fault, Stage};
use crate::tenant::Tenant;
use crate::wording::{self, front};

/// Counts a transaction for its mailbox from MAIL to its end, however it ends.
pub(super) struct Sending {
    tenant: Arc<Tenant>,
    mailbox: String,
    pub(super) within_limit: bool,
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.tenant.sending(&self.mailbox, false);
    }
}

/// A transaction whose MAIL was accepted.
pub(super) struct Open {
    pub(super) mail: String,
    pub(super) declared: Declared,
    pub(super) rcpts: Vec<String>,
    pub(super) any_rcpt: bool,
    pub(super) content: Option<Content>,
    pub(super) chunks: usize,
    pub(super) sending: Sending,
}

pub(super) enum Transaction {
    None,
    /// MAIL was refused; what the client had already sent behind it is no fault of the client's.
    Refused,
    /// A BDAT failed: only RSET helps (RFC 3030 §2).
    NeedsRset,
    Open(Box<Open>),
}

#[derive(PartialEq)]
pub(super) enum StartTls {
    Offered,
    Unknown,
}

/// One connection.
pub(super) struct Session {
    pub(super) wire: Wire,
    pub(super) tenant: Arc<Tenant>,
    pub(super) config: Arc<ServerConfig>,
    pub(super) id: u64,
    /// `08DE2A6028D26C22`: in the greeting and in every front-end error.
    name: String,
    pub(super) peer: String,
    pub(super) hello: Option<String>,
    pub(super) offered: Offered,
    pub(super) start_tls: StartTls,
    pub(super) tls: Option<String>,
    pub(super) client_certificates: Vec<[u8; 32]>,
    pub(super) mailbox: Option<String>,
    pub(super) auth_error: Option<String>,
    pub(super) transaction: Transaction,
    pub(super) messages: usize,
    began: Instant,
    /// The simulator itself broke the protocol (ChunkNotSwallowed): what follows is not the client's doing.
    pub(super) derailed: bool,
}

impl Session {
    pub(super) fn new(tcp: TcpStream, tenant: Arc<Tenant>, config: Arc<ServerConfig>, id: u64) -> Session {
        Session {
            peer: tcp.peer_addr().map(|p| p.ip().to_string()).unwrap_or_default(),
            name: tenant.session_id(),
            wire: Wire::new(tcp, tenant.clone(), id),
            tenant,
            config,
            id,
            hello: None,
            offered: Offered::default(),
            start_tls: StartTls::Offered,
            tls: None,
            client_certificates: Vec::new(),
            mailbox: None,
            auth_error: None,
            transaction: Transaction::None,
            messages: 0,
            began: Instant::now(),
            derailed: false,
        }
    }

    pub(super) fn violation(&self, rule: impl AsRef<str>) {
        if !self.derailed {
            self.tenant.record.violation(format!("connection {}: {}", self.id, rule.as_ref()));
        }
    }

    /// A front-end error: the words, then the bracketed suffix.
    pub(super) fn front(&self, words: &str) -> String {
        format!("{words} {}", wording::suffix(&self.name))
    }

    /// What a fault of this stage does instead of, or to, the ordinary reply. `Some`: this reply instead; empty: already sent.
    pub(super) async fn stage(&mut self, stage: Stage) -> Result<Option<String>, End> {
        let Some(fault) = self.tenant.faults.at(stage) else {
            return Ok(None);
        };
        match fault {
            Fault::ReplyAt(_, text) => return Ok(Some(text)),
            Fault::BigReplyAt(_) => {
                let mailbox = self.mailbox.clone().unwrap_or_default();
                return Ok(Some(wording::send_as_denied(&mailbox, "someone.else@contoso.com")));
            }
            Fault::HalfReplyAt(_) => self.wire.shape = Shape::Half,
            Fault::TrickleAt(_) => self.wire.shape = Shape::Trickle(Duration::from_millis(1)),
            Fault::DripAt(_) => self.wire.shape = Shape::Trickle(Duration::from_millis(100)),
            Fault::ExtraReplyAt(_) => self.wire.shape = Shape::Twice,
            Fault::GarbageAt(_) => {
                self.wire.raw(b"\x00\xff\xfe certainly no reply\x1b[2J\r\n");
                return Ok(Some(String::new()));
            }
            Fault::MixedCodesAt(_) => {
                self.wire.raw(b"250-a\r\n550 b\r\n");
                return Ok(Some(String::new()));
            }
            _ => {
                // Replies to what came before in the same flight are not part of the fault.
                self.wire.flush().await?;
                match fault {
                    Fault::DropAt(_) => return Err(self.wire.fin().await),
                    Fault::HalfCloseAt(_) => return Err(self.wire.half_close().await),
                    Fault::ResetAt(_) => return Err(self.wire.reset()),
                    Fault::StallAt(Stage::Content) => return Err(self.wire.stall_deaf().await),
                    Fault::StallAt(_) => return Err(self.wire.stall().await),
                    Fault::EndlessReplyAt(_) => loop {
                        self.wire.raw(&b"250-and another thing\r\n".repeat(400));
                        self.wire.flush().await?;
                        tokio::task::yield_now().await;
                    },
                    Fault::DelayAt(_, delay) => sleep(delay).await,
                    _ => {}
                }
            }
        }
        Ok(None)
    }

    /// Gives a reply; 421 ends the connection. Whether it was 2xx or 3xx.
    pub(super) async fn say(&mut self, text: &str) -> Result<bool, End> {
        if text.is_empty() {
            return Ok(false);
        }
        self.wire.reply(text);
        if text.starts_with("421") {
            return Err(self.wire.goodbye("server").await);
        }
        if self.wire.shape != Shape::Whole {
            self.wire.flush().await?;
        }
        Ok(text.starts_with(['2', '3']))
    }

    /// The stage's faults, then the reply: the ordinary one or the fault's. Whether the command takes effect.
    pub(super) async fn answer(&mut self, stage: Stage, ordinary: &str) -> Result<bool, End> {
        let instead = self.stage(stage).await?;
        let positive = self.say(instead.as_deref().unwrap_or(ordinary)).await?;
        Ok(positive && ordinary.starts_with(['2', '3']))
    }

    pub(super) fn refused(&self, refusal: Refusal) -> String {
        if let Some(rule) = refusal.rule {
            self.violation(rule);
        }
        self.front(refusal.reply)
    }

    pub(super) async fn run(mut self) -> End {
        match self.converse().await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn converse(&mut self) -> Result<std::convert::Infallible, End> {
        if let Some(instead) = self.stage(Stage::Connect).await? {
            self.say(&instead).await?;
        } else if self.tenant.faults.is(&Fault::HttpInsteadOfSmtp) {
            self.wire.raw(b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<html></html>\r\n");
            return Err(self.wire.goodbye("server").await);
        } else {
            let banner = wording::banner(&self.name);
            self.answer(Stage::Greeting, &banner).await?;
        }
        if !self.wire.input.is_empty() {
            self.violation("talked before the greeting");
        }
        loop {
            let idle = matches!(self.transaction, Transaction::None | Transaction::Refused);
            let line = match self.wire.line(idle, self.messages > 0).await? {
                Incoming::Line { line, bare } => {
                    if bare {
                        self.violation("a command with a bare LF or CR (RFC 5321 §2.3.8)");
                    }
                    line
                }
                Incoming::TooLong => {
                    self.violation("a command line that is too long");
                    self.say(&self.front(front::TOO_LONG)).await?;
                    continue;
                }
            };
            self.wire.will_be_idle();
            self.command(line).await?;
        }
    }

    async fn command(&mut self, line: Vec<u8>) -> Result<(), End> {
        let text = String::from_utf8_lossy(&line).into_owned();
        let (verb, argument) = text.split_once(' ').unwrap_or((&text, ""));
        let verb = verb.to_ascii_uppercase();
        if verb == "AUTH" {
            self.wire.saw(|| super::auth::redacted(&text));
        } else {
            self.wire.saw(|| text.clone());
            // RFC 5321 §4.5.3.1.4, with what SIZE, 8BITMIME, DSN, AUTH and SMTPUTF8 add.
            if line.len() + 2 > 512 + 26 + 17 + 500 + 500 + 10 {
                self.violation("a command line that is too long");
                self.say(&self.front(front::TOO_LONG)).await?;
                return Ok(());
            }
            if std::str::from_utf8(&line).is_err() || line.iter().any(|b| b.is_ascii_control()) {
                self.violation(format!("control characters or broken UTF-8 in {verb}"));
            }
        }
        self.check_pipelining(&verb);
        if let Some(limit) = self.tenant.settings.session_limit
            && self.began.elapsed() >= limit
        {
            let spent = self.began.elapsed();
            let text = format!("{}. Total session duration: {spent:?}", front::TIMED_OUT);
            self.say(&text).await?;
        }
        match verb.as_str() {
            "EHLO" | "HELO" => self.hello(&verb, argument).await,
            "STARTTLS" => self.starttls(argument).await,
            "AUTH" => self.auth(argument).await,
            "MAIL" => self.mail(argument).await,
            "RCPT" => self.rcpt(argument).await,
            "DATA" => self.data(argument).await,
            "BDAT" => self.bdat(argument).await,
            "RSET" => {
                if self.answer(Stage::Rset, "250 2.0.0 Resetting").await? {
                    self.transaction = Transaction::None;
                }
                Ok(())
            }
            "NOOP" => self.answer(Stage::Noop, "250 2.0.0 OK").await.map(drop),
            "QUIT" => {
                if self.tenant.faults.is(&Fault::QuitIgnored) {
                    return Ok(());
                }
                self.answer(Stage::Quit, "221 2.0.0 Service closing transmission channel").await?;
                Err(self.wire.goodbye("QUIT").await)
            }
            _ => {
                self.violation(format!("unknown command '{}'", verb.escape_debug()));
                let words = format!("{} '{}'", front::UNRECOGNIZED, verb.escape_debug());
                self.say(&self.front(&words)).await.map(drop)
            }
        }
    }

    /// RFC 2920 §3.1. BDAT's chunk is its own; `bdat` looks behind it.
    fn check_pipelining(&self, verb: &str) {
        if self.wire.input.is_empty() || verb == "BDAT" {
            return;
        }
        if !self.offered.pipelining {
            self.violation(format!("more sent behind {verb} without waiting; PIPELINING was not offered"));
        } else if !matches!(verb, "MAIL" | "RCPT" | "RSET") {
            self.violation(format!("{verb} is not the last of its group (RFC 2920 §3.1)"));
        }
    }

    async fn mail(&mut self, argument: &str) -> Result<(), End> {
        let mailbox = self.mailbox.clone();
        let ordinary = if self.hello.is_none() {
            self.violation("MAIL before EHLO");
            Err(self.front(front::HELLO_FIRST))
        } else if !self.wire.is_tls() {
            self.violation("MAIL without TLS");
            Err(self.front(front::MAIL_NEEDS_TLS))
        } else if mailbox.is_none() && !self.tenant.settings.connector {
            self.violation("MAIL without AUTH");
            let cause = self.auth_error.as_ref().map(|e| format!(" Error: {e}")).unwrap_or_default();
            Err(self.front(&format!("{}{cause}", wording::NOT_AUTHENTICATED)))
        } else if !matches!(self.transaction, Transaction::None | Transaction::Refused) {
            self.violation("MAIL within a transaction");
            Err(self.front(front::BAD_SEQUENCE))
        } else if self.tenant.settings.messages_per_connection.is_some_and(|limit| self.messages >= limit) {
            Err(front::MESSAGES.to_owned())
        } else {
            command::mail(argument, self.offered).map_err(|refusal| self.refused(refusal))
        };
        let mailbox = mailbox.unwrap_or_default();
        let ordinary = match ordinary {
            Ok(_) if !self.tenant.rate_allows(&mailbox) => Err(wording::SUBMISSION_RATE.to_owned()),
            other => other,
        };
        let reply = match &ordinary {
            Ok(_) => "250 2.1.0 Sender OK",
            Err(reply) => reply,
        };
        let positive = self.answer(Stage::Mail, reply).await?;
        match (positive, ordinary) {
            (true, Ok(declared)) => {
                let within_limit = self.tenant.sending(&mailbox, true);
                let sending = Sending { tenant: self.tenant.clone(), mailbox, within_limit };
                self.transaction = Transaction::Open(Box::new(Open {
                    mail: argument.to_owned(),
                    declared,
                    rcpts: Vec::new(),
                    any_rcpt: false,
                    content: None,
                    chunks: 0,
                    sending,
                }));
            }
            _ if matches!(self.transaction, Transaction::None) => self.transaction = Transaction::Refused,
            _ => {}
        }
        Ok(())
    }

    async fn rcpt(&mut self, argument: &str) -> Result<(), End> {
        let offered = self.offered;
        let ordinary = match &mut self.transaction {
            Transaction::None => {
                self.violation("RCPT without MAIL");
                Err(self.front(front::NEED_MAIL))
            }
            Transaction::Refused | Transaction::NeedsRset => Err(self.front(front::NEED_MAIL)),
            Transaction::Open(open) if open.content.is_some() => {
                self.violation("RCPT after BDAT");
                Err(self.front(front::BAD_SEQUENCE))
            }
            Transaction::Open(open) => {
                open.any_rcpt = true;
                let full = open.rcpts.len() >= self.tenant.settings.max_recipients;
                match command::rcpt(argument, offered, open.declared) {
                    Err(refusal) => Err(self.refused(refusal)),
                    Ok(()) if full => Err(self.front(front::TOO_MANY_RECIPIENTS)),
                    Ok(()) => Ok(()),
                }
            }
        };
        let reply = match &ordinary {
            Ok(()) => "250 2.1.5 Recipient OK",
            Err(reply) => reply,
        };
        if self.answer(Stage::Rcpt, reply).await?
            && let Transaction::Open(open) = &mut self.transaction
        {
            open.rcpts.push(argument.to_owned());
        }
        Ok(())
    }
}
