//! One message over a signed-in connection, pure: what to do next, and where a reply leads. No socket, clock or log.
//!
//! Ask `step()`, do it, hand a reply to `reply()`. Commands that are written before the reply to the one before has
//! been read form a flight (RFC 2920); the driver writes a flight when it is told to read.

use std::collections::VecDeque;
use std::fmt::Write as _;

use super::line::Line;
use crate::message::Envelope;
use crate::outcome::{Cause, Fault, Stage};
use crate::smtp::command::Recipient;
use crate::smtp::extension::Extensions;
use crate::smtp::reply::Reply;

/// How content is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// BDAT (RFC 3030): no octet of the content can be taken for a command.
    Bdat,
    /// DATA with dot-stuffing.
    Data,
}

/// What is known of the content and the connection when the transaction begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// All of the content is in memory: its octets.
    pub whole: Option<u64>,
    /// The content has octets above 127, or may have.
    pub eight_bit: bool,
    /// The connection answered so lately that it can be trusted with content ahead of any reply.
    pub fresh: bool,
}

/// The longest content that goes out in one flight with its envelope, in octets.
pub const MAX_SINGLE_FLIGHT: u64 = 64 * 1024;
/// Commands in one flight, in octets: replies to them fit into any socket's buffer while we are still writing.
const MAX_COMMANDS: usize = 8 * 1024;

/// What the driver of a [`Transaction`] does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write this line; it may wait in a buffer until something is read.
    Write(Line),
    /// Read one reply.
    Read(Stage),
    /// Write the content.
    Content(Framing),
    /// It is over.
    Done(Verdict, After),
}

/// What became of the message on this connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A 2xx to the end of the content.
    Accepted(Reply),
    /// Refused.
    Refused(Fault),
    /// Neither accepted nor refused for certain: a refusal and then a 2xx to the content that was under way, or a reply
    /// that makes no sense where the content may have arrived. Nobody knows.
    Contradiction(Fault),
}

/// What may happen to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It takes the next message.
    Keep,
    /// After RSET.
    Reset,
    /// It must be closed.
    Close,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Act {
    Write(Line),
    Content,
    Mail,
    Rcpt(usize),
    Data,
    Chunk,
    Verdict,
    /// Go on only if nothing was refused.
    Gate,
}

/// One message over a signed-in connection.
#[derive(Debug)]
pub struct Transaction<'a> {
    envelope: &'a Envelope,
    framing: Framing,
    script: VecDeque<Act>,
    refusal: Option<Fault>,
    content_open: bool,
    content_ahead: bool,
    accepted: Option<Reply>,
    closing: bool,
}

impl<'a> Transaction<'a> {
    /// Plans the dialogue.
    ///
    /// # Errors
    /// The message needs an extension that is not offered.
    pub fn new(envelope: &'a Envelope, extensions: &Extensions, plan: Plan) -> Result<Self, Fault> {
        if envelope.needs_smtputf8() && !extensions.smtputf8 {
            let cause = Cause::ExtensionMissing("SMTPUTF8");
            return Err(Fault::new(Stage::Mail, cause));
        }
        let framing = if extensions.chunking { Framing::Bdat } else { Framing::Data };
        let one_recipient = envelope.recipients.len() == 1;
        let small = plan.whole.is_some_and(|octets| octets <= MAX_SINGLE_FLIGHT);
        let content_ahead =
            framing == Framing::Bdat && extensions.pipelining && one_recipient && small && plan.fresh;
        let mut transaction = Self {
            envelope,
            framing,
            script: VecDeque::new(),
            refusal: None,
            content_open: false,
            content_ahead,
            accepted: None,
            closing: false,
        };
        transaction.write_script(extensions, plan, one_recipient);
        Ok(transaction)
    }

