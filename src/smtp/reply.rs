//! Replies (RFC 5321 section 4.2, RFC 2034/3463): ours as they are written, Office 365's as they are read.

use std::fmt;

use bytes::{Bytes, BytesMut};

/// An enhanced status code, `class.subject.detail` (RFC 3463).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EnhancedCode(pub u8, pub u16, pub u16);

impl EnhancedCode {
    /// Reads one from the beginning of a reply's text; the rest of the text comes back without it.
    pub fn split(text: &str) -> Option<(Self, &str)> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut parts = word.split('.');
        let number = |part: Option<&str>| -> Option<u16> {
            let part = part?;
            let plain = !part.is_empty() && part.len() <= 3 && part.bytes().all(|b| b.is_ascii_digit());
            if plain { part.parse().ok() } else { None }
        };
        let (class, subject, detail) = (number(parts.next())?, number(parts.next())?, number(parts.next())?);
        if parts.next().is_some() || !matches!(class, 2 | 4 | 5) {
            return None;
        }
        Some((Self(u8::try_from(class).ok()?, subject, detail), rest.trim_start()))
    }
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// A reply: a code and its lines, each without code and separator, enhanced code included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    /// At least one line.
    pub lines: Vec<String>,
}

impl Reply {
    /// A reply of one line.
    pub fn new(code: u16, text: impl Into<String>) -> Self {
        Self { code, lines: vec![text.into()] }
    }

    /// The enhanced code of the first line.
    pub fn enhanced(&self) -> Option<EnhancedCode> {
        self.lines.first().and_then(|line| EnhancedCode::split(line)).map(|(code, _)| code)
    }

    /// All lines in one, the enhanced code kept once: what is classified and logged.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(self.lines.iter().map(|line| 1 + line.len()).sum());
        for (index, line) in self.lines.iter().enumerate() {
            let line = match EnhancedCode::split(line) {
                Some((_, rest)) if index > 0 => rest,
                _ => line.as_str(),
            };
            if index > 0 {
                text.push(' ');
            }
            text.push_str(line.trim_end());
        }
        text
    }

    /// The reply as it is written to the app.
    pub fn encode(&self) -> Bytes {
        const AROUND: usize = "250 \r\n".len();
        let code = self.code.to_string();
        let mut wire = String::with_capacity(self.lines.iter().map(|line| AROUND + line.len()).sum());
        for (index, line) in self.lines.iter().enumerate() {
            let separator = if index + 1 == self.lines.len() { " " } else { "-" };
            [code.as_str(), separator, line, "\r\n"].iter().for_each(|part| wire.push_str(part));
        }
        wire.into()
    }

    /// 2xx.
    pub const fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }
}

impl fmt::Display for Reply {
    /// Code and text in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text())
    }
}

/// A line of a reply longer than this is no reply (Exchange's own parser allows 2,000; its diagnostics come near).
const MAX_REPLY_LINE: usize = 8 * 1024;
/// Octets of one reply: an endless list of continuation lines must not fill the memory.
const MAX_REPLY: usize = 32 * 1024;

/// Bytes that are no reply of RFC 5321 section 4.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenReply {
    /// What is wrong with them.
    pub flaw: Flaw,
    /// The line, whole, so that what is secret in it can be found; empty where none is told.
    pub line: String,
}

/// What is wrong with bytes that are no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// An HTTP server speaks.
    Http,
    /// A TLS alert (RFC 8446 section 5.1: record type 21, version 3.x): the server speaks TLS at once.
    TlsAlert,
    /// A line that is no line of a reply.
    NotSmtp,
    /// A code outside 200 to 599.
    Code,
    /// Lines that differ in code.
    CodesDiffer,
    /// A line without an end.
    EndlessLine,
    /// A reply without an end.
    EndlessReply,
    /// A reply to no command.
    Unasked,
    /// The beginning of a reply to no command.
    UnaskedBeginning,
}

/// How much of a broken line is shown, in octets.
const SHOWN: usize = 80;

impl fmt::Display for BrokenReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.flaw {
            Flaw::Http | Flaw::TlsAlert | Flaw::NotSmtp => "not an SMTP reply",
            Flaw::Code => "a reply code outside 200 to 599",
            Flaw::CodesDiffer => "a reply whose lines differ in code",
            Flaw::EndlessLine => "a line without an end",
            Flaw::EndlessReply => "a reply without an end",
            Flaw::Unasked => "a reply to nothing",
            Flaw::UnaskedBeginning => "the beginning of a reply to nothing",
        })?;
        if matches!(self.flaw, Flaw::EndlessLine | Flaw::EndlessReply | Flaw::UnaskedBeginning) {
            return Ok(());
        }
        let ends = self.line.char_indices().map(|(at, character)| at + character.len_utf8());
        let end = ends.take_while(|end| *end <= SHOWN).last().unwrap_or(0);
        write!(f, ": \"{}\"", self.line[..end].escape_debug())
    }
}

