//! DATA and BDAT: the content comes in, Exchange's judgement goes out.

use std::time::Instant;

use bytes::Buf;

use super::command;
use super::content::{Content, Dots, addresses};
use super::session::{Open, Session, Transaction};
use super::wire::End;
use crate::fault::{Fault, Stage};
use crate::record::{Taken, Via};
use crate::wording::{self, front};

impl Session {
    fn new_content(&self) -> Content {
        let settings = &self.tenant.settings;
        Content::new(if settings.keep_content { settings.max_message_size } else { 0 })
    }

    pub(super) async fn data(&mut self, argument: &str) -> Result<(), End> {
        if !argument.is_empty() {
            self.violation("DATA has no argument");
        }
        let ordinary = match &self.transaction {
            Transaction::None => {
                self.violation("DATA without MAIL");
                self.front(front::NEED_MAIL)
            }
            Transaction::Refused | Transaction::NeedsRset => self.front(front::NEED_MAIL),
            Transaction::Open(open) if open.content.is_some() => {
                self.violation("DATA after BDAT (RFC 3030 §2)");
                self.front(front::BAD_SEQUENCE)
            }
            Transaction::Open(open) if open.declared.binary => {
                self.violation("DATA with BODY=BINARYMIME (RFC 3030 §3)");
                self.front(front::BAD_SEQUENCE)
            }
            Transaction::Open(open) if open.rcpts.is_empty() => {
                if !open.any_rcpt {
                    self.violation("DATA without RCPT");
                }
                match self.tenant.faults.is(&Fault::UnwantedData354) {
                    true => "354 Start mail input; end with <CRLF>.<CRLF>".to_owned(),
                    false => self.front(front::NEED_RCPT),
                }
            }
            Transaction::Open(_) => "354 Start mail input; end with <CRLF>.<CRLF>".to_owned(),
        };
        if !self.answer(Stage::Data354, &ordinary).await? {
            return Ok(());
        }
        let Transaction::Open(mut open) = std::mem::replace(&mut self.transaction, Transaction::None) else {
            return Ok(());
        };
        self.wire.flush().await?;
        let mut content = self.new_content();
        let mut dots = Dots::new();
        let mut answered = false;
        let mut begun = false;
        loop {
            if self.wire.input.is_empty() {
                self.wire.read_on().await?;
            }
            if !begun {
                begun = true;
                answered = self.mid_content().await?;
            }
            let (used, done) = dots.decode(&self.wire.input, &mut content);
            self.wire.input.advance(used);
            if done {
                break;
            }
        }
        if !self.wire.input.is_empty() && !self.offered.pipelining {
            self.violation("more sent behind the dot; PIPELINING was not offered");
        }
        let size = content.size;
        self.wire.saw(|| format!("({size} octets)"));
        self.wire.saw(|| ".".to_owned());
        open.content = Some(content);
        if answered { Ok(()) } else { self.finish(open, Via::Data).await }
    }

    /// The faults of [`Stage::Content`]; whether they have already answered.
    async fn mid_content(&mut self) -> Result<bool, End> {
        let Some(early) = self.stage(Stage::Content).await? else {
            return Ok(false);
        };
        self.say(&early).await?;
        self.wire.flush().await?;
        Ok(true)
    }

    pub(super) async fn bdat(&mut self, argument: &str) -> Result<(), End> {
        let Some((size, last)) = command::bdat(argument) else {
            self.violation(format!("malformed BDAT '{argument}'"));
            return self.say(&self.front(front::INVALID_ARGUMENTS)).await.map(drop);
        };
        if !self.offered.chunking {
            self.violation("BDAT; CHUNKING was not offered");
            return self.say(&self.front(&format!("{} 'BDAT'", front::UNRECOGNIZED))).await.map(drop);
        }
        let refusal = match &self.transaction {
            Transaction::None => {
                self.violation("BDAT without MAIL");
                Some(front::NEED_MAIL)
            }
            Transaction::Refused | Transaction::NeedsRset => Some(front::NEED_MAIL),
            Transaction::Open(open) if open.rcpts.is_empty() => {
                if !open.any_rcpt {
                    self.violation("BDAT without RCPT");
                }
                Some(front::NEED_RCPT)
            }
            Transaction::Open(_) => None,
        };
        let Some(words) = refusal else {
            return self.chunk(size, last).await;
        };
        if self.tenant.faults.is(&Fault::ChunkNotSwallowed) {
            self.derailed = true;
        } else {
            // RFC 3030 §2: the octets of a refused chunk are read and dropped.
            self.receive(size, None).await?;
            self.wire.saw(|| format!("({size} octets)"));
        }
        self.transaction = Transaction::NeedsRset;
        self.say(&self.front(words)).await.map(drop)
    }

    async fn receive(&mut self, size: u64, mut content: Option<&mut Content>) -> Result<(), End> {
        let mut missing = size;
        while missing > 0 {
            if self.wire.input.is_empty() {
                self.wire.read_on().await?;
            }
            let now = missing.min(self.wire.input.len() as u64) as usize;
            if let Some(content) = &mut content {
                content.push(&self.wire.input[..now]);
            }
            self.wire.input.advance(now);
            missing -= now as u64;
        }
        Ok(())
    }

