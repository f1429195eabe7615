//! Mail data: the line ends, the dots and the end of it (RFC 5321 sections 2.3.8, 4.1.1.4 and 4.5.2).
//!
//! Inside the program content is canonical: lines end in CRLF, no other CR or LF exists, no dot is stuffed. The two
//! codecs here are the only way in and out.

use bytes::{Buf, BytesMut};

/// How the app frames its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// DATA: ends at CRLF.CRLF, a dot at a line's beginning is doubled.
    Dot,
    /// BDAT: the octets are counted by the caller (RFC 3030), a dot is a dot.
    Chunk,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the beginning, or behind a CRLF as it came: only here a dot means something.
    LineStart,
    /// `.` behind a line start, not yet known to be the end.
    Dot,
    /// `.` CR.
    DotCr,
    /// Inside a line.
    Inside,
    /// This many CRs in a row, not yet known to belong to a CRLF.
    Cr(u64),
    /// This many line ends are still to be written: an endless run of bare CRs must not become one huge buffer.
    Owed(u64),
}

/// Reads content as the app sends it into canonical content.
///
/// Only CRLF.CRLF ends it: a decoder that ends at LF.LF, or unstuffs behind a bare LF, disagrees with the next server
/// about where the message ends, which is how a second message is smuggled in. A bare CR or LF becomes CRLF; a run of CRs
/// before an LF is one line end (text that went through a line-end conversion twice). NUL and 8-bit octets pass as they
/// came, and lines at any length: Office 365 has the last word on them.
#[derive(Debug)]
pub struct ContentReader {
    framing: Framing,
    state: State,
    at_line_start: bool,
    ended: bool,
    /// The line that is being read is a dot so far.
    lone_dot: bool,
    /// The last line was a dot alone, and nothing has come behind it.
    looks_ended: bool,
}

impl ContentReader {
    /// For DATA.
    pub const fn data() -> Self {
        Self {
            framing: Framing::Dot,
            state: State::LineStart,
            at_line_start: true,
            ended: false,
            lone_dot: false,
            looks_ended: false,
        }
    }

    /// For BDAT; one reader serves all chunks of a message, since a CRLF may be split over two.
    pub const fn bdat() -> Self {
        Self {
            framing: Framing::Chunk,
            state: State::LineStart,
            at_line_start: true,
            ended: false,
            lone_dot: false,
            looks_ended: false,
        }
    }

    /// Whether CRLF.CRLF was met; nothing behind it has been taken.
    pub const fn ended(&self) -> bool {
        self.ended
    }

    /// Whether what came last is a dot between line ends of which one is no CRLF: what a careless app takes for the end,
    /// and waits.
    pub const fn looks_ended(&self) -> bool {
        self.looks_ended
    }

    /// Takes octets from `input` until it is empty, the end is met, or `out` has reached `cap`.
    pub fn read(&mut self, input: &mut BytesMut, limit: usize, out: &mut Vec<u8>, cap: usize) -> usize {
        let available = input.len().min(limit);
        let mut used = 0;
        while !self.ended && out.len() < cap {
            if let State::Owed(count) = self.state {
                self.line_end(out);
                self.state = if count > 1 { State::Owed(count - 1) } else { State::Inside };
                continue;
            }
            if used == available {
                break;
            }
            let rest = &input[used..available];
            // The long way is one copy of many lines.
            if self.state == State::LineStart {
                let lines = whole_lines(rest, cap - out.len());
                if lines > 0 {
                    out.extend_from_slice(&rest[..lines]);
                    (self.lone_dot, self.looks_ended) = (false, false);
                    used += lines;
                    continue;
                }
            }
            if self.state == State::Inside {
                let run = memchr2_position(rest).min(cap - out.len());
                if run > 0 {
                    out.extend_from_slice(&rest[..run]);
                    self.lone_dot = self.at_line_start && rest[..run] == *b".";
                    (self.at_line_start, self.looks_ended) = (false, false);
                    used += run;
                    continue;
                }
            }
            if self.octet(rest[0], out) {
                used += 1;
            }
        }
        input.advance(used);
        used
    }

