//! A plain SMTP client.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};

use super::shim::PATIENCE;

pub const MAIL: &str = "Subject: process\r\nFrom: <app@contoso.com>\r\nMessage-ID: <1@erp>\r\n\r\nbody\r\n";

pub struct App(BufReader<TcpStream>);

impl App {
    /// Connected, nothing read.
    pub fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).expect("mailshim listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self(BufReader::new(socket))
    }

    /// Greeted.
    pub fn greeted(address: SocketAddr) -> Self {
        let mut app = Self::connect(address);
        let greeting = app.reply();
        assert!(greeting.starts_with("220 "), "{greeting}");
        app
    }

    pub fn write(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).expect("mailshim reads");
    }

    /// The last line of the next reply; empty at the connection's end.
    #[track_caller]
    pub fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            match self.0.read_line(&mut line) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return String::new(),
                Err(error) => panic!("no reply: {error}"),
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.trim_end().to_string();
            }
        }
    }

    #[track_caller]
    pub fn command(&mut self, line: &str) -> String {
        self.write(&format!("{line}\r\n"));
        self.reply()
    }

    /// Up to the 354.
    #[track_caller]
    pub fn begin(&mut self) {
        assert_eq!(self.command("MAIL FROM:<app@contoso.com>"), "250 2.1.0 Sender OK");
        assert_eq!(self.command("RCPT TO:<ann@fabrikam.com>"), "250 2.1.5 Recipient OK");
        assert!(self.command("DATA").starts_with("354 "));
    }

    /// A whole mail; the answer to it.
    #[track_caller]
    pub fn mail(&mut self) -> String {
        self.begin();
        self.write(MAIL);
        self.command(".")
    }
}