/// Reads Office 365's replies, one at a time, from whatever pieces arrive.
///
/// Stricter than smtp-proto's parser: lines that differ in code, a code outside 200 to 599 and an unfinished line are
/// no reply at all. Taking `250-a`, `550 b` for a 250 would be a false 250.
#[derive(Debug, Default)]
pub struct ReplyReader {
    input: BytesMut,
    /// Octets of `input` that hold no line's end: they are not looked at again, however small the pieces are.
    searched: usize,
    code: Option<u16>,
    lines: Vec<String>,
    octets: usize,
    /// Octets that were looked at or copied, once for each time.
    #[cfg(test)]
    work: usize,
}

impl ReplyReader {
    /// Adds octets as they arrived.
    pub fn received(&mut self, octets: &[u8]) {
        #[cfg(test)]
        {
            self.work += octets.len();
        }
        self.input.extend_from_slice(octets);
    }

    /// Whether octets are left behind the last reply taken.
    pub fn has_unread(&self) -> bool {
        !self.input.is_empty() || self.code.is_some()
    }

    /// The next whole reply; `None` until more has arrived.
    ///
    /// # Errors
    /// What came is no reply; nothing that follows can be trusted either.
    #[expect(clippy::should_implement_trait, reason = "no iterator: more may come behind a None")]
    pub fn next(&mut self) -> Result<Option<Reply>, BrokenReply> {
        while let Some(end) = self.find_line_end() {
            let line = self.input.split_to(end + 1);
            self.searched = 0;
            self.octets += line.len();
            if line.len() > MAX_REPLY_LINE || self.octets > MAX_REPLY {
                return Err(BrokenReply { flaw: Flaw::EndlessReply, line: String::new() });
            }
            let line = line.strip_suffix(b"\r\n").or_else(|| line.strip_suffix(b"\n")).unwrap_or(&line);
            if self.line(line)? {
                let code = self.code.take().unwrap_or_default();
                self.octets = 0;
                return Ok(Some(Reply { code, lines: std::mem::take(&mut self.lines) }));
            }
        }
        if self.input.len() > MAX_REPLY_LINE {
            return Err(BrokenReply { flaw: Flaw::EndlessLine, line: String::new() });
        }
        Ok(None)
    }

    fn find_line_end(&mut self) -> Option<usize> {
        let new = &self.input[self.searched..];
        let end = memchr::memchr(b'\n', new);
        let looked_at = end.map_or(new.len(), |end| end + 1);
        #[cfg(test)]
        {
            self.work += looked_at;
        }
        let found = end.map(|end| self.searched + end);
        self.searched += looked_at;
        found
    }