    /// One octet in a state that is not the plain inside of a line; false if it must be looked at again.
    fn octet(&mut self, octet: u8, out: &mut Vec<u8>) -> bool {
        match (self.state, octet) {
            (State::LineStart, b'.') if self.framing == Framing::Dot => self.state = State::Dot,
            (State::Dot, b'\r') => self.state = State::DotCr,
            (State::DotCr, b'\n') => self.ended = true,
            // Not the end: the dot was the transparency's, and is dropped.
            (State::Dot, _) => {
                self.state = State::Inside;
                self.lone_dot = octet == b'\n';
                return false;
            }
            (State::DotCr, _) => {
                self.state = State::Cr(1);
                return false;
            }
            (State::LineStart | State::Inside, b'\r') => self.state = State::Cr(1),
            (State::LineStart | State::Inside, b'\n') => {
                self.line_end(out);
                self.state = State::Inside;
            }
            (State::Cr(count), b'\r') => self.state = State::Cr(count + 1),
            (State::Cr(_), b'\n') => {
                self.line_end(out);
                self.state = State::LineStart;
            }
            (State::Cr(count), _) => {
                self.state = State::Owed(count);
                return false;
            }
            (State::LineStart | State::Inside, _) => {
                self.state = State::Inside;
                out.push(octet);
                (self.at_line_start, self.lone_dot, self.looks_ended) = (false, false, false);
            }
            (State::Owed(_), _) => unreachable!("read() writes the owed line ends first"),
        }
        true
    }

    fn line_end(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\r\n");
        self.at_line_start = true;
        self.looks_ended = std::mem::take(&mut self.lone_dot);
    }

    /// The end of the last chunk: what is still owed, and a line end where the last line has none. True when all is
    /// written; otherwise `out` has reached `cap` and this is called again.
    pub fn finish(&mut self, out: &mut Vec<u8>, cap: usize) -> bool {
        if let State::Cr(count) = self.state {
            self.state = State::Owed(count);
        }
        while let State::Owed(count) = self.state {
            if out.len() >= cap {
                return false;
            }
            self.line_end(out);
            self.state = if count > 1 { State::Owed(count - 1) } else { State::Inside };
        }
        if !self.at_line_start {
            self.line_end(out);
        }
        self.ended = true;
        true
    }
}

/// How many octets of whole lines stand at the beginning, up to `most`, that are content as they are: without a dot at a
/// line's beginning, without a CR or LF that is not a line end's.
fn whole_lines(octets: &[u8], most: usize) -> usize {
    let mut lines = 0;
    while let Some(rest) = octets.get(lines..).filter(|rest| rest.first() != Some(&b'.')) {
        let end = memchr2_position(rest) + 2;
        if rest.get(end - 2..end) != Some(b"\r\n") || lines + end > most {
            break;
        }
        lines += end;
    }
    lines
}

/// How many octets stand before the next CR or LF.
fn memchr2_position(octets: &[u8]) -> usize {
    memchr::memchr2(b'\r', b'\n', octets).unwrap_or(octets.len())
}

/// Writes canonical content for DATA: dots doubled at each line's beginning, the end marked (RFC 5321 section 4.5.2).
#[derive(Debug)]
pub struct DotStuffer {
    at_line_start: bool,
    last_was_cr: bool,
}

impl DotStuffer {
    /// At the beginning of a message.
    pub const fn new() -> Self {
        Self { at_line_start: true, last_was_cr: false }
    }

