//! The app: SMTP over loopback as mail libraries speak it, one command at a time.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::dialogue::Dialogue;
use crate::direct::connect;

const MAIL: &str = "MAIL FROM:<app@contoso.com>";
const RCPT: &str = "RCPT TO:<someone@example.com>";
const END: &[u8] = b".\r\n";

/// A mail of `size` octets of content: a header block and lines of text, none of which begins with a dot.
pub fn mail_of(size: usize) -> Vec<u8> {
    let mut content = b"From: App <app@contoso.com>\r\nTo: someone@example.com\r\nSubject: An order\r\n\
        Date: Thu, 1 Jan 2026 00:00:00 +0000\r\nMessage-ID: <benchmark@contoso.com>\r\nMIME-Version: 1.0\r\n\
        Content-Type: text/plain; charset=us-ascii\r\n\r\n"
        .to_vec();
    let line = b"Item 12345, one piece, in stock, to be sent with the next parcel from Bremen.\r\n";
    while content.len() + 2 * line.len() < size {
        content.extend_from_slice(line);
    }
    content.resize(size.saturating_sub(2), b'x');
    content.extend_from_slice(b"\r\n");
    content
}

/// One connection of the app.
pub struct App(Dialogue<TcpStream>);

impl App {
    /// Connects and says EHLO.
    pub fn connect(address: SocketAddr) -> Result<Self, String> {
        let mut dialogue = Dialogue::new(connect(address)?);
        dialogue.expect("220")?;
        dialogue.ask("EHLO app", "250")?;
        Ok(Self(dialogue))
    }

    /// Sends one mail, each command after the reply to the one before, and waits for the verdict.
    pub fn mail(&mut self, content: &[u8]) -> Result<(), String> {
        self.0.ask(MAIL, "250")?;
        self.0.ask(RCPT, "250")?;
        self.content(content)
    }

    /// The same to several recipients.
    pub fn mail_to(&mut self, recipients: usize, content: &[u8]) -> Result<(), String> {
        self.0.ask(MAIL, "250")?;
        for number in 0..recipients {
            self.0.ask(&format!("RCPT TO:<someone{number}@example.com>"), "250")?;
        }
        self.content(content)
    }

    /// The same with MAIL, RCPT and DATA in one write (RFC 2920).
    pub fn pipelined_mail(&mut self, content: &[u8]) -> Result<(), String> {
        self.0.write(format!("{MAIL}\r\n{RCPT}\r\nDATA\r\n").as_bytes())?;
        ["250", "250", "354"].iter().try_for_each(|code| self.0.expect(code))?;
        self.end(content)
    }

    /// Says goodbye.
    pub fn quit(mut self) -> Result<(), String> {
        self.0.ask("QUIT", "221")
    }

    fn content(&mut self, content: &[u8]) -> Result<(), String> {
        self.0.ask("DATA", "354")?;
        self.end(content)
    }

    fn end(&mut self, content: &[u8]) -> Result<(), String> {
        // Each mail is another one: the same octets of two apps at once would wait for each other (told once).
        static SENT: AtomicU64 = AtomicU64::new(0);
        let number = format!("X-Number: {:012}\r\n", SENT.fetch_add(1, Ordering::Relaxed));
        // Copied, as libraries do: the dot in a packet of its own would be a write of its own.
        self.0.write(&[number.as_bytes(), content, END].concat())?;
        self.0.expect("250")
    }
}
