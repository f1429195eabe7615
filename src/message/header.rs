//! The header block (RFC 5322 section 2.2) as the octets that came: where it ends, its fields, and new fields folded.
//!
//! Nothing is decoded and written out again: a signature over a field holds only as long as each of its octets stays.

/// The longest header block, in octets: Exchange's own limit, whose refusal is `552 5.3.4 Header size exceeds fixed
/// maximum size`.
pub const MAX_HEADER_BLOCK: usize = 256 * 1024;

/// Where a header block ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Octets of its fields.
    pub fields: usize,
    /// Where the body begins: behind the blank line, if there is one.
    pub body: usize,
}

/// Looks for the end of the header block in canonical content that grows; no line is looked at twice.
///
/// The first line that is no field ends it, blank or not: what stands behind such a line is header to one reader and
/// body to another, and a Bcc there would go out unseen. Only a `From ` line of a mailbox file (RFC 4155) may come
/// first.
#[derive(Debug, Default)]
pub struct EndFinder {
    /// The beginning of the line that is looked at.
    at: usize,
    /// Up to here it has no line end.
    searched: usize,
}

impl EndFinder {
    /// The end, if it is in all that has come so far.
    pub fn find(&mut self, octets: &[u8], is_complete: bool) -> Option<End> {
        while self.at < octets.len() {
            let at = self.at;
            let from = at.max(self.searched);
            let line = match memchr::memmem::find(&octets[from..], b"\r\n") {
                Some(length) => &octets[at..from + length],
                None if is_complete => &octets[at..],
                None => {
                    // The last octet may be the CR of a line end.
                    self.searched = octets.len() - 1;
                    return None;
                }
            };
            if line.is_empty() {
                return Some(End { fields: at, body: at + 2 });
            }
            let continues = at > 0 && line.starts_with_blank();
            if !continues && name_end(line).is_none() && !(at == 0 && is_mailbox_file_line(line)) {
                return Some(End { fields: at, body: at });
            }
            self.at = (at + line.len() + 2).min(octets.len());
        }
        is_complete.then_some(End { fields: self.at, body: self.at })
    }
}

/// The end of the header block, if it is in `octets`.
pub fn end(octets: &[u8], is_complete: bool) -> Option<End> {
    EndFinder::default().find(octets, is_complete)
}

trait StartsWithBlank {
    fn starts_with_blank(&self) -> bool;
}

impl StartsWithBlank for [u8] {
    fn starts_with_blank(&self) -> bool {
        matches!(self.first(), Some(b' ' | b'\t'))
    }
}

fn is_mailbox_file_line(line: &[u8]) -> bool {
    line.starts_with(b"From ") || line.starts_with(b">From ")
}

/// The end of a field's name (RFC 5322 section 2.2: printable ASCII without the colon; section 4.5.8: blanks may stand
/// before the colon).
fn name_end(line: &[u8]) -> Option<usize> {
    let end = line.iter().position(|octet| !octet.is_ascii_graphic() || *octet == b':')?;
    let colon = end + line[end..].iter().position(|octet| !matches!(octet, b' ' | b'\t'))?;
    (end > 0 && line[colon] == b':').then_some(end)
}

/// One field with its folded lines and its line end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    raw: &'a [u8],
    name_end: usize,
}

impl<'a> Field<'a> {
    /// All of its octets.
    pub const fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Whether it has this name; case is of no account.
    pub fn is(&self, name: &str) -> bool {
        self.raw[..self.name_end].eq_ignore_ascii_case(name.as_bytes())
    }

    /// Its value without the line ends of its folding, trimmed.
    pub fn value(&self) -> Value {
        let behind = &self.raw[self.name_end..];
        let colon = memchr::memchr(b':', behind).map_or(behind.len(), |colon| colon + 1);
        let octets: Vec<u8> =
            behind[colon..].iter().copied().filter(|octet| !matches!(octet, b'\r' | b'\n')).collect();
        match String::from_utf8(octets) {
            Ok(text) => Value { text: text.trim().to_string(), is_utf8: true },
            Err(error) => Value { text: windows_1252(error.as_bytes()).trim().to_string(), is_utf8: false },
        }
    }
}

/// A field's value as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The text.
    pub text: String,
    /// It was UTF-8 (or ASCII); otherwise its non-ASCII characters are a guess.
    pub is_utf8: bool,
}

/// What Windows writes where no character set is named: octets 0x80 to 0x9F, the rest is Latin-1.
const WINDOWS_1252: [char; 32] = [
    '€', '?', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '?', 'Ž', '?', '?', '‘', '’', '“', '”',
    '•', '–', '—', '˜', '™', 'š', '›', 'œ', '?', 'ž', 'Ÿ',
];