    /// Appends one chunk.
    pub fn stuff(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let mut rest = chunk;
        while let Some(&first) = rest.first() {
            if self.at_line_start && first == b'.' {
                out.push(b'.');
            }
            if self.last_was_cr && first == b'\n' {
                out.push(first);
                rest = &rest[1..];
                (self.at_line_start, self.last_was_cr) = (true, false);
                continue;
            }
            let line_end = memchr::memchr(b'\n', rest).map_or(rest.len(), |lf| lf + 1);
            let (line, behind) = rest.split_at(line_end);
            out.extend_from_slice(line);
            self.at_line_start = line.ends_with(b"\r\n");
            self.last_was_cr = line.ends_with(b"\r");
            rest = behind;
        }
    }

    /// Appends the end of the content.
    pub fn end(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.at_line_start { b".\r\n" } else { b"\r\n.\r\n" });
    }
}

impl Default for DotStuffer {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `wire` in pieces of `piece` octets, with a small `cap`: content, and what was left behind the end.
    fn read(mut reader: ContentReader, wire: &[u8], piece: usize) -> (Vec<u8>, Vec<u8>, bool) {
        let mut content = Vec::new();
        let mut input = BytesMut::new();
        for part in wire.chunks(piece) {
            input.extend_from_slice(part);
            loop {
                let mut out = Vec::new();
                let used = reader.read(&mut input, usize::MAX, &mut out, 4);
                content.extend_from_slice(&out);
                if reader.ended() || (used == 0 && out.is_empty()) {
                    break;
                }
            }
        }
        if reader.framing == Framing::Chunk {
            loop {
                let mut out = Vec::new();
                let done = reader.finish(&mut out, 4);
                content.extend_from_slice(&out);
                if done {
                    break;
                }
            }
        }
        (content, input.to_vec(), reader.ended())
    }

    fn data(wire: &str) -> (String, String, bool) {
        let whole = read(ContentReader::data(), wire.as_bytes(), usize::MAX);
        for piece in 1..5 {
            assert_eq!(
                read(ContentReader::data(), wire.as_bytes(), piece),
                whole,
                "{wire:?} in pieces of {piece}"
            );
        }
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (text(whole.0), text(whole.1), whole.2)
    }

    #[test]
    fn only_crlf_dot_crlf_ends_the_content() {
        for (wire, content, left) in [
            (".\r\nQUIT\r\n", "", "QUIT\r\n"),
            ("\r\n.\r\n", "\r\n", ""),
            ("a\r\n.\r\nX", "a\r\n", "X"),
            ("a\r\n..\r\n.\r\n", "a\r\n.\r\n", ""),
            ("..a\r\n.\r\n", ".a\r\n", ""),
            (".a\r\n.\r\n", "a\r\n", ""),
            ("a\r\n...b\r\n.\r\n", "a\r\n..b\r\n", ""),
            // Not ends: each is how a server and the next one come to disagree.
            ("a\n.\n.\r\n\r\n.\r\n", "a\r\n.\r\n.\r\n\r\n", ""),
            ("a\n.\r\nb\r\n.\r\n", "a\r\n.\r\nb\r\n", ""),
            ("a\r\n.\nb\r\n.\r\n", "a\r\n\r\nb\r\n", ""),
            ("a\r\n.\r\r\nb\r\n.\r\n", "a\r\n\r\nb\r\n", ""),
            ("a\r\n.\rb\r\n.\r\n", "a\r\n\r\nb\r\n", ""),
            ("a\r.\r\nb\r\n.\r\n", "a\r\n.\r\nb\r\n", ""),
            ("a\r.\rb\r\n.\r\n", "a\r\n.\r\nb\r\n", ""),
        ] {
            assert_eq!(data(wire), (content.to_string(), left.to_string(), true), "{wire:?}");
        }
        for wire in ["", "a", "a\r\n.", "a\r\n.\r", "a\n.\n", "a\r\n..\r\n"] {
            assert!(!data(wire).2, "{wire:?}");
        }
    }

