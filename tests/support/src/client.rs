//! A plain blocking SMTP client that sends what it is told to, as the app would.

use std::fmt;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::Deref;

use crate::PATIENCE;
use crate::mails::stuffed;

/// Who gets a mail of which a test says no more.
pub const RECIPIENT: &str = "ann@fabrikam.com";

/// A reply. As text it is its last line, code and all; at the connection's end it is empty, and its code 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The code.
    pub code: u16,
    /// The text without codes, lines joined by a line feed.
    pub text: String,
    /// The lines as they came, without their ends.
    pub lines: Vec<String>,
}

impl Reply {
    /// It has this code.
    #[track_caller]
    pub fn is(&self, code: u16) -> &Self {
        assert_eq!(self.code, code, "{}", self.text);
        self
    }

    /// These words stand in it.
    #[track_caller]
    pub fn says(&self, words: &str) -> &Self {
        assert!(self.text.contains(words), "no '{words}' in: {} {}", self.code, self.text);
        self
    }

    /// It begins so, and these words stand in it.
    #[track_caller]
    pub fn begins(&self, start: &str, words: &[&str]) -> &Self {
        assert!(self.starts_with(start) && words.iter().all(|words| self.contains(words)), "{self}");
        self
    }
}

impl Deref for Reply {
    type Target = str;

    fn deref(&self) -> &str {
        self.lines.last().map_or("", String::as_str)
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl PartialEq<&str> for Reply {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

/// The app: one connection.
pub struct Client {
    socket: BufReader<TcpStream>,
}

impl Client {
    /// Connected and greeted.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        let mut client = Self::dial(address);
        client.reply().is(220);
        client
    }

    /// Connected, nothing read.
    pub fn dial(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).expect("mailshim listens");
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket: BufReader::new(socket) }
    }

    /// Sends these octets.
    #[track_caller]
    pub fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.socket.get_mut().write_all(octets.as_ref()).expect("mailshim reads");
    }

    /// Like `send`, where the shim may have closed already; whether it took them.
    pub fn try_send(&mut self, octets: impl AsRef<[u8]>) -> bool {
        self.socket.get_mut().write_all(octets.as_ref()).is_ok()
    }

    /// One reply; an empty one at the end of the stream, and a reset is an end.
    #[track_caller]
    pub fn reply(&mut self) -> Reply {
        let (mut text, mut lines) = (Vec::new(), Vec::new());
        loop {
            let mut line = String::new();
            let octets = match self.socket.read_line(&mut line) {
                Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
                octets => octets.unwrap_or_else(|error| panic!("no reply: {error}")),
            };
            if octets == 0 {
                return Reply { code: 0, text: text.join("\n"), lines: Vec::new() };
            }
            let line = line.trim_end();
            text.push(line.get(4..).unwrap_or_default().to_string());
            lines.push(line.to_string());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Reply { code: line[..3].parse().unwrap(), text: text.join("\n"), lines };
            }
        }
    }

    /// Sends a line; the reply to it.
    #[track_caller]
    pub fn command(&mut self, line: &str) -> Reply {
        self.send(format!("{line}\r\n"));
        self.reply()
    }

    /// Sends a line whose reply begins so.
    #[track_caller]
    pub fn expect(&mut self, line: &str, start: &str) -> Reply {
        let reply = self.command(line);
        assert!(reply.starts_with(start), "{line}: {reply}");
        reply
    }

    /// MAIL and RCPT, accepted, from the mailbox itself.
    #[track_caller]
    pub fn envelope(&mut self, recipients: &[&str]) {
        self.envelope_of("app@contoso.com", recipients);
    }

    /// MAIL and RCPT, accepted.
    #[track_caller]
    pub fn envelope_of(&mut self, sender: &str, recipients: &[&str]) {
        assert_eq!(self.command(&format!("MAIL FROM:<{sender}>")), "250 2.1.0 Sender OK");
        for recipient in recipients {
            assert_eq!(self.command(&format!("RCPT TO:<{recipient}>")), "250 2.1.5 Recipient OK");
        }
    }

    /// The envelope, and DATA up to the 354.
    #[track_caller]
    pub fn begin(&mut self, recipients: &[&str]) {
        self.envelope(recipients);
        self.command("DATA").is(354);
    }

    /// One mail with DATA, up to the dot; its answer is not waited for.
    #[track_caller]
    pub fn submit(&mut self, recipients: &[&str], content: &(impl AsRef<[u8]> + ?Sized)) {
        self.begin(recipients);
        self.send(stuffed(content.as_ref()));
    }

    /// One mail with DATA.
    #[track_caller]
    pub fn mail(&mut self, content: &(impl AsRef<[u8]> + ?Sized)) -> Reply {
        self.mail_as("app@contoso.com", content)
    }

    /// One mail with DATA and this reverse-path.
    #[track_caller]
    pub fn mail_as(&mut self, sender: &str, content: &(impl AsRef<[u8]> + ?Sized)) -> Reply {
        self.envelope_of(sender, &[RECIPIENT]);
        self.command("DATA").is(354);
        self.send(stuffed(content.as_ref()));
        self.reply()
    }

    /// One mail with BDAT, in chunks of this size.
    #[track_caller]
    pub fn mail_in_chunks(&mut self, content: &[u8], chunk: usize) -> Reply {
        self.envelope(&[RECIPIENT]);
        let mut chunks = content.chunks(chunk).peekable();
        while let Some(chunk) = chunks.next() {
            let last = if chunks.peek().is_none() { " LAST" } else { "" };
            self.send(format!("BDAT {}{last}\r\n", chunk.len()));
            self.send(chunk);
            let reply = self.reply();
            if last.is_empty() {
                reply.is(250);
            } else {
                return reply;
            }
        }
        panic!("no content");
    }

    /// FIN.
    pub fn shutdown(&mut self) {
        self.socket.get_mut().shutdown(Shutdown::Write).unwrap();
    }

    /// What is left until the end of the stream, which comes; a reset is one too.
    #[track_caller]
    pub fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        if let Err(error) = self.socket.read_to_end(&mut rest) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
        }
        String::from_utf8_lossy(&rest).into_owned()
    }
}