fn windows_1252(octets: &[u8]) -> String {
    let decode = |octet: &u8| match octet {
        0x80..=0x9f => WINDOWS_1252[usize::from(octet - 0x80)],
        other => char::from(*other),
    };
    octets.iter().map(decode).collect()
}

/// The fields of a header block, in order. A `From ` line of a mailbox file is not among them.
pub fn fields(block: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut rest = block;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let mut length = line_length(rest);
            while rest[length..].starts_with_blank() {
                length += line_length(&rest[length..]);
            }
            let (raw, behind) = rest.split_at(length);
            rest = behind;
            if let Some(name_end) = name_end(raw) {
                return Some(Field { raw, name_end });
            }
        }
        None
    })
}

fn line_length(octets: &[u8]) -> usize {
    memchr::memmem::find(octets, b"\r\n").map_or(octets.len(), |length| length + 2)
}

/// Lines are folded behind this many octets, where there is a blank (RFC 5322 section 2.1.1 recommends 78, and
/// demands 998: an address is shorter than that).
const FOLD: usize = 76;

/// Appends a field, folded at its blanks. The value must hold no run of blanks and no control character.
pub fn append(block: &mut Vec<u8>, name: &str, value: &str) {
    debug_assert!(!value.chars().any(char::is_control), "a line end in {name} would begin another field");
    let mut column = name.len() + 1;
    block.extend_from_slice(name.as_bytes());
    block.push(b':');
    for (index, word) in value.split(' ').enumerate() {
        if column + 1 + word.len() > FOLD && index > 0 {
            block.extend_from_slice(b"\r\n");
            column = 0;
        }
        block.push(b' ');
        block.extend_from_slice(word.as_bytes());
        column += 1 + word.len();
    }
    block.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(text: &str) -> (usize, usize) {
        let found = EndFinder::default().find(text.as_bytes(), true).unwrap();
        (found.fields, found.body)
    }

    #[test]
    fn a_header_block_ends_at_the_first_line_that_is_no_field() {
        for (text, fields, body) in [
            ("A: b\r\n\r\nbody", 6, 8),
            ("A: b\r\n c\r\n\tD: e\r\n\r\n", 17, 19),
            ("A: b\r\n", 6, 6),
            ("A: b", 4, 4),
            ("", 0, 0),
            ("\r\nbody", 0, 2),
            ("Hello\r\nA: b\r\n", 0, 0),
            (" A: b\r\n", 0, 0),
            ("A: b\r\nHello\r\nBcc: c\r\n\r\n", 6, 6),
            ("A: b\r\nTwo words: c\r\n", 6, 6),
            ("A: b\r\n: c\r\n", 6, 6),
            ("A : b\r\n\r\n", 7, 9),
            ("From root Mon Jan 1\r\nA: b\r\n\r\n", 27, 29),
            ("A: b\r\nFrom root Mon Jan 1\r\n", 6, 6),
        ] {
            assert_eq!(ends(text), (fields, body), "{text:?}");
        }
    }

    #[test]
    fn the_end_is_the_same_however_much_has_come() {
        let text = b"A: b\r\n c\r\nD: e\r\n\r\nbody\r\n";
        let mut finder = EndFinder::default();
        for length in 0..18 {
            assert_eq!(finder.find(&text[..length], false), None, "{length}");
        }
        for length in 18..=text.len() {
            assert_eq!(finder.find(&text[..length], false), Some(End { fields: 16, body: 18 }));
        }
    }

    #[test]
    fn fields_keep_their_octets() {
        let block = b"From x Mon\r\nA: b\r\n c\r\nD : \xfc\x80\r\nE:";
        let found: Vec<Field<'_>> = fields(block).collect();
        assert_eq!(found.len(), 3);
        assert_eq!((found[0].raw(), found[0].value().text.as_str()), (&b"A: b\r\n c\r\n"[..], "b c"));
        assert!(found[1].is("d"));
        assert_eq!(found[1].value(), Value { text: "ü€".to_string(), is_utf8: false });
        assert_eq!(found[2].value().text, "");
    }

    #[test]
    fn a_long_field_is_folded_at_blanks() {
        let mut block = Vec::new();
        append(&mut block, "A", &vec!["word"; 40].join(" "));
        let text = String::from_utf8(block).unwrap();
        assert!(text.lines().all(|line| line.len() <= FOLD), "{text}");
        assert_eq!(fields(text.as_bytes()).next().unwrap().value().text, vec!["word"; 40].join(" "));
    }
}
