//! One message over a signed-in connection, pure: what to do next, and where a reply leads. No socket, clock or log.
//!
//! Ask `step()`, do it, hand a reply to `reply()`. Commands that are written before the reply to the one before has
//! been read form a flight (RFC 2920); the driver writes a flight when it is told to read.
//!
//! A server that gives a reply too many is late by one from there on: what is read as the verdict may be the reply to an
//! earlier command. Replies tell what they are about (354; the enhanced codes of MAIL and RCPT), but those to chunks look
//! like the verdict: behind these QUIT is said, and only its 221 makes the verdict one. A stray 2xx that comes once the
//! end of the content has left cannot be told from the verdict where no goodbye is said, nor where the server closes
//! without one.

use std::collections::VecDeque;
use std::fmt::Write as _;

use super::line::Line;
use super::recipients::{Standing, Standings, is_5xx};
use crate::message::Envelope;
use crate::outcome::{Cause, Fault, Outcome, RecipientOutcome, Stage};
use crate::smtp::command::Recipient;
use crate::smtp::extension::Extensions;
use crate::smtp::reply::{EnhancedCode, Reply};

/// How content is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// BDAT (RFC 3030): no octet of the content can be taken for a command.
    Bdat,
    /// DATA with dot-stuffing.
    Data,
}

/// What one refused recipient means for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// Nobody gets the mail: whoever waits for the answer hears of one refusal only, and must not take it for a mail that
    /// reached the rest.
    AllOrNothing,
    /// The others get the mail, and each recipient has an outcome of its own ([`Transaction::each`]).
    EachForItself,
}

/// What is known of the content and the connection when the transaction begins, and what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What one refused recipient means for the others.
    pub recipients: Recipients,
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

impl Verdict {
    /// The verdict where more came behind the last reply than any command had asked for: which of the replies was meant for
    /// the mail is not known then, so that a 2xx may be the echo of an earlier command. `ended` says that the end of the
    /// content has left.
    #[must_use]
    pub fn with_unasked(self, cause: Cause, ended: bool) -> Self {
        match self {
            Self::Accepted(_) => Self::Contradiction(Fault::new(Stage::Verdict, cause)),
            // RFC 5321 section 3.8: a server that shuts down says so unasked.
            Self::Refused(refusal) if matches!(&cause, Cause::Refused(reply) if reply.code == 421) => {
                Self::Refused(refusal)
            }
            // In a flight: a server that does not swallow the chunk reads content as commands, and refuses them.
            Self::Refused(refusal) if ended && matches!(refusal.stage(), Stage::Mail | Stage::Rcpt) => {
                Self::Refused(refusal)
            }
            Self::Refused(refusal) if ended => Self::Contradiction(Fault::new(refusal.stage(), cause)),
            Self::Refused(refusal) => Self::Refused(Fault::new(refusal.stage(), cause)),
            Self::Contradiction(nonsense) => Self::Contradiction(nonsense),
        }
    }
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
    /// The reply to QUIT, behind a verdict that may be an earlier command's reply.
    Goodbye,
    /// Go on only if nothing stands against the mail, and somebody may get it.
    Gate,
}

/// One message over a signed-in connection.
#[derive(Debug)]
pub struct Transaction<'a> {
    envelope: &'a Envelope,
    framing: Framing,
    script: VecDeque<Act>,
    standings: Standings,
    /// A refused recipient is refused alone.
    apart: bool,
    /// What stands against the mail as a whole.
    refusal: Option<Fault>,
    content_open: bool,
    content_ahead: bool,
    /// A 2xx to the end of the content.
    accepted: Option<Reply>,
    closing: bool,
    /// No reply so far can be taken for the verdict: each says by its enhanced code that it is about an address.
    told_apart: bool,
    /// A reply made no sense: which reply belongs to which command is not known from there on.
    out_of_step: bool,
}

