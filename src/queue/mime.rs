//! Text as a part of a message that every program on its way can carry: seven bits, short lines.

/// Text lines are broken behind this many characters, where there is a blank.
const WIDTH: usize = 72;
/// A word without a blank that is longer is broken anywhere: no line may come near 998 octets (RFC 5322 section 2.1.1).
const LONGEST_WORD: usize = 500;

/// Printable characters and single blanks, on one line, no word longer than a line may be.
pub fn one_line(text: &str) -> String {
    let is_blank = |c: char| c.is_whitespace() || c.is_control() || is_invisible(c);
    let mut line = String::with_capacity(text.len());
    for word in text.split(is_blank).filter(|word| !word.is_empty()) {
        let mut octets = 0;
        if !line.is_empty() {
            line.push(' ');
        }
        for c in word.chars() {
            if octets + c.len_utf8() > LONGEST_WORD {
                line.push(' ');
                octets = 0;
            }
            octets += c.len_utf8();
            line.push(c);
        }
    }
    line
}

/// What turns or hides the text around it.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Foreign text for a person to read.
pub fn shown(text: &str) -> String {
    one_line(&crate::redact::printable(text))
}

/// Appends a paragraph that begins with this mark; its other lines are indented.
pub fn wrapped(text: &mut String, mark: &str, paragraph: &str) {
    text.push_str(mark);
    let mut column = mark.chars().count();
    let indent = if mark.is_empty() { "" } else { "  " };
    for (index, word) in paragraph.split(' ').enumerate() {
        let length = word.chars().count();
        if index > 0 && column + 1 + length > WIDTH {
            text.push_str("\r\n");
            text.push_str(indent);
            column = indent.len();
        } else if index > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text.push_str("\r\n");
}

/// A part of text for people.
pub fn text_part(text: &str) -> Vec<u8> {
    let (encoding, body) = encoded(text.as_bytes());
    let mut part = b"Content-Type: text/plain; charset=utf-8\r\n".to_vec();
    if !encoding.is_empty() {
        part.extend_from_slice(format!("Content-Transfer-Encoding: {encoding}\r\n").as_bytes());
    }
    part.extend_from_slice(b"\r\n");
    part.extend_from_slice(&body);
    part
}

/// Lines as they are where they can pass as they are, else as quoted-printable (RFC 2045 section 6.7), with the name of
/// that encoding.
pub fn encoded(octets: &[u8]) -> (&'static str, Vec<u8>) {
    let lines = || octets.split(|octet| *octet == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let passes =
        |line: &[u8]| line.len() < 900 && line.iter().all(|octet| matches!(octet, b' '..=b'~' | b'\t'));
    let mut body = Vec::with_capacity(octets.len());
    if lines().all(passes) {
        lines().for_each(|line| {
            body.extend_from_slice(line);
            body.extend_from_slice(b"\r\n");
        });
        body.truncate(body.len() - 2);
        return ("", body);
    }
    for (index, line) in lines().enumerate() {
        if index > 0 {
            body.extend_from_slice(b"\r\n");
        }
        quoted(&mut body, line);
    }
    ("quoted-printable", body)
}

fn quoted(body: &mut Vec<u8>, line: &[u8]) {
    let mut column = 0;
    for (place, octet) in line.iter().enumerate() {
        let is_last = place + 1 == line.len();
        let is_plain =
            matches!(octet, b'!'..=b'<' | b'>'..=b'~') || matches!(octet, b' ' | b'\t') && !is_last;
        let length = if is_plain { 1 } else { 3 };
        if column + length > 75 {
            body.extend_from_slice(b"=\r\n");
            column = 0;
        }
        if is_plain {
            body.push(*octet);
        } else {
            body.extend_from_slice(format!("={octet:02X}").as_bytes());
        }
        column += length;
    }
}

/// What stands between parts.
pub struct Boundary(pub String);

impl Boundary {
    /// One that stands in none of these parts.
    pub fn not_in(id: &str, parts: &[Vec<u8>]) -> Self {
        let mut boundary = format!("=_mailshim_{id}");
        while parts.iter().any(|part| memchr::memmem::find(part, boundary.as_bytes()).is_some()) {
            boundary.push('_');
        }
        Self(boundary)
    }
}

/// Decodes xtext (RFC 3461 section 4) to one line of printable ASCII; `None` where it is none.
pub fn xtext(text: &str) -> Option<String> {
    let mut decoded = String::new();
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        let octet = match octet {
            b'+' => {
                let digits = [rest.next()?, rest.next()?];
                let digits = std::str::from_utf8(&digits).ok()?;
                u8::from_str_radix(digits, 16).ok()?
            }
            octet => octet,
        };
        if !matches!(octet, b' '..=b'~') {
            return None;
        }
        decoded.push(char::from(octet));
    }
    Some(one_line(&decoded)).filter(|line| !line.is_empty())
}

/// An address as utf-8-addr-xtext (RFC 6533 section 3), which is ASCII.
pub fn utf8_xtext(address: &str) -> String {
    let mut text = String::new();
    for c in address.chars() {
        if c.is_ascii_graphic() && !matches!(c, '+' | '=' | '\\') {
            text.push(c);
        } else {
            text.push_str(&format!("\\x{{{:02X}}}", u32::from(c)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_stays_on_its_line() {
        assert_eq!(one_line(" a\r\nBcc: b@c \u{202e}d\0 "), "a Bcc: b@c d");
        assert!(one_line(&"x".repeat(5000)).split(' ').all(|word| word.len() <= LONGEST_WORD));
        assert!(one_line(&"ü".repeat(5000)).split(' ').all(|word| word.len() <= LONGEST_WORD));
    }

    #[test]
    fn lines_pass_everywhere() {
        assert_eq!(encoded(b"a\r\nb"), ("", b"a\r\nb".to_vec()));
        let (encoding, body) = encoded("Subject: \u{fc}=\r\n ".as_bytes());
        assert_eq!((encoding, body.as_slice()), ("quoted-printable", &b"Subject: =C3=BC=3D\r\n=20"[..]));
        let (_, body) = encoded(&[b'x'; 5000]);
        assert!(body.split(|octet| *octet == b'\n').all(|line| line.len() <= 77));
        // A lone CR is no line end.
        assert_eq!(encoded(b"a\rb").1, b"a=0Db");
    }

    #[test]
    fn a_boundary_stands_in_no_part() {
        let parts = [b"--=_mailshim_1".to_vec(), b"--=_mailshim_1__".to_vec()];
        let boundary = Boundary::not_in("1", &parts).0;
        assert!(parts.iter().all(|part| memchr::memmem::find(part, boundary.as_bytes()).is_none()));
    }

    #[test]
    fn xtext_is_decoded_and_injects_nothing() {
        assert_eq!(xtext("a+2Bb@c").as_deref(), Some("a+b@c"));
        for text in ["a+0D+0ABcc: x", "a+", "a+2", "a+ZZ", "+C3+BC", ""] {
            assert_eq!(xtext(text), None, "{text}");
        }
        assert_eq!(utf8_xtext("m\u{fc}+x@y.z"), "m\\x{FC}\\x{2B}x@y.z");
    }
}
