//! A small blocking SMTP client (RFC 5321) for the commands that send through the running shim. It speaks to loopback
//! and to nobody else, and knows nothing of Office 365: what delivers is the shim.

pub(in crate::cli) mod letter;

use std::fmt::{self, Write as _};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::config::Client;
use crate::credential::AppLogin;
use crate::smtp::data::DotStuffer;
use crate::smtp::path::Address;
use crate::smtp::reply::{Reply, ReplyReader};
use crate::smtp::sasl;
use letter::read_once;

/// Octets of content that are written at a time.
const CHUNK: usize = 64 * 1024;

/// How long each wait for the shim may last.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Deadlines {
    /// One connection.
    pub connect: Duration,
    /// The greeting and the reply to one command: the shim judges these alone.
    pub command: Duration,
    /// Its reading on, and its verdict. The hold (at most 10 minutes), Office 365's own time and a drain pass before it.
    pub verdict: Duration,
    /// The goodbye.
    pub quit: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { connect: seconds(5), command: seconds(60), verdict: seconds(1200), quit: seconds(2) }
    }
}

/// The envelope of a message (RFC 5321 section 2.3.1) with its delivery status wishes (RFC 3461).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Envelope {
    /// `None` is the null reverse-path.
    pub sender: Option<Address>,
    /// At least one.
    pub recipients: Vec<Address>,
    /// BODY=7BIT was asked for.
    pub is_seven_bit: bool,
    /// NOTIFY, for every recipient.
    pub notify: Option<String>,
    /// RET.
    pub ret: Option<&'static str>,
    /// ENVID, as xtext.
    pub envid: Option<String>,
}

/// Why a message was not accepted.
#[derive(Debug)]
pub(in crate::cli) enum Failure {
    /// Nobody listens.
    Nobody(String),
    /// The shim's reply, and the recipient it is about.
    Refused(Reply, Option<Address>),
    /// The connection, or what came over it, broke: whether the mail was accepted is not known after the last dot.
    Lost(String),
    /// The secret for the shim cannot be read.
    Login(String),
    /// The message itself cannot be read.
    Input(io::Error),
}

impl fmt::Display for Failure {
    /// One line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody(text) | Self::Lost(text) | Self::Login(text) => f.write_str(text),
            Self::Input(error) => write!(f, "the message cannot be read: {error}"),
            Self::Refused(reply, None) => reply.fmt(f),
            Self::Refused(reply, Some(recipient)) => {
                let text = reply.to_string();
                f.write_str(&text)?;
                if !text.contains(recipient.as_str()) {
                    write!(f, " (recipient {recipient})")?;
                }
                Ok(())
            }
        }
    }
}

/// A connection to the running shim, greeted and, where the shim asks for it, signed in.
#[derive(Debug)]
pub(in crate::cli) struct Shim {
    socket: TcpStream,
    replies: ReplyReader,
    deadlines: Deadlines,
    is_verbose: bool,
    /// What it said first.
    pub greeting: Reply,
}

impl Shim {
    /// Connects to the first address that somebody listens on.
    pub fn connect(client: &Client, deadlines: Deadlines, is_verbose: bool) -> Result<Self, Failure> {
        let socket = open(client, deadlines)?;
        let greeting = Reply::new(220, "");
        let mut shim = Self { socket, replies: ReplyReader::default(), deadlines, is_verbose, greeting };
        shim.greeting = shim.expect(220, deadlines.command)?;
        if let Some(login) = &client.app_login {
            shim.sign_in(login)?;
        }
        Ok(shim)
    }

    /// AUTH PLAIN (RFC 4616), over loopback alone.
    fn sign_in(&mut self, login: &AppLogin) -> Result<(), Failure> {
        let password = login.password.read().map_err(Failure::Login)?;
        self.hello()?;
        let response = sasl::encode(format!("\0{}\0{}", login.username, password.expose()).as_bytes());
        self.show(">>> AUTH PLAIN [redacted]");
        self.write(format!("AUTH PLAIN {response}\r\n").as_bytes())?;
        self.expect(235, self.deadlines.command).map(drop)
    }

    fn hello(&mut self) -> Result<(), Failure> {
        self.command("EHLO localhost").map(drop)
    }

    /// Hands one message over; `content` is canonical. The shim's verdict is Office 365's.
    pub fn send(&mut self, envelope: &Envelope, content: &mut dyn Read) -> Result<Reply, Failure> {
        self.hello()?;
        self.command(&mail(envelope))?;
        for recipient in &envelope.recipients {
            let about = |failure| match failure {
                Failure::Refused(reply, _) => Failure::Refused(reply, Some(recipient.clone())),
                other => other,
            };
            let notify =
                envelope.notify.as_ref().map(|notify| format!(" NOTIFY={notify}")).unwrap_or_default();
            self.command(&format!("RCPT TO:<{recipient}>{notify}")).map_err(about)?;
        }
        self.show(">>> DATA");
        self.write(b"DATA\r\n")?;
        self.expect(354, self.deadlines.command)?;
        self.content(content)?;
        let verdict = self.reply(self.deadlines.verdict)?;
        if !verdict.is_positive() {
            return Err(Failure::Refused(verdict, None));
        }
        // The mail is accepted, whatever becomes of the goodbye.
        let _ = self.socket.set_write_timeout(Some(self.deadlines.quit));
        if self.write(b"QUIT\r\n").is_ok() {
            let _ = self.reply(self.deadlines.quit);
        }
        Ok(verdict)
    }

