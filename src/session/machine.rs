//! The SMTP server as a pure machine (RFC 5321): octets in, steps out. No socket, clock or log.
//!
//! The driver calls [`Machine::step`] until it says [`Step::NeedInput`], reads the socket, hands over what came, and
//! goes on. Not more than one piece of content is kept here, and it is made only when a step is asked for, so not
//! asking is the back-pressure.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;

use crate::message::budget::memory_of;
use crate::message::{Abandoned, Envelope};
use crate::smtp::command::{self, Command, Mail, Recipient, Refusal};
use crate::smtp::data::ContentReader;
use crate::smtp::reply::Reply;
use crate::smtp::sasl;

use super::auth::{Exchange, Progress};
use super::incoming::{Incoming, MAX_PIECE};
use super::replies;
use super::step::{Ending, Guard, Limits, Notice, Step};

/// The longest line of any command, its CRLF included: RFC 4954 section 4 asks for 12,288 octets of a SASL response.
const MAX_LINE: usize = 12_288 + 2;
/// Refused commands in one session before it is ended: a client that talks nonsense (or another protocol) must not
/// keep a slot.
const MAX_ERRORS: u32 = 20;

/// The memory that one transaction's recipients may take, in octets: room for 500 addresses of the usual length, and for
/// none of the longest with an ORCPT as long.
const MAX_RECIPIENTS: usize = 160 * 1024;

#[derive(Debug)]
enum State {
    Greeting,
    Commands,
    /// The first command of a newcomer waits for a place.
    Unseated(Box<Command>),
    Sasl(Exchange),
    SigningIn,
    Data(Incoming),
    Chunk {
        left: u64,
        last: bool,
    },
    /// DATA's content, read to its end and dropped; then this reply.
    DropData(ContentReader, Reply),
    /// A chunk, likewise.
    DropChunk(u64, Reply),
    Verdict,
    Closed(Ending),
}

/// A mail transaction (RFC 5321 section 3.3).
#[derive(Debug)]
enum Transaction {
    /// MAIL was accepted.
    Open(Envelope),
    /// There is no room for its envelope, which is forgotten. The app hears so at its content: a RCPT that is refused is
    /// one recipient less for most of them, and the others would get the mail.
    NoRoom,
    /// The first BDAT has come: no more recipients, only chunks.
    Chunked(Incoming),
}

/// The machine of one session.
#[derive(Debug)]
pub struct Machine {
    limits: Limits,
    guard: Option<Arc<dyn Guard>>,
    state: State,
    transaction: Option<Transaction>,
    /// What its recipients take, in octets.
    recipient_octets: usize,
    signed_in: bool,
    /// Credentials that nobody needs were just accepted: what comes next may be the rest of them.
    behind_auth: bool,
    is_newcomer: bool,
    errors: u32,
    input: BytesMut,
    /// Command lines that have ended.
    lines: u64,
    /// In the middle of a line that is too long.
    dropping_line: bool,
    eof: bool,
    steps: VecDeque<Step>,
}

