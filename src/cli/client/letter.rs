//! A message as programs hand it over on standard input, as canonical content.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt as _;

use bytes::BytesMut;

use crate::smtp::data::ContentReader;
use crate::smtp::path::Address;

/// Octets read or made at a time.
const PIECE: usize = 64 * 1024;

/// Octets that are read before the shim is spoken to. cron hands over a job's output while the job runs, and an
/// hour's silence would cost the connection; what is longer must flow.
const HELD: usize = 1024 * 1024;

/// A message of which the beginning is in memory.
pub(in crate::cli) struct Letter<'a> {
    /// Canonical content: all of it, or its first mebibyte.
    pub held: Vec<u8>,
    /// Nothing follows what is held.
    pub is_complete: bool,
    /// What follows it.
    pub rest: Box<dyn Read + 'a>,
}

impl<'a> Letter<'a> {
    /// Reads the beginning; `ends_at_dot`: a line with a dot alone ends the message.
    pub fn read(input: impl Read + 'a, ends_at_dot: bool) -> io::Result<Self> {
        let input: Box<dyn Read> = if ends_at_dot { Box::new(UntilDot::new(input)) } else { Box::new(input) };
        let mut rest = Canonical::new(input);
        let mut held = Vec::new();
        rest.by_ref().take(HELD as u64).read_to_end(&mut held)?;
        Ok(Self { is_complete: held.len() < HELD, held, rest: Box::new(rest) })
    }
}

/// Ends its input where a line holds a dot alone, or where the input ends.
struct UntilDot<R> {
    input: BufReader<R>,
    line: Vec<u8>,
    given: usize,
    at_line_start: bool,
    ended: bool,
}

impl<R: Read> UntilDot<R> {
    fn new(input: R) -> Self {
        let input = BufReader::with_capacity(PIECE, input);
        Self { input, line: Vec::new(), given: 0, at_line_start: true, ended: false }
    }
}

impl<R: Read> Read for UntilDot<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.line.len() && !self.ended {
            (self.given, self.ended) = (0, true);
            self.line.clear();
            // A line without an end must not fill the memory.
            self.input.by_ref().take(PIECE as u64).read_until(b'\n', &mut self.line)?;
            if self.at_line_start && matches!(&self.line[..], b".\n" | b".\r\n" | b".") {
                self.line.clear();
            }
            self.ended = self.line.is_empty();
            self.at_line_start = self.line.ends_with(b"\n");
        }
        let taken = (&self.line[self.given..]).read(buffer)?;
        self.given += taken;
        Ok(taken)
    }
}

/// Makes canonical content of any line ends.
struct Canonical<R> {
    input: R,
    codec: ContentReader,
    unread: BytesMut,
    made: Vec<u8>,
    given: usize,
    at_end: bool,
}

impl<R: Read> Canonical<R> {
    fn new(input: R) -> Self {
        // BDAT's framing: a dot is a dot.
        let codec = ContentReader::bdat();
        Self { input, codec, unread: BytesMut::new(), made: Vec::new(), given: 0, at_end: false }
    }

    fn make(&mut self) -> io::Result<()> {
        (self.given, self.made) = (0, std::mem::take(&mut self.made));
        self.made.clear();
        while self.made.is_empty() && !self.codec.ended() {
            if self.unread.is_empty() && !self.at_end {
                self.unread.resize(PIECE, 0);
                let read = read_once(&mut self.input, &mut self.unread)?;
                self.unread.truncate(read);
                self.at_end = read == 0;
            }
            self.codec.read(&mut self.unread, usize::MAX, &mut self.made, PIECE);
            if self.at_end && self.unread.is_empty() && self.made.len() < PIECE {
                self.codec.finish(&mut self.made, PIECE);
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Canonical<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.made.len() {
            self.make()?;
        }
        let taken = (&self.made[self.given..]).read(buffer)?;
        self.given += taken;
        Ok(taken)
    }
}

/// One read, begun again where a signal interrupts it.
pub(in crate::cli) fn read_once(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Who runs this program: the envelope sender of a message that names none. Without a domain; the shim's sender policy
/// makes an address of it.
pub(in crate::cli) fn login_name() -> Option<Address> {
    let by_id = || {
        let id = std::fs::metadata("/proc/self").ok()?.uid().to_string();
        let users = std::fs::read_to_string("/etc/passwd").ok()?;
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let (name, _password) = (fields.next()?, fields.next()?);
            (fields.next()? == id).then(|| name.to_string())
        })
    };
    let by_variable = || std::env::var("LOGNAME").or_else(|_| std::env::var("USER")).ok();
    by_id().or_else(by_variable).and_then(|name| Address::parse(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its octets in pieces of this size.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let size = self.1.min(buffer.len());
            self.0.read(&mut buffer[..size])
        }
    }

    fn read(text: &str, ends_at_dot: bool) -> String {
        let whole = |piece: usize| {
            let mut letter = Letter::read(Pieces(text.as_bytes(), piece), ends_at_dot).unwrap();
            let mut all = std::mem::take(&mut letter.held);
            assert!(letter.is_complete);
            assert_eq!(letter.rest.read_to_end(&mut all).unwrap(), 0);
            String::from_utf8(all).unwrap()
        };
        let text = whole(usize::MAX);
        for piece in 1..4 {
            assert_eq!(whole(piece), text, "in pieces of {piece}");
        }
        text
    }

    #[test]
    fn any_line_end_becomes_crlf_and_the_last_line_gets_one() {
        for (text, content) in [
            ("", ""),
            ("a\nb", "a\r\nb\r\n"),
            ("a\r\nb\r\n", "a\r\nb\r\n"),
            ("a\r\n\nb\n", "a\r\n\r\nb\r\n"),
            ("a\r\r\nb\r", "a\r\nb\r\n"),
            ("\n", "\r\n"),
        ] {
            assert_eq!(read(text, false), content, "{text:?}");
        }
    }

    #[test]
    fn a_dot_alone_ends_the_message_unless_told_otherwise() {
        for (text, with, without) in [
            ("a\n.\nb\n", "a\r\n", "a\r\n.\r\nb\r\n"),
            ("a\r\n.\r\nb\n", "a\r\n", "a\r\n.\r\nb\r\n"),
            (".", "", ".\r\n"),
            ("a\n.", "a\r\n", "a\r\n.\r\n"),
            (".a\n..\na.\n", ".a\r\n..\r\na.\r\n", ".a\r\n..\r\na.\r\n"),
        ] {
            assert_eq!(read(text, true), with, "{text:?}");
            assert_eq!(read(text, false), without, "{text:?}");
        }
    }

    /// A line longer than a piece: the dot behind the cut is no line.
    #[test]
    fn a_cut_line_begins_no_line() {
        let text = format!("{}.\nb\n", "x".repeat(PIECE));
        assert_eq!(read(&text, true), text.replace('\n', "\r\n"));
    }

    #[test]
    fn what_is_longer_is_not_held() {
        let mut letter = Letter::read(io::repeat(b'x').take(3 * HELD as u64), true).unwrap();
        assert_eq!((letter.held.len(), letter.is_complete), (HELD, false));
        let mut rest = Vec::new();
        letter.rest.read_to_end(&mut rest).unwrap();
        assert_eq!(rest.len(), 2 * HELD + 2);
    }
}
