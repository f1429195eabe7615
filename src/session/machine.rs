//! The SMTP server as a pure machine (RFC 5321): octets in, steps out. No socket, clock or log.
//!
//! The driver calls [`Machine::step`] until it says [`Step::NeedInput`], reads the socket, hands over what came, and
//! goes on. Content is never kept here: a `Content` step is made only when it is asked for, so not asking is the
//! back-pressure.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::message::{Envelope, Why};
use crate::smtp::command::{self, Command, Mail, Mechanism, Recipient, Refusal};
use crate::smtp::data::ContentReader;
use crate::smtp::reply::Reply;
use crate::smtp::sasl::{self, Login};

/// The longest line of any command: RFC 4954 section 4 asks for 12,288 octets of a SASL response.
const MAX_LINE: usize = 12_288;
/// Octets of content in one step.
const MAX_CONTENT: usize = 16 * 1024;
/// Refused commands in one session before it is ended: a client that talks nonsense (or another protocol) must not
/// keep a slot.
const MAX_ERRORS: u32 = 20;

/// What the machine needs to know of the configuration.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The name in the greeting.
    pub hostname: String,
    /// SIZE, in octets.
    pub max_message_size: u64,
    /// Recipients of one transaction.
    pub max_recipients: usize,
    /// Whether the app must sign in; otherwise any credentials are accepted and forgotten.
    pub login_required: bool,
}

/// What the driver does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read the socket, then call [`Machine::received`] or [`Machine::eof`].
    NeedInput,
    /// Write this.
    Reply(Bytes),
    /// Check these, then call [`Machine::signed_in`].
    SignIn(Login),
    /// DATA, or the first BDAT: the content follows.
    Begin(Envelope),
    /// Canonical content.
    Content(Bytes),
    /// The content is whole; the driver owes [`Machine::answer`], and nothing is parsed before.
    End,
    /// The content will not become whole: no answer is owed.
    Abandoned(Why),
    /// Something an operator should hear of.
    Notice(Notice),
    /// Close the connection.
    Close(Ending),
}

/// Something in the dialogue that calls for a change in the app's set-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The app asked for STARTTLS.
    StartTlsAsked,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// QUIT.
    Quit,
    /// The app closed the connection.
    HungUp,
    /// An HTTP request came.
    Http,
    /// A TLS hello came.
    TlsHello,
    /// Too many refused commands.
    TooManyErrors,
    /// A BDAT whose size could not be read.
    OutOfStep,
    /// Nothing came for too long.
    Idle,
    /// The app sent its content too slowly.
    Cut,
    /// The shim is shutting down.
    ShuttingDown,
}

#[derive(Debug)]
enum State {
    Greeting,
    Commands,
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
    Closed,
}

#[derive(Debug)]
enum Exchange {
    Plain,
    LoginUsername,
    LoginPassword(Vec<u8>),
}

/// Content on its way in.
#[derive(Debug)]
struct Incoming {
    reader: ContentReader,
    octets: u64,
}

/// A mail transaction (RFC 5321 section 3.3).
#[derive(Debug)]
struct Transaction {
    mail: Mail,
    recipients: Vec<Recipient>,
    /// Some after the first BDAT.
    chunks: Option<Incoming>,
}

/// The machine of one session.
#[derive(Debug)]
pub struct Machine {
    limits: Limits,
    state: State,
    transaction: Option<Transaction>,
    signed_in: bool,
    errors: u32,
    input: BytesMut,
    fresh: bool,
    dropping_line: bool,
    eof: bool,
    steps: VecDeque<Step>,
}