impl Machine {
    /// A machine that is about to greet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            guard: None,
            state: State::Greeting,
            transaction: None,
            recipient_octets: 0,
            signed_in: false,
            behind_auth: false,
            is_newcomer: false,
            errors: 0,
            input: BytesMut::new(),
            lines: 0,
            dropping_line: false,
            eof: false,
            steps: VecDeque::new(),
        }
    }

    /// A machine that has no place of its own: it may look in and say QUIT, anything else asks for one.
    pub fn newcomer(limits: Limits) -> Self {
        Self { is_newcomer: true, ..Self::new(limits) }
    }

    /// Whether there is a place, after [`Step::TakePlace`].
    pub fn seated(&mut self, has_place: bool) {
        match std::mem::replace(&mut self.state, State::Commands) {
            State::Unseated(command) if has_place => {
                self.is_newcomer = false;
                self.command(*command);
            }
            State::Unseated(_) => self.end(Abandoned::Reset, replies::too_many(), Ending::NoPlace),
            other => self.state = other,
        }
    }

    /// Judges senders and recipients from here on.
    pub fn guard(&mut self, guard: Arc<dyn Guard>) {
        self.guard = Some(guard);
    }

    /// Octets from the app.
    pub fn received(&mut self, octets: &[u8]) {
        if self.input.is_empty() {
            // What a burst has left of it must not stay with an idle session.
            self.input = BytesMut::new();
        }
        self.input.extend_from_slice(octets);
    }

    /// The app has closed its side.
    pub fn eof(&mut self) {
        self.eof = true;
    }

    /// The app is gone, and what is left of its octets is of no use.
    pub fn gone(&mut self) {
        self.transaction = None;
        self.steps.clear();
        self.close(Ending::HungUp);
    }

    /// Another connection needs the place; call it between transactions.
    pub fn make_room(&mut self) {
        self.end(Abandoned::Reset, replies::made_room(), Ending::MadeRoom);
    }

    /// The app was silent for too long.
    pub fn idle(&mut self) {
        self.end(Abandoned::Idle, replies::idle(), Ending::Idle);
    }

    /// The shim ends; call it between transactions.
    pub fn shutdown(&mut self) {
        self.end(Abandoned::ShuttingDown, replies::shutting_down(), Ending::ShuttingDown);
    }

    /// Answers content whose end is not waited for, and closes: what still comes could not be told from commands.
    pub fn cut(&mut self, reply: &Reply) {
        self.transaction = None;
        self.steps.clear();
        self.steps.push_back(Step::Reply(reply.encode()));
        self.close(Ending::Cut);
    }

    /// The verdict on a [`Step::SignIn`].
    pub fn signed_in(&mut self, accepted: bool) {
        self.state = State::Commands;
        if accepted {
            self.signed_in = true;
            self.reply(235, "2.7.0 Authentication successful");
        } else {
            self.refuse(replies::wrong_login());
        }
    }

    /// Nobody waits for the verdict any more: no answer is owed.
    pub fn forgo_answer(&mut self) {
        if matches!(self.state, State::Verdict) {
            self.state = State::Commands;
        }
    }

    /// The verdict on the message, after [`Step::End`].
    pub fn answer(&mut self, reply: &Reply) {
        debug_assert!(matches!(self.state, State::Verdict), "an answer is owed only after End");
        if reply.is_positive() {
            self.errors = 0;
        }
        self.say(reply);
        self.state = State::Commands;
    }

    /// The next step.
    pub fn step(&mut self) -> Step {
        loop {
            if let Some(step) = self.steps.pop_front() {
                return step;
            }
            if !self.advance() {
                match self.state {
                    State::Closed(ending) => return Step::Close(ending),
                    State::Verdict => return Step::NeedInput,
                    _ if self.eof => {
                        self.abandon(Abandoned::HungUp);
                        self.close(Ending::HungUp);
                    }
                    _ => return Step::NeedInput,
                }
            }
        }
    }

    /// One move on what has arrived; false if it needs more.
    fn advance(&mut self) -> bool {
        match &mut self.state {
            State::Greeting => {
                self.state = State::Commands;
                self.say(&replies::greeting(&self.limits.hostname));
                true
            }
            State::Commands | State::Sasl(_) => self.line(),
            State::Data(_) | State::Chunk { .. } => self.content(),
            State::DropData(reader, _) => {
                let mut dropped = Vec::with_capacity(MAX_PIECE);
                let used = reader.read(&mut self.input, usize::MAX, &mut dropped, MAX_PIECE);
                let ended = reader.ended();
                if ended {
                    self.dropped();
                }
                ended || used > 0 || !dropped.is_empty()
            }
            State::DropChunk(left, _) => {
                let used = self.input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                let _ = self.input.split_to(used);
                *left -= used as u64;
                let ended = *left == 0;
                if ended {
                    self.dropped();
                }
                ended || used > 0
            }
            State::Unseated(_) | State::SigningIn | State::Verdict | State::Closed(_) => false,
        }
    }

    /// The end of content that nobody wants. The answer counts as no error: behind the first refused chunk of a message
    /// a thousand others may be on their way.
    fn dropped(&mut self) {
        if let State::DropData(_, reply) | State::DropChunk(_, reply) =
            std::mem::replace(&mut self.state, State::Commands)
        {
            self.steps.push_back(Step::Reply(reply.encode()));
        }
    }

    /// One line of commands or of a SASL exchange.
    fn line(&mut self) -> bool {
        // At a command's place, a TLS record of the handshake kind (RFC 8446 section 5.1), or the hello that old
        // libraries send in SSL 2.0's shape: no SMTP command begins so, and a line end may never come.
        if matches!(self.state, State::Commands)
            && !self.dropping_line
            && matches!(self.input.first(), Some(0x16 | 0x80))
        {
            self.abandon(Abandoned::Reset);
            self.close(Ending::TlsHello);
            return true;
        }
        let Some(end) = memchr::memchr(b'\n', &self.input) else {
            if self.input.len() >= MAX_LINE {
                self.input.clear();
                self.dropping_line = true;
            }
            return false;
        };
        let line = self.input.split_to(end + 1);
        self.lines += 1;
        if std::mem::take(&mut self.dropping_line) || line.len() > MAX_LINE {
            self.state = State::Commands;
            self.refuse(Reply::new(500, "5.5.2 Command line too long"));
            return true;
        }
        // A bare LF ends a command too, and so does a line end that was converted twice: old clients send both.
        let mut line = &line[..end];
        while let Some(shorter) = line.strip_suffix(b"\r") {
            line = shorter;
        }
        let behind_auth = std::mem::take(&mut self.behind_auth);
        match std::mem::replace(&mut self.state, State::Commands) {
            State::Sasl(exchange) => self.sasl(exchange.respond(line)),
            _ => match command::parse(line) {
                // An app that spreads its credentials over two lines whatever it is answered waits for a reply to each; one
                // that takes a 500 for a refused password would never send.
                Err(_) if behind_auth && !line.is_empty() && sasl::decode(line).is_some() => {
                    self.signed_in(true);
                }
                Ok(command @ (Command::Quit | Command::Http)) => self.command(command),
                Ok(command) if self.is_newcomer => {
                    self.state = State::Unseated(Box::new(command));
                    self.steps.push_back(Step::TakePlace);
                }
                Ok(command) => self.command(command),
                Err(Refusal { reply, out_of_step }) => {
                    self.refuse(reply);
                    if out_of_step {
                        self.abandon(Abandoned::Reset);
                        self.close(Ending::OutOfStep);
                    }
                }
            },
        }
        true
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Ehlo => {
                self.abandon(Abandoned::Reset);
                self.say(&replies::ehlo(&self.limits.hostname, self.limits.max_message_size));
            }
            Command::Helo => {
                self.abandon(Abandoned::Reset);
                let hostname = self.limits.hostname.clone();
                self.reply(250, &hostname);
            }
            // RFC 4954 section 4.
            Command::Auth(..) if self.signed_in || self.transaction.is_some() => {
                self.refuse(Reply::new(503, "5.5.1 AUTH is not possible now"));
            }
            Command::Auth(mechanism, initial) => self.sasl(Exchange::begin(mechanism, initial.as_deref())),
            Command::StartTls => {
                self.steps.push_back(Step::Notice(Notice::StartTlsAsked));
                self.refuse(replies::no_starttls());
            }
            Command::Mail(mail) => self.mail(mail),
            Command::Rcpt(recipient) => self.rcpt(recipient),
            Command::Data => self.data(),
            Command::Bdat { size, last } => self.bdat(size, last),
            Command::Rset => {
                self.abandon(Abandoned::Reset);
                self.reply(250, "2.0.0 Reset");
            }
            Command::Noop => self.reply(250, "2.0.0 OK"),
            Command::Help => self.say(&replies::help()),
            Command::Vrfy => self.reply(252, "2.1.5 Cannot verify, but will try to deliver"),
            Command::Quit => {
                self.abandon(Abandoned::Reset);
                self.reply(221, "2.0.0 Bye");
                self.close(Ending::Quit);
            }
            Command::Http => {
                self.abandon(Abandoned::Reset);
                self.close(Ending::Http);
            }
        }
    }

    fn sasl(&mut self, progress: Progress) {
        match progress {
            Progress::Challenge(exchange, prompt) => {
                self.state = State::Sasl(exchange);
                self.reply(334, prompt);
            }
            Progress::Refused(reply) => self.refuse(reply),
            Progress::Login(_) if !self.limits.login_required => {
                self.signed_in(true);
                self.behind_auth = true;
            }
            Progress::Login(login) => {
                self.state = State::SigningIn;
                self.steps.push_back(Step::SignIn(login));
            }
        }
    }

    fn mail(&mut self, mail: Mail) {
        if self.limits.login_required && !self.signed_in {
            return self.refuse(replies::login_required());
        }
        if self.transaction.is_some() {
            return self.refuse(Reply::new(503, "5.5.1 A MAIL is already under way"));
        }
        if mail.size.is_some_and(|size| size > self.limits.max_message_size) {
            let reply = replies::too_big(self.limits.max_message_size);
            return self.say(&reply);
        }
        let judged = self.guard.as_ref().and_then(|guard| guard.refuse_sender(mail.reverse_path.as_ref()));
        if let Some(reply) = judged {
            return self.say(&reply);
        }
        self.transaction = Some(Transaction::Open(Envelope { mail, recipients: Vec::new() }));
        self.recipient_octets = 0;
        self.reply(250, "2.1.0 Sender OK");
    }

    fn rcpt(&mut self, recipient: Recipient) {
        let recipients = match &mut self.transaction {
            Some(Transaction::Open(envelope)) => &mut envelope.recipients,
            Some(Transaction::Chunked(_)) => {
                return self.refuse(Reply::new(503, "5.5.1 RCPT cannot follow BDAT"));
            }
            Some(Transaction::NoRoom) => return self.reply(250, replies::RECIPIENT_OK),
            None => return self.refuse(Reply::new(503, "5.5.1 Need MAIL before RCPT")),
        };
        let octets = self.recipient_octets + memory_of(&recipient);
        if recipients.len() >= self.limits.max_recipients || octets > MAX_RECIPIENTS {
            // RFC 5321 section 4.5.3.1.10: the client sends the others in another transaction.
            return self.reply(452, "4.5.3 Too many recipients");
        }
        let judged = self.guard.as_ref().and_then(|guard| guard.refuse_recipient(&recipient.address));
        if let Some(reply) = judged {
            return self.say(&reply);
        }
        if self.guard.as_ref().is_some_and(|guard| !guard.keep_envelope(octets)) {
            self.forget_envelope();
            self.transaction = Some(Transaction::NoRoom);
            return self.reply(250, replies::RECIPIENT_OK);
        }
        recipients.push(recipient);
        self.recipient_octets = octets;
        self.reply(250, replies::RECIPIENT_OK);
    }

    fn data(&mut self) {
        match self.transaction.take() {
            Some(Transaction::Open(envelope)) if !envelope.recipients.is_empty() => {
                self.steps.push_back(Step::Begin(envelope));
                self.reply(354, "Start mail input; end with <CRLF>.<CRLF>");
                self.state = State::Data(Incoming::data());
            }
            None => self.refuse(Reply::new(503, "5.5.1 Need MAIL before DATA")),
            Some(Transaction::NoRoom) => self.say(&replies::no_room()),
            Some(wrong) => {
                let text = match wrong {
                    Transaction::Open(_) => "5.5.1 Need RCPT before DATA",
                    Transaction::Chunked(_) | Transaction::NoRoom => "5.5.1 DATA cannot follow BDAT",
                };
                self.transaction = Some(wrong);
                self.refuse(Reply::new(503, text));
            }
        }
    }

    fn bdat(&mut self, size: u64, last: bool) {
        match self.transaction.take() {
            Some(Transaction::Open(envelope)) if !envelope.recipients.is_empty() => {
                self.steps.push_back(Step::Begin(envelope));
                self.transaction = Some(Transaction::Chunked(Incoming::bdat()));
            }
            chunked @ Some(Transaction::Chunked(_)) => self.transaction = chunked,
            Some(Transaction::NoRoom) => {
                self.state = State::DropChunk(size, replies::no_room());
                return;
            }
            other => {
                self.transaction = other;
                // The octets come whatever we say (RFC 3030 section 2): read as commands they would be a disaster.
                self.state = State::DropChunk(size, Reply::new(503, "5.5.1 Need MAIL and RCPT before BDAT"));
                return;
            }
        }
        self.state = State::Chunk { left: size, last };
    }

    /// Content of DATA or of one chunk.
    fn content(&mut self) -> bool {
        let (incoming, chunk) = match (&mut self.state, &mut self.transaction) {
            (State::Data(incoming), _) => (incoming, None),
            (State::Chunk { left, last }, Some(Transaction::Chunked(incoming))) => {
                (incoming, Some((left, *last)))
            }
            _ => return false,
        };
        let before = incoming.octets();
        let more_chunks = matches!(chunk, Some((_, false)));
        let (used, whole) = match chunk {
            None => (incoming.read(&mut self.input, usize::MAX), incoming.ended()),
            Some((left, last)) => {
                let used = incoming.read(&mut self.input, usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= used as u64;
                (used, *left == 0 && (!last || incoming.finish()))
            }
        };
        let has_moved = used > 0 || whole || incoming.octets() > before;
        if incoming.octets() > self.limits.max_message_size {
            self.over_size(whole);
            return true;
        }
        self.steps.extend(incoming.take(whole && !more_chunks).map(Step::Content));
        if whole {
            self.content_whole();
        }
        has_moved
    }

    /// DATA's end or a chunk's.
    fn content_whole(&mut self) {
        if let State::Chunk { last: false, .. } = self.state {
            self.state = State::Commands;
            return self.reply(250, "2.0.0 Chunk received");
        }
        self.transaction = None;
        self.state = State::Verdict;
        self.steps.push_back(Step::End);
    }

    /// More than SIZE says: the rest is read and dropped, so that the dialogue stays in step.
    fn over_size(&mut self, whole: bool) {
        self.steps.push_back(Step::Abandoned(Abandoned::TooBig));
        self.transaction = None;
        let reply = replies::too_big(self.limits.max_message_size);
        match std::mem::replace(&mut self.state, State::Commands) {
            State::Data(_) if whole => self.steps.push_back(Step::Reply(reply.encode())),
            State::Data(incoming) => self.state = State::DropData(incoming.into_reader(), reply),
            State::Chunk { left, .. } => self.state = State::DropChunk(left, reply),
            _ => {}
        }
    }

    /// Drops the transaction; the driver hears of it if its content had begun.
    fn abandon(&mut self, why: Abandoned) {
        if self.has_unseen_end() {
            self.steps.push_back(Step::Notice(Notice::EndNotSeen));
        }
        if self.is_receiving() {
            self.steps.push_back(Step::Abandoned(why));
        } else {
            self.forget_envelope();
        }
        self.transaction = None;
    }

    fn forget_envelope(&self) {
        if let Some(guard) = &self.guard {
            guard.keep_envelope(0);
        }
    }

    fn end(&mut self, why: Abandoned, reply: Reply, ending: Ending) {
        self.abandon(why);
        self.steps.push_back(Step::Reply(reply.encode()));
        self.close(ending);
    }

    fn close(&mut self, ending: Ending) {
        // The first ending is the reason; what follows from it is not.
        if !matches!(self.state, State::Closed(_)) {
            self.state = State::Closed(ending);
            self.input.clear();
        }
    }

    fn reply(&mut self, code: u16, text: &str) {
        self.say(&Reply::new(code, text));
    }

    /// Of a command that was understood and is not granted, too. That is no error: twenty recipients that may not be sent
    /// to must not end the mail of the one that may.
    fn say(&mut self, reply: &Reply) {
        self.steps.push_back(Step::Reply(reply.encode()));
    }

    /// A refused command.
    fn refuse(&mut self, reply: Reply) {
        self.errors += 1;
        self.steps.push_back(Step::Reply(reply.encode()));
        if self.errors >= MAX_ERRORS {
            self.abandon(Abandoned::Reset);
            self.reply(421, "4.7.0 Too many errors on this connection, closing");
            self.close(Ending::TooManyErrors);
        }
    }
}

#[path = "standing.rs"]
mod standing;