impl<'a> Transaction<'a> {
    /// Plans the dialogue.
    ///
    /// # Errors
    /// The message needs an extension that is not offered.
    pub fn new(envelope: &'a Envelope, extensions: &Extensions, plan: Plan) -> Result<Self, Fault> {
        let each = plan.recipients == Recipients::EachForItself;
        let mut standings = Standings::new(envelope);
        if !extensions.smtputf8 && envelope.needs_smtputf8() {
            standings.refuse_what_needs_smtputf8(envelope);
            let sender_needs_it =
                envelope.mail.reverse_path.as_ref().is_some_and(|path| !path.as_str().is_ascii());
            if !each || sender_needs_it || standings.asked().next().is_none() {
                return Err(Fault::new(Stage::Mail, Cause::ExtensionMissing("SMTPUTF8")));
            }
        }
        let framing = if extensions.chunking { Framing::Bdat } else { Framing::Data };
        let one_recipient = standings.asked().count() == 1;
        let small = plan.whole.is_some_and(|octets| octets <= MAX_SINGLE_FLIGHT);
        // Where replies do not say what they are about (RFC 2034), a reply too many to MAIL or RCPT would be taken for the
        // verdict on content that is already under way.
        let content_ahead = framing == Framing::Bdat
            && extensions.pipelining
            && extensions.enhanced_codes
            && one_recipient
            && small
            && plan.fresh;
        let mut transaction = Self {
            envelope,
            framing,
            script: VecDeque::new(),
            standings,
            apart: each && !one_recipient,
            refusal: None,
            content_open: false,
            content_ahead,
            accepted: None,
            closing: false,
            told_apart: true,
            out_of_step: false,
        };
        transaction.write_script(extensions, plan, one_recipient);
        Ok(transaction)
    }

