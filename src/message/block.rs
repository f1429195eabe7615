//! The header block in a message that comes: where it ends, and what of it is broken.

use std::borrow::Cow;
use std::collections::HashSet;

use super::header::{MAX_HEADER_BLOCK, StartsWithBlank as _, is_mailbox_file_line, line_end, name_end};

/// Where a header block ends, and what of it is broken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// Where its fields begin, behind what does not belong there.
    pub begin: usize,
    /// Where they end.
    pub fields: usize,
    /// Where the body begins: behind the blank line, if there is one.
    pub body: usize,
    /// The lines that are no fields, and become continuations.
    pub broken: Vec<Broken>,
    /// A Bcc stands before the first blank line, and not among the fields: whoever gets the message would read it.
    pub shows_bcc: bool,
    /// Likewise of To, Cc and Bcc.
    pub hides_recipients: bool,
}

/// A line that is no field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Where it begins.
    line: usize,
    /// Where the field begins that it continues.
    field: usize,
}

/// What was mended in a header block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repairs {
    /// Something stood before the first field.
    pub noise: bool,
    /// The fields that got a broken continuation back, in lower case.
    pub continued: HashSet<String>,
}

impl End {
    /// The fields, mended.
    pub fn block<'a>(&self, octets: &'a [u8]) -> Cow<'a, [u8]> {
        if self.broken.is_empty() {
            return Cow::Borrowed(&octets[self.begin..self.fields]);
        }
        let mut block = Vec::with_capacity(self.fields - self.begin + self.broken.len());
        let mut at = self.begin;
        for broken in &self.broken {
            block.extend_from_slice(&octets[at..broken.line]);
            block.push(b' ');
            at = broken.line;
        }
        block.extend_from_slice(&octets[at..self.fields]);
        Cow::Owned(block)
    }

    /// What [`Self::block`] mends.
    pub fn repairs(&self, octets: &[u8]) -> Repairs {
        let name = |broken: &Broken| {
            let field = &octets[broken.field..broken.line];
            let name = &field[..name_end(field).unwrap_or(0)];
            String::from_utf8_lossy(name).to_ascii_lowercase()
        };
        Repairs { noise: self.begin > 0, continued: self.broken.iter().map(name).collect() }
    }
}

/// Looks for the end of the header block in canonical content that grows; no line is looked at twice.
///
/// It is the first blank line. A line before it that is no field is a continuation without its blank, if a field that a
/// person or a mail program writes stands behind the last such line; otherwise the first one begins the body. What stands
/// before the first field (a byte order mark, blank lines, the `From ` line of a mailbox file, a blank) goes, if there is
/// such a field among them. Too little is lost that way: where the first line that is no field began the body, one long
/// To that was not folded made Subject, Content-Type and Bcc a part of what everybody reads.
#[derive(Debug, Default)]
pub struct EndFinder {
    /// The beginning of the line that is looked at.
    at: usize,
    /// Up to here it has no line end.
    searched: usize,
    /// The first blank line, where it comes before the first field.
    blank: Option<usize>,
    /// Where the first field begins.
    begin: Option<usize>,
    /// Where the last one begins.
    field: usize,
    /// What stands before the first field is no noise, but text.
    is_text: bool,
    broken: Vec<Broken>,
    /// A Bcc stands where no field can.
    masked_bcc: bool,
    /// The last field is a Bcc, to which these lines belong.
    bcc: Option<OpenBcc>,
    /// A line that is no field stands behind a Bcc, and is likely the rest of it.
    cut_bcc: bool,
    before: Names,
    /// Behind the first broken line.
    behind: Names,
    /// Behind the last one.
    last: Names,
}

/// A Bcc as far as it has come.
#[derive(Clone, Copy, Debug, Default)]
struct OpenBcc {
    /// Its list is not at its end: a comma comes last, or text without an address.
    wants_more: bool,
    has_at: bool,
}

impl OpenBcc {
    /// One of its lines, without its name.
    fn line(&mut self, value: &[u8]) {
        let value = value.trim_ascii();
        self.has_at |= value.contains(&b'@');
        if !value.is_empty() {
            self.wants_more = !self.has_at || matches!(value.last(), Some(b',' | b';'));
        }
    }
}

/// Which names were met.
#[derive(Clone, Copy, Debug, Default)]
struct Names {
    known: bool,
    bcc: bool,
    recipient: bool,
}

