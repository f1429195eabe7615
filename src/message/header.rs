//! The fields of a header block (RFC 5322 section 2.2) as the octets that came, and new fields folded.
//!
//! Nothing is decoded and written out again: a signature over a field holds only as long as each of its octets stays.

/// The longest header block, in octets: Exchange's own limit, whose refusal is `552 5.3.4 Header size exceeds fixed
/// maximum size`.
pub const MAX_HEADER_BLOCK: usize = 256 * 1024;

pub(super) trait StartsWithBlank {
    fn starts_with_blank(&self) -> bool;
}

impl StartsWithBlank for [u8] {
    fn starts_with_blank(&self) -> bool {
        matches!(self.first(), Some(b' ' | b'\t'))
    }
}

pub(super) fn is_mailbox_file_line(line: &[u8]) -> bool {
    line.starts_with(b"From ") || line.starts_with(b">From ")
}

/// The end of a field's name (RFC 5322 section 2.2: printable ASCII without the colon; section 4.5.8: blanks may stand
/// before the colon).
pub(super) fn name_end(line: &[u8]) -> Option<usize> {
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
        let mut octets = behind[colon..].trim_ascii().to_vec();
        octets.retain(|octet| !matches!(octet, b'\r' | b'\n'));
        match String::from_utf8(octets) {
            Ok(text) => Value { text: trimmed(text), is_utf8: true },
            Err(error) => Value { text: trimmed(windows_1252(error.as_bytes())), is_utf8: false },
        }
    }
}

/// Without the blanks of Unicode at its ends.
fn trimmed(text: String) -> String {
    if text.trim().len() == text.len() { text } else { text.trim().to_string() }
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

pub(super) fn windows_1252(octets: &[u8]) -> String {
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

/// The value of the first field of this name, for the log.
pub(super) fn first(block: &[u8], name: &str) -> Option<String> {
    fields(block).find(|field| field.is(name)).map(|field| field.value().text)
}

fn line_length(octets: &[u8]) -> usize {
    line_end(octets).map_or(octets.len(), |length| length + 2)
}

/// Where the first CRLF stands. A search for one octet: one for two is prepared for each line anew, at twice the cost of
/// the line.
pub(super) fn line_end(octets: &[u8]) -> Option<usize> {
    let mut ends = memchr::memchr_iter(b'\n', octets);
    ends.find(|lf| octets[..*lf].last() == Some(&b'\r')).map(|lf| lf - 1)
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
    fn the_first_field_of_a_name_is_found_and_unfolded() {
        let first = |text: &str| first(text.as_bytes(), "message-id");
        assert_eq!(first("A: b\r\nMessage-ID:\r\n <x@y>\r\nC: d\r\n\r\n"), Some("<x@y>".into()));
        assert_eq!(first("MESSAGE-id : <x@y>\r\nMessage-ID: <z@y>\r\n"), Some("<x@y>".into()));
        assert_eq!(first("A: b\r\n Message-ID: <z@y>\r\n"), None);
        assert_eq!(first(""), None);
    }

    #[test]
    fn only_a_crlf_ends_a_line() {
        for (octets, end) in [
            (&b"a\r\nb"[..], Some(1)),
            (b"\r\n", Some(0)),
            (b"\na\rb\n\r\r\n", Some(6)),
            (b"\n\r", None),
            (b"", None),
        ] {
            assert_eq!(line_end(octets), end);
            assert_eq!(memchr::memmem::find(octets, b"\r\n"), end);
        }
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