    /// The whole dialogue in order: reads stand where their replies are waited for.
    fn write_script(&mut self, extensions: &Extensions, plan: Plan, one_recipient: bool) {
        let mut commands = vec![(Act::Mail, mail_line(self.envelope, extensions, plan))];
        for index in self.standings.asked() {
            let recipient = &self.envelope.recipients[index];
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
                Some(Act::Gate) if self.refusal.is_some() || !self.standings.any_taken() => {
                    return self.done();
                }
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
                Some(Act::Goodbye) => return Step::Read(Stage::Wait),
            }
        }
    }

    /// Where a reply leads.
    pub fn reply(&mut self, reply: &Reply) {
        let act = self.script.pop_front();
        self.told_apart &= match act {
            Some(Act::Mail | Act::Rcpt(_)) => !reply.is_positive() || is_about_an_address(reply),
            Some(Act::Chunk) => false,
            _ => true,
        };
        match act {
            Some(Act::Mail) if !is_done(reply) => self.refuse(Fault::refused(Stage::Mail, reply)),
            Some(Act::Rcpt(index)) => self.recipient(index, reply),
            Some(Act::Data) if reply.code == 354 => self.content_open = true,
            Some(Act::Data) => self.refuse(Fault::refused(Stage::Content, reply)),
            Some(Act::Chunk) if !is_about_content(reply) => {
                self.refuse(Fault::refused(Stage::Content, reply));
            }
            Some(Act::Verdict) => {
                self.accepted = Some(reply.clone()).filter(Reply::is_positive);
                if !is_about_content(reply) {
                    self.refuse(Fault::refused(Stage::Verdict, reply));
                } else if self.refusal.is_none() && !self.is_evident(reply) {
                    self.script.extend([Act::Write(Line::plain("QUIT")), Act::Goodbye]);
                }
            }
            Some(Act::Goodbye) if reply.code == 221 => self.closing = true,
            Some(Act::Goodbye) => {
                self.closing = true;
                self.refuse(Fault::refused(Stage::Verdict, reply));
            }
            _ => {}
        }
        // RFC 5321 section 3.8: after a 421 nothing more comes.
        self.closing |= reply.code == 421;
    }

    /// Whether a 2xx where the verdict is due can be no reply to an earlier command, late by the replies that the server
    /// gave too many. 354 is owed to DATA alone; before BDAT LAST no reply but those of the same kind as the verdict may
    /// have been read. Else the server is asked something whose answer is like no other: QUIT, which is 221.
    fn is_evident(&self, verdict: &Reply) -> bool {
        self.framing == Framing::Data || (self.told_apart && verdict.enhanced().is_some())
    }

    /// Only the goodbye is awaited still, and it does not come: the verdict where the server has closed, since it has said
    /// then all that it had to say; else nobody knows, for the true verdict may be late.
    pub fn parted(&mut self, fault: &Fault) -> Option<Outcome> {
        let verdict = self.accepted.take_if(|_| self.script.front() == Some(&Act::Goodbye))?;
        Some(match fault.cause() {
            Cause::Closed => Outcome::Accepted(verdict),
            cause => Outcome::Unknown(Fault::new(Stage::Verdict, cause.clone())),
        })
    }

    fn recipient(&mut self, index: usize, reply: &Reply) {
        if is_done(reply) {
            return self.standings.set(index, Standing::Taken);
        }
        let recipient = self.envelope.recipients.get(index).map(|recipient| recipient.address.to_string());
        let refusal = Fault::refused(Stage::Rcpt, reply).about(recipient);
        if !self.apart {
            return self.refuse(refusal);
        }
        // A 421 is about the connection, and what is no refusal is about no one.
        if reply.code == 421 || !refusal.is_certain() {
            return self.refuse(Fault::refused(Stage::Rcpt, reply));
        }
        if self.refusal.is_some() {
            // The echo of a refused MAIL.
            return;
        }
        if reply.enhanced() != Some(TOO_MANY_RECIPIENTS) {
            return self.standings.set(index, Standing::Refused(refusal));
        }
        self.standings.set(index, Standing::NoRoom(refusal));
        if self.standings.any_taken() {
            self.ask_no_more();
        }
    }

    /// Takes the recipients that have not been asked for yet out of the script.
    fn ask_no_more(&mut self) {
        let is_gate = |act: &Act| *act == Act::Gate;
        let gate = self.script.iter().position(is_gate).unwrap_or_default();
        let first = self.script.iter().take(gate).position(|act| matches!(act, Act::Write(_)));
        for act in self.script.drain(first.unwrap_or(gate)..gate) {
            if let Act::Rcpt(index) = act {
                self.standings.set(index, Standing::NotAsked);
            }
        }
    }

    /// What became of each recipient, in the envelope's order, where this became of the mail for those who were not refused
    /// alone.
    pub fn each(&self, outcome: &Outcome) -> Vec<RecipientOutcome> {
        self.standings.outcomes(outcome)
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
        self.out_of_step |= !fault.is_certain();
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
            (None, None) => match self.standings.worst() {
                Some(refusal) => (Verdict::Refused(refusal.clone()), Some(Stage::Rcpt)),
                // Only a 421 in place of a good reply ends without any; it is never good.
                None => (Verdict::Refused(Fault::new(Stage::Content, Cause::Closed)), None),
            },
        };
        let after = match stage {
            _ if self.closing || self.out_of_step => After::Close,
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

/// What says that a server takes no more recipients in this transaction (RFC 3463 X.5.3).
const TOO_MANY_RECIPIENTS: EnhancedCode = EnhancedCode(4, 5, 3);

/// A 2xx, and none that only another command is answered with (HELP, the greeting, QUIT, AUTH): that one is late.
const fn is_done(reply: &Reply) -> bool {
    reply.is_positive() && !matches!(reply.code, 211 | 214 | 220 | 221 | 235)
}

/// A 2xx to content. One whose enhanced code speaks of an address (RFC 3463 section 3.2) answers MAIL or RCPT: the server
/// has given a reply too many, and this one says nothing of the mail.
fn is_about_content(reply: &Reply) -> bool {
    is_done(reply) && !is_about_an_address(reply)
}

fn is_about_an_address(reply: &Reply) -> bool {
    reply.enhanced().is_some_and(|code| code.1 == 1)
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
    if extensions.smtputf8 && envelope.needs_smtputf8() {
        line.push_str(" SMTPUTF8");
    }
    if extensions.dsn {
        let ret = envelope.mail.ret.iter().map(|ret| format!(" RET={ret}"));
        let envid = envelope.mail.envid.iter().map(|envid| format!(" ENVID={envid}"));
        line.extend(ret.chain(envid));
    }
    Line::plain(line)
}