impl Machine {
    /// A machine that is about to greet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Greeting,
            transaction: None,
            signed_in: false,
            errors: 0,
            input: BytesMut::new(),
            fresh: true,
            dropping_line: false,
            eof: false,
            steps: VecDeque::new(),
        }
    }

    /// Octets from the app.
    pub fn received(&mut self, octets: &[u8]) {
        self.input.extend_from_slice(octets);
    }

    /// How many octets wait to be looked at; the driver reads no more while there are many.
    pub fn unread(&self) -> usize {
        self.input.len()
    }

    /// The app has closed its side.
    pub fn eof(&mut self) {
        self.eof = true;
    }

    /// Whether a QUIT is among what waits to be looked at: its sender has handed its mail over and may go.
    pub fn has_quit(&self) -> bool {
        self.input[..]
            .split(|octet| *octet == b'\n')
            .any(|line| line.trim_ascii().eq_ignore_ascii_case(b"QUIT"))
    }

    /// The app was silent for too long.
    pub fn idle(&mut self) {
        self.end(Why::Idle, Reply::new(421, "4.4.2 Idle for too long, closing"), Ending::Idle);
    }

    /// The shim ends; call it between transactions.
    pub fn shutdown(&mut self) {
        self.end(Why::ShuttingDown, Reply::new(421, "4.3.2 mailshim is shutting down"), Ending::ShuttingDown);
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
            self.refuse(Reply::new(
                535,
                "5.7.8 Wrong user name or password (MAILSHIM_APP_USERNAME, MAILSHIM_APP_PASSWORD)",
            ));
        }
    }

    /// The verdict on the message, after [`Step::End`].
    pub fn answer(&mut self, reply: &Reply) {
        debug_assert!(matches!(self.state, State::Verdict), "an answer is owed only after End");
        if reply.is_positive() {
            self.errors = 0;
        }
        self.steps.push_back(Step::Reply(reply.encode()));
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
                    State::Closed => return Step::NeedInput,
                    // Hung up while it waited: no answer is owed, and nothing more will come.
                    State::Verdict if !self.eof => return Step::NeedInput,
                    _ if self.eof => {
                        if self.is_receiving() {
                            self.steps.push_back(Step::Abandoned(Why::HungUp));
                        }
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
                self.steps.push_back(Step::Reply(
                    Reply::new(220, format!("{} ESMTP mailshim", self.limits.hostname)).encode(),
                ));
                true
            }
            State::Commands | State::Sasl(_) => self.line(),
            State::Data(_) | State::Chunk { .. } => self.content(),
            State::DropData(reader, _) => {
                let mut dropped = Vec::with_capacity(MAX_CONTENT);
                let used = reader.read(&mut self.input, usize::MAX, &mut dropped, MAX_CONTENT);
                let ended = reader.ended();
                if ended
                    && let State::DropData(_, reply) = std::mem::replace(&mut self.state, State::Commands)
                {
                    self.refuse(reply);
                }
                ended || used > 0 || !dropped.is_empty()
            }
            State::DropChunk(left, _) => {
                let used = self.input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                let _ = self.input.split_to(used);
                *left -= used as u64;
                let ended = *left == 0;
                if ended
                    && let State::DropChunk(_, reply) = std::mem::replace(&mut self.state, State::Commands)
                {
                    self.refuse(reply);
                }
                ended || used > 0
            }
            State::SigningIn | State::Verdict | State::Closed => false,
        }
    }

    /// One line of commands or of a SASL exchange.
    fn line(&mut self) -> bool {
        if self.fresh
            && let Some(&first) = self.input.first()
        {
            self.fresh = false;
            // A TLS record of the handshake kind (RFC 8446 section 5.1): no SMTP command begins so.
            if first == 0x16 {
                self.close(Ending::TlsHello);
                return true;
            }
        }
        let Some(end) = memchr::memchr(b'\n', &self.input) else {
            if self.input.len() > MAX_LINE {
                self.input.clear();
                self.dropping_line = true;
            }
            return false;
        };
        let line = self.input.split_to(end + 1);
        if std::mem::take(&mut self.dropping_line) || line.len() > MAX_LINE + 2 {
            self.state = State::Commands;
            self.refuse(Reply::new(500, "5.5.2 Command line too long"));
            return true;
        }
        // A bare LF ends a command too, and so does a line end that was converted twice: old clients send both.
        let mut line = &line[..end];
        while let Some(shorter) = line.strip_suffix(b"\r") {
            line = shorter;
        }
        match std::mem::replace(&mut self.state, State::Commands) {
            State::Sasl(exchange) => self.sasl(exchange, line),
            _ => match command::parse(line) {
                Ok(command) => self.command(command),
                Err(Refusal { reply, out_of_step }) => {
                    self.refuse(reply);
                    if out_of_step {
                        self.abandon(Why::Reset);
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
                self.abandon(Why::Reset);
                self.ehlo();
            }
            Command::Helo => {
                self.abandon(Why::Reset);
                let hostname = self.limits.hostname.clone();
                self.reply(250, &hostname);
            }
            Command::Auth(mechanism, initial) => self.auth(mechanism, initial),
            Command::StartTls => {
                self.steps.push_back(Step::Notice(Notice::StartTlsAsked));
                self.refuse(Reply::new(
                    502,
                    "5.5.1 No STARTTLS here: set the app to plain SMTP, mailshim does TLS upstream",
                ));
            }
            Command::Mail(mail) => self.mail(mail),
            Command::Rcpt(recipient) => self.rcpt(recipient),
            Command::Data => self.data(),
            Command::Bdat { size, last } => self.bdat(size, last),
            Command::Rset => {
                self.abandon(Why::Reset);
                self.reply(250, "2.0.0 Reset");
            }
            Command::Noop => self.reply(250, "2.0.0 OK"),
            Command::Help => self.reply(
                214,
                "2.0.0 mailshim relays to Office 365: MAIL, RCPT, DATA, BDAT, AUTH, RSET, NOOP, QUIT",
            ),
            Command::Vrfy => self.reply(252, "2.1.5 Cannot verify, but will try to deliver"),
            Command::Quit => {
                self.abandon(Why::Reset);
                self.reply(221, "2.0.0 Bye");
                self.close(Ending::Quit);
            }
            Command::Http => {
                self.abandon(Why::Reset);
                self.close(Ending::Http);
            }
        }
    }

    fn ehlo(&mut self) {
        let lines = vec![
            format!("{} Hello", self.limits.hostname),
            "PIPELINING".into(),
            format!("SIZE {}", self.limits.max_message_size),
            "8BITMIME".into(),
            "SMTPUTF8".into(),
            "DSN".into(),
            "ENHANCEDSTATUSCODES".into(),
            "CHUNKING".into(),
            "AUTH PLAIN LOGIN".into(),
            "HELP".into(),
        ];
        self.steps.push_back(Step::Reply(Reply { code: 250, lines }.encode()));
    }

    fn auth(&mut self, mechanism: Mechanism, initial: Option<String>) {
        if self.signed_in || self.transaction.is_some() {
            // RFC 4954 section 4.
            return self.refuse(Reply::new(503, "5.5.1 AUTH is not possible now"));
        }
        let (exchange, prompt) = match mechanism {
            Mechanism::Plain => (Exchange::Plain, ""),
            Mechanism::Login => (Exchange::LoginUsername, sasl::PROMPT_USERNAME),
        };
        match initial {
            Some(response) => self.sasl(exchange, response.as_bytes()),
            None => self.challenge(exchange, prompt),
        }
    }

    fn challenge(&mut self, exchange: Exchange, prompt: &str) {
        self.state = State::Sasl(exchange);
        self.reply(334, prompt);
    }

    fn sasl(&mut self, exchange: Exchange, response: &[u8]) {
        if response == b"*" {
            return self.refuse(Reply::new(501, "5.7.0 Authentication cancelled"));
        }
        let Some(response) = sasl::decode(response.trim_ascii()) else {
            return self.refuse(Reply::new(501, "5.5.2 Not base64"));
        };
        let login = match exchange {
            Exchange::LoginUsername => {
                return self.challenge(Exchange::LoginPassword(response), sasl::PROMPT_PASSWORD);
            }
            Exchange::LoginPassword(username) => Some(Login::new(username, response)),
            Exchange::Plain => sasl::plain(&response),
        };
        match login {
            None => self.refuse(Reply::new(501, "5.5.2 Not a response of AUTH PLAIN")),
            Some(_) if !self.limits.login_required => self.signed_in(true),
            Some(login) => {
                self.state = State::SigningIn;
                self.steps.push_back(Step::SignIn(login));
            }
        }
    }

    fn mail(&mut self, mail: Mail) {
        if self.limits.login_required && !self.signed_in {
            return self
                .refuse(Reply::new(530, "5.7.0 Authentication required (MAILSHIM_APP_USERNAME is set)"));
        }
        if self.transaction.is_some() {
            return self.refuse(Reply::new(503, "5.5.1 A MAIL is already under way"));
        }
        if mail.size.is_some_and(|size| size > self.limits.max_message_size) {
            let reply = self.too_big();
            return self.refuse(reply);
        }
        self.transaction = Some(Transaction { mail, recipients: Vec::new(), chunks: None });
        self.reply(250, "2.1.0 Sender OK");
    }

    fn rcpt(&mut self, recipient: Recipient) {
        let max = self.limits.max_recipients;
        let Some(transaction) = self.transaction.as_mut().filter(|transaction| transaction.chunks.is_none())
        else {
            return self.refuse(Reply::new(503, "5.5.1 Need MAIL before RCPT"));
        };
        if transaction.recipients.len() >= max {
            // RFC 5321 section 4.5.3.1.10: not counted as an error, the client sends the others in another transaction.
            return self.reply(452, "4.5.3 Too many recipients");
        }
        transaction.recipients.push(recipient);
        self.reply(250, "2.1.5 Recipient OK");
    }

    fn data(&mut self) {
        match self.transaction.take() {
            Some(transaction) if transaction.chunks.is_some() => {
                self.transaction = Some(transaction);
                self.refuse(Reply::new(503, "5.5.1 DATA cannot follow BDAT"));
            }
            Some(transaction) if transaction.recipients.is_empty() => {
                self.transaction = Some(transaction);
                self.refuse(Reply::new(503, "5.5.1 Need RCPT before DATA"));
            }
            Some(Transaction { mail, recipients, .. }) => {
                self.steps.push_back(Step::Begin(Envelope { mail, recipients }));
                self.reply(354, "Start mail input; end with <CRLF>.<CRLF>");
                self.state = State::Data(Incoming { reader: ContentReader::data(), octets: 0 });
            }
            None => self.refuse(Reply::new(503, "5.5.1 Need MAIL before DATA")),
        }
    }

    fn bdat(&mut self, size: u64, last: bool) {
        let Some(transaction) =
            self.transaction.as_mut().filter(|transaction| !transaction.recipients.is_empty())
        else {
            // The octets come whatever we say (RFC 3030 section 2): read as commands they would be a disaster.
            self.state = State::DropChunk(size, Reply::new(503, "5.5.1 Need MAIL and RCPT before BDAT"));
            return;
        };
        if transaction.chunks.is_none() {
            transaction.chunks = Some(Incoming { reader: ContentReader::bdat(), octets: 0 });
            let (mail, recipients) = (transaction.mail.clone(), transaction.recipients.clone());
            self.steps.push_back(Step::Begin(Envelope { mail, recipients }));
        }
        self.state = State::Chunk { left: size, last };
    }

    /// Content of DATA or of one chunk.
    fn content(&mut self) -> bool {
        let (incoming, chunk) = match (&mut self.state, &mut self.transaction) {
            (State::Data(incoming), _) => (incoming, None),
            (State::Chunk { left, last }, Some(Transaction { chunks: Some(incoming), .. })) => {
                (incoming, Some((left, *last)))
            }
            _ => return false,
        };
        let mut out = Vec::with_capacity(MAX_CONTENT.min(self.input.len() + 64));
        let limit =
            chunk.as_ref().map_or(usize::MAX, |(left, _)| usize::try_from(**left).unwrap_or(usize::MAX));
        let used = incoming.reader.read(&mut self.input, limit, &mut out, MAX_CONTENT);
        let whole = match chunk {
            None => incoming.reader.ended(),
            Some((left, last)) => {
                *left -= used as u64;
                *left == 0 && (!last || incoming.reader.finish(&mut out, MAX_CONTENT))
            }
        };
        let moved = used > 0 || !out.is_empty() || whole;
        incoming.octets += out.len() as u64;
        if incoming.octets > self.limits.max_message_size {
            self.over_size(whole);
            return true;
        }
        if !out.is_empty() {
            self.steps.push_back(Step::Content(out.into()));
        }
        if whole {
            self.content_whole();
        }
        moved
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
        self.steps.push_back(Step::Abandoned(Why::TooBig));
        self.transaction = None;
        let reply = self.too_big();
        match std::mem::replace(&mut self.state, State::Commands) {
            State::Data(_) if whole => self.refuse(reply),
            State::Data(incoming) => self.state = State::DropData(incoming.reader, reply),
            State::Chunk { left, .. } => self.state = State::DropChunk(left, reply),
            _ => {}
        }
    }

    fn too_big(&self) -> Reply {
        Reply::new(
            552,
            format!(
                "5.3.4 Message larger than {} octets (MAILSHIM_MAX_MESSAGE_SIZE)",
                self.limits.max_message_size
            ),
        )
    }

    /// Whether the driver has been told of content whose end it has not seen.
    fn is_receiving(&self) -> bool {
        matches!(self.state, State::Data(_) | State::Chunk { .. })
            || self.transaction.as_ref().is_some_and(|transaction| transaction.chunks.is_some())
    }

    /// Drops the transaction; the driver hears of it if its content had begun.
    fn abandon(&mut self, why: Why) {
        if self.is_receiving() {
            self.steps.push_back(Step::Abandoned(why));
        }
        self.transaction = None;
    }

    fn end(&mut self, why: Why, reply: Reply, ending: Ending) {
        self.abandon(why);
        self.steps.push_back(Step::Reply(reply.encode()));
        self.close(ending);
    }

    fn close(&mut self, ending: Ending) {
        self.state = State::Closed;
        self.input.clear();
        self.steps.push_back(Step::Close(ending));
    }

    fn reply(&mut self, code: u16, text: &str) {
        self.steps.push_back(Step::Reply(Reply::new(code, text).encode()));
    }

    /// A refused command.
    fn refuse(&mut self, reply: Reply) {
        self.errors += 1;
        self.steps.push_back(Step::Reply(reply.encode()));
        if self.errors >= MAX_ERRORS {
            self.abandon(Why::Reset);
            self.reply(421, "4.7.0 Too many errors on this connection, closing");
            self.close(Ending::TooManyErrors);
        }
    }
}