    #[test]
    fn an_end_with_wrong_line_ends_is_no_end_and_is_told() {
        for (wire, looks_ended) in [
            ("a\n.\n", true),
            ("a\n.\r\n", true),
            ("a\r\n.\n", true),
            ("a\r.\r\n", true),
            ("\n.\n", true),
            ("a\n.", false),
            ("a\n..\n", false),
            ("a\n.\nb", false),
            ("a\n.\n\n", false),
            ("a\r\n.b\n", false),
            ("a.\n", false),
            ("a\n", false),
        ] {
            for piece in 1..5 {
                let (mut reader, mut input) = (ContentReader::data(), BytesMut::new());
                for part in wire.as_bytes().chunks(piece) {
                    input.extend_from_slice(part);
                    reader.read(&mut input, usize::MAX, &mut Vec::new(), usize::MAX);
                }
                assert_eq!((reader.looks_ended(), reader.ended()), (looks_ended, false), "{wire:?} {piece}");
            }
        }
    }

    #[test]
    fn bare_line_ends_become_crlf() {
        for (wire, content) in [
            ("a\nb\n\r\n.\r\n", "a\r\nb\r\n\r\n"),
            ("a\rb\r\n.\r\n", "a\r\nb\r\n"),
            ("a\r\rb\r\n.\r\n", "a\r\n\r\nb\r\n"),
            ("a\r\r\nb\r\n.\r\n", "a\r\nb\r\n"),
            ("a\r\r\r\r\n.\r\n", "a\r\n"),
            ("a\n\nb\r\n.\r\n", "a\r\n\r\nb\r\n"),
            ("a\n\r\n.\r\n", "a\r\n\r\n"),
        ] {
            assert_eq!(data(wire).0, content, "{wire:?}");
        }
    }

    #[test]
    fn a_chunk_has_no_dots_to_remove_and_ends_in_a_line_end() {
        for (wire, content) in [
            ("", ""),
            (".\r\n", ".\r\n"),
            ("a", "a\r\n"),
            ("a\r", "a\r\n"),
            ("a\r\r", "a\r\n\r\n"),
            ("a\r\n.\r\nb\r\n", "a\r\n.\r\nb\r\n"),
            ("a\nb", "a\r\nb\r\n"),
        ] {
            for piece in 1..6 {
                let (read, _, _) = read(ContentReader::bdat(), wire.as_bytes(), piece);
                assert_eq!(String::from_utf8(read).unwrap(), content, "{wire:?} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn nul_and_8_bit_octets_pass() {
        let wire = b"a\0\x80\xff\r\n.\r\n";
        assert_eq!(read(ContentReader::data(), wire, 1).0, b"a\0\x80\xff\r\n");
    }

    #[test]
    fn an_endless_run_of_bare_crs_is_written_in_pieces() {
        let mut reader = ContentReader::data();
        let mut input = BytesMut::from(&vec![b'\r'; 100_000][..]);
        let mut out = Vec::new();
        reader.read(&mut input, usize::MAX, &mut out, 16);
        input.extend_from_slice(b"x");
        let mut ends = 0;
        loop {
            out.clear();
            reader.read(&mut input, usize::MAX, &mut out, 16);
            assert!(out.len() <= 17);
            ends += out.iter().filter(|b| **b == b'\n').count();
            if out.contains(&b'x') {
                break;
            }
        }
        assert_eq!(ends, 100_000);
    }

    #[test]
    fn stuffing_is_the_inverse_of_reading() {
        for content in ["", "\r\n", ".\r\n", "..\r\n.\r\n", "a\r\n.b\r\n", "a\r\n\r\n.\r\n..c\r\n"] {
            for piece in 1..6 {
                let (mut stuffer, mut wire) = (DotStuffer::new(), Vec::new());
                for chunk in content.as_bytes().chunks(piece) {
                    stuffer.stuff(chunk, &mut wire);
                }
                stuffer.end(&mut wire);
                let (back, left, ended) = read(ContentReader::data(), &wire, usize::MAX);
                assert_eq!(
                    (back, left, ended),
                    (content.as_bytes().to_vec(), vec![], true),
                    "{content:?} {piece}"
                );
            }
        }
    }
}