impl Names {
    fn meet(&mut self, name: &[u8]) {
        /// A name, whether it hides its addresses, and whether it has any that mail goes to.
        const KNOWN: [(&[u8], bool, bool); 13] = [
            (b"From", false, false),
            (b"To", false, true),
            (b"Cc", false, true),
            (b"Bcc", true, true),
            (b"Reply-To", false, false),
            (b"Sender", false, false),
            (b"Subject", false, false),
            (b"Date", false, false),
            (b"Message-ID", false, false),
            (b"MIME-Version", false, false),
            (b"Resent-To", false, true),
            (b"Resent-Cc", false, true),
            (b"Resent-Bcc", true, true),
        ];
        let begins = |with: &[u8]| name.get(..with.len()).is_some_and(|it| it.eq_ignore_ascii_case(with));
        match KNOWN.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name)) {
            Some((_, bcc, recipient)) => {
                self.known = true;
                self.bcc |= bcc;
                self.recipient |= recipient;
            }
            None => self.known |= begins(b"Content-") || begins(b"Resent-"),
        }
    }

    const fn and(self, other: Self) -> Self {
        Self {
            known: self.known || other.known,
            bcc: self.bcc || other.bcc,
            recipient: self.recipient || other.recipient,
        }
    }
}

/// UTF-8's byte order mark, which editors put before the first octet.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl EndFinder {
    /// The end, if it is in all that has come so far. Where nothing ends the block within its longest length, a line that
    /// is no field does.
    pub fn find(&mut self, octets: &[u8], is_complete: bool) -> Option<End> {
        let is_over = octets.len() > MAX_HEADER_BLOCK;
        while self.at < octets.len() {
            let at = self.at;
            let from = at.max(self.searched);
            let line = match line_end(&octets[from..]) {
                Some(length) => &octets[at..from + length],
                None if is_complete || is_over => &octets[at..],
                None => {
                    // The last octet may be the CR of a line end.
                    self.searched = octets.len() - 1;
                    return None;
                }
            };
            if let Some(end) = self.line(at, line) {
                return Some(end);
            }
            self.at = (at + line.len() + 2).min(octets.len());
        }
        let is_decided = is_complete || is_over && !self.broken.is_empty();
        is_decided.then(|| self.decide(self.at, self.at))
    }

    /// One line; the end, if this is it.
    fn line(&mut self, at: usize, line: &[u8]) -> Option<End> {
        let Some(begin) = self.begin else { return self.line_before_fields(at, line) };
        if line.is_empty() {
            return Some(self.decide(at, at + 2));
        }
        if at > begin && line.starts_with_blank() {
            if let Some(bcc) = &mut self.bcc {
                bcc.line(line);
            }
            return None;
        }
        match name_end(line) {
            Some(end) => {
                self.field = at;
                let name = &line[..end];
                let mut own = Names::default();
                own.meet(name);
                self.bcc = own.bcc.then(|| {
                    let mut bcc = OpenBcc::default();
                    bcc.line(line[end..].trim_ascii_start().get(1..).unwrap_or_default());
                    bcc
                });
                let names = [&mut self.before, &mut self.behind, &mut self.last];
                let skipped = usize::from(!self.broken.is_empty());
                names.into_iter().skip(skipped).for_each(|names| *names = names.and(own));
            }
            None => {
                if self.broken.is_empty() {
                    self.behind = Names::default();
                }
                self.broken.push(Broken { line: at, field: self.field });
                self.last = Names::default();
                self.masked_bcc |= is_masked_bcc(line);
                // Only what is like the rest of a list: an app that forgets the blank line writes its text there.
                self.cut_bcc |= self.bcc.take().is_some_and(|bcc| bcc.wants_more || line.contains(&b'@'));
            }
        }
        None
    }

    fn line_before_fields(&mut self, at: usize, line: &[u8]) -> Option<End> {
        if line.is_empty() {
            self.blank.get_or_insert(at);
            return None;
        }
        let bare = if at == 0 { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line) } else { line };
        if bare.is_empty() || (is_mailbox_file_line(bare) && name_end(bare).is_none()) {
            return None;
        }
        let bare = bare.trim_ascii_start();
        let begin = at + line.len() - bare.len();
        if name_end(bare).is_some() {
            (self.begin, self.field) = (Some(begin), begin);
            return self.line(begin, bare);
        }
        self.is_text = true;
        if self.blank.is_some() {
            return Some(self.decide(at, at));
        }
        self.begin = Some(at);
        self.line(at, line)
    }

    /// The end, where the first blank line is, or where the content ends.
    fn decide(&mut self, fields: usize, body: usize) -> End {
        let begin = self.begin.unwrap_or(fields);
        let is_mendable = !self.is_text && (self.broken.is_empty() || self.last.known);
        if let Some(blank) = self.blank {
            // What stands behind a blank line is read as fields only if all of it is.
            if !is_mendable || !self.before.and(self.behind).known {
                return End { begin: blank, fields: blank, body: blank + 2, ..End::default() };
            }
        }
        let noise_goes = begin == 0 || (!self.is_text && self.before.and(self.last).known);
        match self.broken.first() {
            _ if !noise_goes => self.text(0, 0, self.before.and(self.behind)),
            Some(first) if !is_mendable => self.text(begin.min(first.line), first.line, self.behind),
            _ => {
                let broken = std::mem::take(&mut self.broken);
                End { begin, fields, body, broken, shows_bcc: self.masked_bcc, hides_recipients: false }
            }
        }
    }

    /// What stands from `body` on up to the first blank line is text.
    const fn text(&self, begin: usize, body: usize, names: Names) -> End {
        let shows_bcc = names.bcc || self.masked_bcc || self.cut_bcc;
        let hides_recipients = names.recipient || shows_bcc;
        End { begin, fields: body, body, broken: Vec::new(), shows_bcc, hides_recipients }
    }
}