    async fn chunk(&mut self, size: u64, last: bool) -> Result<(), End> {
        let Transaction::Open(mut open) = std::mem::replace(&mut self.transaction, Transaction::NeedsRset)
        else {
            return Ok(());
        };
        let mut content = open.content.take().unwrap_or_else(|| self.new_content());
        // Half of it, then the faults of mid-content: a small chunk comes whole with its command.
        self.receive(size / 2, Some(&mut content)).await?;
        let answered = size > 1 && self.mid_content().await?;
        self.receive(size - size / 2, Some(&mut content)).await?;
        self.wire.saw(|| format!("({size} octets)"));
        if !self.wire.input.is_empty() && !self.offered.pipelining {
            self.violation("more sent behind BDAT's chunk; PIPELINING was not offered");
        }
        open.content = Some(content);
        open.chunks += 1;
        if answered {
            return Ok(());
        }
        if last {
            self.transaction = Transaction::None;
            let chunks = open.chunks;
            return self.finish(open, Via::Bdat(chunks)).await;
        }
        if self.answer(Stage::Chunk, &format!("250 2.6.0 CHUNK received OK, {size} octets")).await? {
            self.transaction = Transaction::Open(open);
        }
        Ok(())
    }

    /// All content has come.
    async fn finish(&mut self, mut open: Box<Open>, via: Via) -> Result<(), End> {
        let at = Instant::now();
        let content = open.content.take().unwrap_or_else(|| self.new_content());
        self.check_lines(&open, &content);
        let verdict = self.judge(&open, &content);
        let instead = self.stage(Stage::Dot).await?;
        let (mut reply, takes) = match (verdict, instead) {
            (Ok(_), Some(instead)) => {
                let takes = instead.starts_with('2');
                (instead, takes)
            }
            (Err(refusal), Some(instead)) => (if instead.is_empty() { instead } else { refusal }, false),
            (Ok(reply), None) => (reply, true),
            (Err(refusal), None) => (refusal, false),
        };
        if takes {
            let size = content.size;
            let (mut kept, sha256) = content.finish();
            if !self.tenant.settings.keep_content {
                kept = Vec::new();
            }
            self.messages += 1;
            self.wire.will_be_idle();
            let Open { mail, rcpts, sending, .. } = *open;
            // The slot is free before the test can see the mail, and before the client has its reply.
            drop(sending);
            self.tenant.record.take(Taken {
                mailbox: self.mailbox.clone().unwrap_or_default(),
                mail,
                rcpts,
                content: kept,
                size,
                sha256,
                connection: self.id,
                via,
                tls: self.tls.clone().unwrap_or_default(),
                ehlo: self.hello.clone().unwrap_or_default(),
                client_certificates: self.client_certificates.clone(),
                at,
            });
            if let Some(instead) = self.stage(Stage::Accepted).await? {
                reply = instead;
            }
        }
        self.say(&reply).await.map(drop)
    }

    fn check_lines(&self, open: &Open, content: &Content) {
        if open.declared.binary {
            return;
        }
        if content.bare_lf {
            self.violation("a bare LF in the content (RFC 5321 §2.3.8)");
        }
        if content.bare_cr {
            self.violation("a bare CR in the content (RFC 5321 §2.3.8)");
        }
        if !content.ends_in_crlf() {
            self.violation("the content does not end in CRLF");
        }
        if content.eight_bit && self.offered.eight_bit_mime && !open.declared.eight_bit {
            self.violation("8-bit content without BODY=8BITMIME, which was offered (RFC 6152 §3)");
        }
    }

    /// What Exchange Online checks after the dot, in its order.
    fn judge(&self, open: &Open, content: &Content) -> Result<String, String> {
        let settings = &self.tenant.settings;
        if open.rcpts.is_empty() {
            return Err(self.front("554 5.5.1 No valid recipients"));
        }
        if content.size > settings.max_message_size {
            return Err(self.front(front::SIZE));
        }
        if !open.sending.within_limit {
            return Err(wording::CONCURRENT.to_owned());
        }
        if settings.enforce_send_as {
            self.judge_sender(content)?;
        }
        let mailbox = self.mailbox.as_deref().unwrap_or_default();
        if !self.tenant.quota_allows(mailbox, open.rcpts.len()) {
            return Err(wording::DAILY_RECIPIENTS.to_owned());
        }
        let id = content.header("Message-ID").into_iter().next();
        Ok(wording::accepted(&id.unwrap_or_else(|| format!("<{}@{}>", self.tenant.uuid(), wording::STORE))))
    }

    fn judge_sender(&self, content: &Content) -> Result<(), String> {
        let mut from: Vec<String> =
            content.header("From").iter().flat_map(|value| addresses(value)).collect();
        if from.is_empty() {
            return Err(self.front(front::NO_FROM));
        }
        if from.len() > 1 {
            from = content.header("Sender").iter().flat_map(|value| addresses(value)).collect();
            if from.is_empty() {
                return Err(self.front(front::MULTIPLE_FROM));
            }
        }
        let Some(mailbox) = &self.mailbox else {
            return Ok(());
        };
        match self.tenant.may_send_as(mailbox, &from[0]) {
            true => Ok(()),
            false => Err(wording::send_as_denied(mailbox, &from[0])),
        }
    }
}