    /// One line; true if it is the last of its reply.
    fn line(&mut self, line: &[u8]) -> Result<bool, BrokenReply> {
        #[cfg(test)]
        {
            self.work += line.len();
        }
        let broken = |flaw| BrokenReply { flaw, line: String::from_utf8_lossy(line).into_owned() };
        let not_smtp = || {
            broken(match line {
                [b'H', b'T', b'T', b'P', b'/', ..] => Flaw::Http,
                [0x15, 3, ..] => Flaw::TlsAlert,
                _ => Flaw::NotSmtp,
            })
        };
        let digits = line.get(..3).filter(|digits| digits.iter().all(u8::is_ascii_digit));
        let code =
            digits.and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|digits| digits.parse().ok());
        let code: u16 = code.ok_or_else(not_smtp)?;
        if !(200..=599).contains(&code) {
            return Err(broken(Flaw::Code));
        }
        if self.code.is_some_and(|first| first != code) {
            return Err(broken(Flaw::CodesDiffer));
        }
        let last = match line.get(3) {
            None | Some(b' ') => true,
            Some(b'-') => false,
            Some(_) => return Err(not_smtp()),
        };
        self.code = Some(code);
        self.lines.push(String::from_utf8_lossy(line.get(4..).unwrap_or_default()).into_owned());
        Ok(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(wire: &str, piece: usize) -> Result<Vec<Reply>, BrokenReply> {
        let (mut reader, mut replies) = (ReplyReader::default(), Vec::new());
        for part in wire.as_bytes().chunks(piece) {
            reader.received(part);
            while let Some(reply) = reader.next()? {
                replies.push(reply);
            }
        }
        Ok(replies)
    }

    fn read_any_way(wire: &str) -> Result<Vec<Reply>, BrokenReply> {
        let whole = read(wire, usize::MAX);
        for piece in 1..4 {
            assert_eq!(read(wire, piece), whole);
        }
        whole
    }

    #[test]
    fn replies_of_one_and_of_many_lines() {
        let replies = read_any_way("250 2.1.0 Sender OK\r\n250-a\r\n250-b\r\n250 c\r\n354\r\n250\n").unwrap();
        assert_eq!(replies[0], Reply::new(250, "2.1.0 Sender OK"));
        assert_eq!(replies[1].lines, ["a", "b", "c"]);
        assert_eq!((replies[2].code, replies[3].code), (354, 250));
    }

    #[test]
    fn what_is_not_a_reply_is_broken() {
        for wire in [
            "250-a\r\n550 b\r\n",
            "HTTP/1.1 400 Bad\r\n",
            "199 x\r\n",
            "600 x\r\n",
            "250_x\r\n",
            "25\r\n",
            "\r\n",
            "250-a\r\n\r\n",
        ] {
            assert!(read_any_way(wire).is_err(), "{wire:?}");
        }
        assert!(read(&"250-x\r\n".repeat(10_000), 1000).is_err());
        assert!(read(&"2".repeat(10_000), 1000).is_err());
    }

    /// Octets worked on until all of `wire` has come, or until it is broken; never more is held than a reply may have.
    fn work(wire: &[u8], piece: usize) -> usize {
        let mut reader = ReplyReader::default();
        for part in wire.chunks(piece) {
            reader.received(part);
            loop {
                match reader.next() {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => return reader.work,
                }
            }
            assert!(reader.input.len() <= MAX_REPLY_LINE, "{}", reader.input.len());
            let held: usize = reader.lines.iter().map(String::len).sum();
            assert!(held <= MAX_REPLY, "{held}");
        }
        reader.work
    }

    #[test]
    fn twice_the_octets_are_twice_the_work() {
        let line = |octets: usize| [b"250 ".as_slice(), &b"x".repeat(octets - 6), b"\r\n"].concat();
        type Shape<'a> = (&'a str, &'a dyn Fn(usize) -> Vec<u8>);
        let shapes: [Shape<'_>; 6] = [
            ("one line", &line),
            ("a line without an end", &|octets| b"2".repeat(octets)),
            ("many lines", &|octets| [b"250-x\r\n".repeat(octets / 7), b"250 x\r\n".to_vec()].concat()),
            ("empty lines", &|octets| [b"250-\n".repeat(octets / 5), b"250 \n".to_vec()].concat()),
            ("many replies", &|octets| b"250 x\r\n".repeat(octets / 7)),
            ("no UTF-8", &|octets| [b"250 ".as_slice(), &[0xff].repeat(octets - 5), b"\n"].concat()),
        ];
        for (name, shape) in shapes {
            for piece in [1, 3, 100, 2048] {
                let (once, twice) = (work(&shape(4_000), piece), work(&shape(8_000), piece));
                // Linear, and each octet is copied, searched and read: no more.
                assert!(twice <= 2 * once + 100, "{name} in pieces of {piece}: {once}, {twice}");
                assert!(twice <= 3 * 8_100, "{name} in pieces of {piece}: {twice}");
                // What never ends is given up, however much more comes.
                let (long, longer) = (work(&shape(80_000), piece), work(&shape(160_000), piece));
                assert!(
                    name == "many replies" || long == longer,
                    "{name} in pieces of {piece}: {long}, {longer}"
                );
                assert!(longer <= 2 * long + 100, "{name} in pieces of {piece}: {long}, {longer}");
            }
        }
    }

    #[test]
    fn the_text_joins_lines_and_keeps_one_enhanced_code() {
        let reply =
            Reply { code: 554, lines: vec!["5.2.252 SendAsDenied; a".into(), "5.2.252 not allowed".into()] };
        assert_eq!(reply.to_string(), "554 5.2.252 SendAsDenied; a not allowed");
        assert_eq!(reply.enhanced(), Some(EnhancedCode(5, 2, 252)));
        assert_eq!(Reply::new(250, "OK").enhanced(), None);
        assert_eq!(Reply::new(250, "3.1.1 x").enhanced(), None);
    }
}