/// The end of the header block, if it is in `octets`.
pub fn end(octets: &[u8], is_complete: bool) -> Option<End> {
    EndFinder::default().find(octets, is_complete)
}

/// Whether a line that is no field is a Bcc to whoever reads it: with something before its name that nobody sees.
fn is_masked_bcc(line: &[u8]) -> bool {
    let begin = line.iter().position(u8::is_ascii_alphanumeric).unwrap_or(line.len());
    let line = &line[begin..];
    name_end(line).is_some_and(|end| {
        let mut names = Names::default();
        names.meet(&line[..end]);
        names.bcc
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the fields begin and end, and where the body begins.
    fn ends(text: &str) -> (usize, usize, usize) {
        let found = end(text.as_bytes(), true).unwrap();
        (found.begin, found.fields, found.body)
    }

    #[test]
    fn a_header_block_ends_at_its_blank_line() {
        for (text, fields, body) in [
            ("A: b\r\n\r\nbody", 6, 8),
            ("A: b\r\n c\r\n\tD: e\r\n\r\n", 17, 19),
            ("A: b\r\n", 6, 6),
            ("A: b", 4, 4),
            ("", 0, 0),
            ("\r\nbody", 0, 2),
            ("\r\nbody: x\r\n\r\n", 0, 2),
            ("\r\nSubject: x\r\nbody\r\n", 0, 2),
            ("Hello\r\nA: b\r\n", 0, 0),
            (" A: b\r\n", 0, 0),
            ("A: b\r\nHello\r\nX: c\r\n\r\n", 6, 6),
            ("Subject: b\r\nHello\r\nX: c\r\n\r\nFrom: a\r\n\r\n", 12, 12),
            ("A: b\r\nTwo words: c\r\n", 6, 6),
            ("A: b\r\n: c\r\n", 6, 6),
            ("A : b\r\n\r\n", 7, 9),
            ("A: b\r\nFrom root Mon Jan 1\r\n", 6, 6),
        ] {
            assert_eq!(ends(text), (0, fields, body), "{text:?}");
        }
    }

    #[test]
    fn what_stands_before_the_first_field_goes() {
        for noise in [
            "\u{feff}",
            "\r\n",
            "\r\n\r\n",
            "From root Mon Jan 1\r\n",
            ">From x\r\n",
            " ",
            "\t",
            "\u{feff}\r\n ",
            "\u{feff}From x\r\n",
        ] {
            let text = format!("{noise}A: b\r\nSubject: c\r\n\r\nbody");
            let begin = noise.len();
            assert_eq!(ends(&text), (begin, begin + 18, begin + 20), "{noise:?}");
            let found = end(text.as_bytes(), true).unwrap();
            assert!(found.repairs(text.as_bytes()).noise);
            // Nothing that anybody would call a header.
            let text = format!("{noise}A: b\r\n\r\nbody");
            let found = end(text.as_bytes(), true).unwrap();
            assert_eq!(&text.as_bytes()[found.begin..found.fields], b"", "{noise:?}");
        }
    }

    #[test]
    fn a_line_that_is_no_field_is_a_broken_continuation() {
        for (text, block) in [
            (
                "To: One <a@b.c>,\r\nTwo <d@e.f>\r\nBcc: x@y.z\r\nSubject: s\r\n\r\nbody",
                "To: One <a@b.c>,\r\n Two <d@e.f>\r\nBcc: x@y.z\r\nSubject: s\r\n",
            ),
            (
                "Subject: a\r\nb\r\n c\r\nd\r\nContent-Type: x\r\n",
                "Subject: a\r\n b\r\n c\r\n d\r\nContent-Type: x\r\n",
            ),
            ("\u{feff}To: a\r\nb\r\nFrom: c\r\n\r\n", "To: a\r\n b\r\nFrom: c\r\n"),
            ("X: a\r\n(b)\r\nResent-To: c\r\n\r\n", "X: a\r\n (b)\r\nResent-To: c\r\n"),
        ] {
            let found = end(text.as_bytes(), true).unwrap();
            assert_eq!(found.block(text.as_bytes()), block.as_bytes(), "{text:?}");
            assert!(!found.shows_bcc && !found.hides_recipients, "{text:?}");
        }
        let text = b"To: a,\r\nb\r\nc\r\nX: d\r\nSubject: s\r\ne\r\nFrom: f\r\n\r\n";
        let repairs = end(text, true).unwrap().repairs(text);
        assert_eq!(repairs.continued, HashSet::from(["to".to_string(), "subject".to_string()]));
    }

    #[test]
    fn a_bcc_that_would_be_read_is_found() {
        for (text, shows_bcc, hides_recipients) in [
            ("Subject: s\r\nHello\r\nBcc: x@y.z\r\nbye\r\n\r\n", true, true),
            ("Hello\r\nResent-Bcc : x@y.z\r\n", true, true),
            ("Hello\r\nCc: x@y.z\r\n\r\n", false, true),
            ("To: a\r\n\u{feff}Bcc: x@y.z\r\nSubject: s\r\n\r\n", true, false),
            // The line is the rest of the Bcc, or may be.
            ("Subject: s\r\nBcc: x@y.z,\r\nAnn <ann@y.z>\r\n\r\n", true, true),
            ("Subject: s\r\nBcc: x@y.z\r\nann@y.z\r\n\r\n", true, true),
            ("Subject: s\r\nBcc: x@y.z,\r\n w@y.z;\r\nStaff\r\n\r\n", true, true),
            ("Subject: s\r\nBcc: Doe, John\r\n<john@y.z>\r\n\r\n", true, true),
            // It is text: the app forgot the blank line.
            ("Subject: s\r\nBcc: x@y.z\r\nHello,\r\nmy address is a@y.z\r\n\r\n", false, false),
            ("Subject: s\r\nBcc: x@y.z,\r\n w@y.z\r\nHello\r\n\r\n", false, false),
            ("Subject: s\r\nBcc:\r\nHello\r\n\r\n", false, false),
            ("From x\r\nBcc: x@y.z\r\nSubject: s\r\nHello\r\n\r\n", false, false),
            ("Subject: s\r\n\r\nHello\r\nBcc: x@y.z\r\n", false, false),
            ("\r\nHello\r\nBcc: x@y.z\r\n", false, false),
            ("\r\nBcc: x@y.z\r\nHello\r\n", false, false),
        ] {
            let found = end(text.as_bytes(), true).unwrap();
            assert_eq!((found.shows_bcc, found.hides_recipients), (shows_bcc, hides_recipients), "{text:?}");
        }
    }

    /// A body of one paragraph, without a blank line anywhere, is not held for ever.
    #[test]
    fn a_body_that_never_has_a_blank_line_begins_all_the_same() {
        for text in ["Subject: s\r\n".to_string() + &"Hello you\r\n".repeat(30_000), "x".repeat(300_000)] {
            let found = EndFinder::default().find(text.as_bytes(), false).unwrap();
            assert_eq!(found.body, if text.starts_with('S') { 12 } else { 0 });
        }
        let fields = "X: y\r\n".repeat(50_000);
        assert_eq!(EndFinder::default().find(fields.as_bytes(), false), None);
    }

    #[test]
    fn the_end_is_the_same_however_much_has_come() {
        let text = b"A: b\r\n c\r\nD: e\r\n\r\nbody\r\n";
        let mut finder = EndFinder::default();
        for length in 0..18 {
            assert_eq!(finder.find(&text[..length], false), None, "{length}");
        }
        for length in 18..=text.len() {
            let end = finder.find(&text[..length], false).unwrap();
            assert_eq!((end.fields, end.body), (16, 18));
        }
    }
}