    /// The whole dialogue in order: reads stand where their replies are waited for.
    fn write_script(&mut self, extensions: &Extensions, plan: Plan, one_recipient: bool) {
        let mut commands = vec![(Act::Mail, mail_line(self.envelope, extensions, plan))];
        for (index, recipient) in self.envelope.recipients.iter().enumerate() {
            commands.push((Act::Rcpt(index), rcpt_line(recipient, extensions)));
        }
        let is_data = self.framing == Framing::Data;
        // Never behind more than one RCPT: if only some are refused, a 354 would open content for the others.
        let data_in_flight = is_data && extensions.pipelining && one_recipient;
        if data_in_flight {
            commands.push((Act::Data, Line::plain("DATA")));
        }
        let (mut owed, mut octets) = (Vec::new(), 0);
        for (reply, line) in commands {
            octets += line.wire().len();
            self.script.push_back(Act::Write(line));
            owed.push(reply);
            if !extensions.pipelining || octets > MAX_COMMANDS {
                self.script.extend(owed.drain(..));
                octets = 0;
            }
        }
        if self.content_ahead {
            self.script.push_back(Act::Content);
            self.script.extend(owed);
        } else {
            self.script.extend(owed);
            self.script.push_back(Act::Gate);
            if is_data && !data_in_flight {
                self.script.extend([Act::Write(Line::plain("DATA")), Act::Data, Act::Gate]);
            }
            self.script.push_back(Act::Content);
        }
        self.script.push_back(Act::Verdict);
    }

    /// What to do next.
    pub fn step(&mut self) -> Step {
        loop {
            if self.closing {
                return self.done();
            }
            match self.script.front() {
                None => return self.done(),
                Some(Act::Gate) if self.refusal.is_some() => return self.done(),
                Some(Act::Gate) => drop(self.script.pop_front()),
                Some(Act::Write(line)) => {
                    let line = line.clone();
                    self.script.pop_front();
                    return Step::Write(line);
                }
                Some(Act::Content) => {
                    self.script.pop_front();
                    return Step::Content(self.framing);
                }
                Some(Act::Mail) => return Step::Read(Stage::Mail),
                Some(Act::Rcpt(_)) => return Step::Read(Stage::Rcpt),
                Some(Act::Data | Act::Chunk) => return Step::Read(Stage::Content),
                Some(Act::Verdict) => return Step::Read(Stage::Verdict),
            }
        }
    }

    /// Where a reply leads.
    pub fn reply(&mut self, reply: &Reply) {
        let is_good = reply.is_positive();
        match self.script.pop_front() {
            Some(Act::Mail) if !is_good => self.refuse(Fault::refused(Stage::Mail, reply)),
            Some(Act::Rcpt(index)) if !is_good => {
                let recipient =
                    self.envelope.recipients.get(index).map(|recipient| recipient.address.to_string());
                self.refuse(Fault::refused(Stage::Rcpt, reply).about(recipient));
            }
            Some(Act::Data) if reply.code == 354 => self.content_open = true,
            Some(Act::Data) => self.refuse(Fault::refused(Stage::Content, reply)),
            Some(Act::Chunk) if !is_good => self.refuse(Fault::refused(Stage::Content, reply)),
            Some(Act::Verdict) if is_good => self.accepted = Some(reply.clone()),
            Some(Act::Verdict) => self.refuse(Fault::refused(Stage::Verdict, reply)),
            _ => {}
        }
        // RFC 5321 section 3.8: after a 421 nothing more comes.
        self.closing |= reply.code == 421;
    }

    /// A chunk that is not the last was written: one more reply is owed before the verdict.
    pub fn chunk_written(&mut self) {
        self.script.push_front(Act::Chunk);
    }

    /// No more content will be written, and so no verdict will come.
    pub fn content_cut(&mut self) {
        self.script.retain(|act| *act != Act::Verdict);
    }

    /// Whether something was refused: no more content need be written.
    pub const fn is_refused(&self) -> bool {
        self.refusal.is_some()
    }

    /// The connection broke while a reply was awaited, or what came was none. A refusal that had come before stands:
    /// with it nothing can have been accepted.
    pub fn refusal(&mut self) -> Option<Fault> {
        self.refusal.take()
    }

    /// Whether the next reply is that to a chunk that is not the last.
    pub fn owes_chunk(&self) -> bool {
        self.script.front() == Some(&Act::Chunk)
    }