    fn content(&mut self, content: &mut dyn Read) -> Result<(), Failure> {
        // While it waits for a turn the shim reads nothing.
        let _ = self.socket.set_write_timeout(Some(self.deadlines.verdict));
        let (mut piece, mut out, mut stuffer) = (vec![0; CHUNK], Vec::new(), DotStuffer::new());
        loop {
            // Without the dot nothing is sent: a message whose rest cannot be read is no message.
            let mut input = &mut *content;
            let octets = read_once(&mut input, &mut piece).map_err(Failure::Input)?;
            if octets == 0 {
                stuffer.end(&mut out);
                return self.write(&out);
            }
            stuffer.stuff(&piece[..octets], &mut out);
            if out.len() >= CHUNK {
                self.write(&out)?;
                out.clear();
            }
        }
    }

    /// A command that has to be answered with 2xx.
    fn command(&mut self, line: &str) -> Result<Reply, Failure> {
        self.show(&format!(">>> {line}"));
        self.write(format!("{line}\r\n").as_bytes())?;
        let reply = self.reply(self.deadlines.command)?;
        if reply.is_positive() { Ok(reply) } else { Err(Failure::Refused(reply, None)) }
    }

    fn expect(&mut self, code: u16, deadline: Duration) -> Result<Reply, Failure> {
        let reply = self.reply(deadline)?;
        if reply.code == code { Ok(reply) } else { Err(Failure::Refused(reply, None)) }
    }

    fn write(&mut self, octets: &[u8]) -> Result<(), Failure> {
        match self.socket.write_all(octets) {
            Ok(()) => Ok(()),
            // A shim that closes says why before it does: cut off, shutting down.
            Err(error) => match self.reply(self.deadlines.quit) {
                Ok(reply) => Err(Failure::Refused(reply, None)),
                Err(_) => Err(lost(&error)),
            },
        }
    }

    fn reply(&mut self, deadline: Duration) -> Result<Reply, Failure> {
        let _ = self.socket.set_read_timeout(Some(deadline));
        let mut piece = [0; 4096];
        loop {
            match self.replies.next() {
                Ok(Some(reply)) => {
                    self.show(String::from_utf8_lossy(&reply.encode()).trim_end());
                    return Ok(reply);
                }
                Ok(None) => {}
                Err(broken) => {
                    return Err(Failure::Lost(format!("no SMTP server, or not ours: {broken}")));
                }
            }
            match read_once(&mut self.socket, &mut piece) {
                Ok(0) => return Err(Failure::Lost("mailshim closed the connection".to_string())),
                Ok(octets) => self.replies.received(&piece[..octets]),
                Err(error) => return Err(lost(&error)),
            }
        }
    }

    fn show(&self, text: &str) {
        if self.is_verbose {
            let _ = writeln!(io::stdout(), "{text}");
        }
    }

    /// Connects standard input and output with the shim until it closes.
    pub fn proxy(self) -> Result<(), Failure> {
        let _ = self.socket.set_read_timeout(Some(self.deadlines.verdict));
        let mut outward = self.socket.try_clone().map_err(|error| lost(&error))?;
        // Not joined: it may wait for input that never comes when the shim has closed.
        std::thread::spawn(move || {
            let _ = io::copy(&mut io::stdin().lock(), &mut outward);
            let _ = outward.shutdown(Shutdown::Write);
        });
        let (mut inward, mut stdout) = (self.socket, io::stdout().lock());
        stdout
            .write_all(&self.greeting.encode())
            .and_then(|()| stdout.flush())
            .map_err(|error| lost(&error))?;
        let mut piece = [0; 4096];
        loop {
            match read_once(&mut inward, &mut piece) {
                Ok(0) => return Ok(()),
                Ok(octets) => stdout
                    .write_all(&piece[..octets])
                    .and_then(|()| stdout.flush())
                    .map_err(|error| lost(&error))?,
                Err(error) => return Err(lost(&error)),
            }
        }
    }
}

fn lost(error: &io::Error) -> Failure {
    use io::ErrorKind::{TimedOut, WouldBlock};
    Failure::Lost(match error.kind() {
        TimedOut | WouldBlock => "mailshim did not answer in time".to_string(),
        _ => format!("the connection to mailshim broke: {error}"),
    })
}

fn open(client: &Client, deadlines: Deadlines) -> Result<TcpStream, Failure> {
    let addresses: Vec<SocketAddr> = client.listen.addresses.iter().map(|address| address.get()).collect();
    let mut why = None;
    for address in &addresses {
        match TcpStream::connect_timeout(address, deadlines.connect) {
            Ok(socket) => {
                let _ = socket.set_nodelay(true);
                let _ = socket.set_write_timeout(Some(deadlines.command));
                return Ok(socket);
            }
            // IPv6's refusal says less than the first.
            Err(error) => _ = why.get_or_insert(error),
        }
    }
    let addresses = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
    let why = why.map(|error| format!(" ({error})")).unwrap_or_default();
    Err(Failure::Nobody(format!(
        "nobody listens on {addresses}{why}: is mailshim running, and MAILSHIM_LISTEN the same here as there?"
    )))
}

/// MAIL with its parameters. Addresses and values are of types that hold no line end.
fn mail(envelope: &Envelope) -> String {
    let sender = envelope.sender.as_ref().map_or("", Address::as_str);
    // Whether 8-bit octets come is not known before they do; the declaration allows them.
    let body = if envelope.is_seven_bit { "7BIT" } else { "8BITMIME" };
    let mut line = format!("MAIL FROM:<{sender}> BODY={body}");
    if let Some(ret) = envelope.ret {
        let _ = write!(line, " RET={ret}");
    }
    if let Some(envid) = &envelope.envid {
        let _ = write!(line, " ENVID={envid}");
    }
    if !sender.is_ascii() || envelope.recipients.iter().any(|recipient| !recipient.as_str().is_ascii()) {
        line.push_str(" SMTPUTF8");
    }
    line
}
