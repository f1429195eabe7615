//! A plain blocking SMTP client that sends what it is told to, as the app would.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::setup::PATIENCE;

/// A reply: its code and its text, lines joined by a line feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    pub text: String,
}

impl Reply {
    #[track_caller]
    pub fn is(&self, code: u16) -> &Self {
        assert_eq!(self.code, code, "{}", self.text);
        self
    }

    #[track_caller]
    pub fn says(&self, words: &str) -> &Self {
        assert!(self.text.contains(words), "no '{words}' in: {} {}", self.code, self.text);
        self
    }
}

pub struct Client {
    socket: BufReader<TcpStream>,
}

impl Client {
    /// Connected and greeted.
    pub fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        let mut client = Self { socket: BufReader::new(socket) };
        client.reply().is(220);
        client
    }

    pub fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.socket.get_mut().write_all(octets.as_ref()).unwrap();
    }

    /// Like `send`, where the shim may have closed already; whether it took them.
    pub fn try_send(&mut self, octets: impl AsRef<[u8]>) -> bool {
        self.socket.get_mut().write_all(octets.as_ref()).is_ok()
    }

    /// One reply; code 0 at the end of the stream.
    pub fn reply(&mut self) -> Reply {
        let mut text = Vec::new();
        loop {
            let mut line = String::new();
            if self.socket.read_line(&mut line).unwrap_or(0) == 0 {
                return Reply { code: 0, text: text.join("\n") };
            }
            let line = line.trim_end();
            text.push(line.get(4..).unwrap_or_default().to_string());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Reply { code: line[..3].parse().unwrap(), text: text.join("\n") };
            }
        }
    }

    pub fn command(&mut self, line: &str) -> Reply {
        self.send(format!("{line}\r\n"));
        self.reply()
    }

    /// MAIL and RCPT, accepted.
    #[track_caller]
    pub fn envelope(&mut self, recipients: &[&str]) {
        self.command("MAIL FROM:<app@contoso.com>").is(250);
        for recipient in recipients {
            self.command(&format!("RCPT TO:<{recipient}>")).is(250);
        }
    }

    /// One mail with DATA, up to the dot; its answer is not waited for.
    #[track_caller]
    pub fn submit(&mut self, recipients: &[&str], content: &[u8]) {
        self.envelope(recipients);
        self.command("DATA").is(354);
        self.send(stuffed(content));
    }

    /// One mail with DATA.
    #[track_caller]
    pub fn mail(&mut self, content: &[u8]) -> Reply {
        self.submit(&["x@example.com"], content);
        self.reply()
    }

    /// One mail with BDAT, in chunks of this size.
    #[track_caller]
    pub fn mail_in_chunks(&mut self, content: &[u8], chunk: usize) -> Reply {
        self.envelope(&["x@example.com"]);
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
    pub fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        if let Err(error) = self.socket.read_to_end(&mut rest) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
        }
        String::from_utf8_lossy(&rest).into_owned()
    }
}

/// Content dot-stuffed, with its end.
pub fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(content.len() + 1024);
    for line in content.split_inclusive(|octet| *octet == b'\n') {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
    }
    wire.extend_from_slice(b".\r\n");
    wire
}