    /// The first refusal is the verdict, but a recipient's 5xx wins over another's 4xx: the app must not be told to
    /// try again what will never pass. What follows a refused MAIL is only its echo.
    fn refuse(&mut self, fault: Fault) {
        let is_5xx = |fault: &Fault| matches!(fault.cause(), Cause::Refused(reply) if reply.code >= 500);
        let wins = match &self.refusal {
            None => true,
            Some(first) => {
                let both_are_recipients = first.stage() == Stage::Rcpt && fault.stage() == Stage::Rcpt;
                (both_are_recipients && !is_5xx(first) && is_5xx(&fault))
                    || (!first.is_certain() && fault.is_certain())
            }
        };
        if wins {
            self.refusal = Some(fault);
        }
    }

    fn done(&mut self) -> Step {
        let (verdict, stage) = match (self.refusal.take(), self.accepted.take()) {
            (Some(fault), Some(_)) => (Verdict::Contradiction(fault), None),
            (Some(fault), None) if fault.is_certain() => {
                let stage = fault.stage();
                (Verdict::Refused(fault), Some(stage))
            }
            (Some(fault), None) if self.content_ahead || fault.stage() == Stage::Verdict => {
                (Verdict::Contradiction(fault), None)
            }
            (Some(fault), None) => (Verdict::Refused(fault), None),
            (None, Some(reply)) => (Verdict::Accepted(reply), Some(Stage::Verdict)),
            (None, None) => {
                // Only a 421 in place of a good reply ends without either; it is never good.
                let cause = Cause::Closed;
                (Verdict::Refused(Fault::new(Stage::Content, cause)), None)
            }
        };
        let after = match stage {
            _ if self.closing => After::Close,
            // Out of step.
            None => After::Close,
            Some(Stage::Verdict) => After::Keep,
            // A server that does not swallow the refused chunk reads content as commands; a 354 waits for a dot that
            // must not come.
            Some(_) if self.content_ahead || self.content_open => After::Close,
            Some(_) => After::Reset,
        };
        Step::Done(verdict, after)
    }
}

/// MAIL and every RCPT, each with its stage and its recipient.
pub fn envelope_lines(
    envelope: &Envelope,
    extensions: &Extensions,
    plan: Plan,
) -> Vec<(Stage, Option<String>, Line)> {
    let mail = (Stage::Mail, None, mail_line(envelope, extensions, plan));
    let recipients = envelope.recipients.iter().map(|recipient| {
        (Stage::Rcpt, Some(recipient.address.to_string()), rcpt_line(recipient, extensions))
    });
    std::iter::once(mail).chain(recipients).collect()
}

fn rcpt_line(recipient: &Recipient, extensions: &Extensions) -> Line {
    let mut line = format!("RCPT TO:<{}>", recipient.address);
    if extensions.dsn {
        let notify = recipient.notify.iter().map(|notify| format!(" NOTIFY={notify}"));
        let orcpt = recipient.orcpt.iter().map(|orcpt| format!(" ORCPT={orcpt}"));
        line.extend(notify.chain(orcpt));
    }
    Line::plain(line)
}

fn mail_line(envelope: &Envelope, extensions: &Extensions, plan: Plan) -> Line {
    let mut line = String::from("MAIL FROM:<");
    if let Some(address) = &envelope.mail.reverse_path {
        line.push_str(address.as_str());
    }
    line.push('>');
    if let (Some(_), Some(octets)) = (extensions.size, plan.whole.or(envelope.mail.size)) {
        let _ = write!(line, " SIZE={octets}");
    }
    if extensions.eight_bit_mime && plan.eight_bit {
        line.push_str(" BODY=8BITMIME");
    }
    if envelope.needs_smtputf8() {
        line.push_str(" SMTPUTF8");
    }
    if extensions.dsn {
        let ret = envelope.mail.ret.iter().map(|ret| format!(" RET={ret}"));
        let envid = envelope.mail.envid.iter().map(|envid| format!(" ENVID={envid}"));
        line.extend(ret.chain(envid));
    }
    Line::plain(line)
}
