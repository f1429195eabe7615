//! Foreign text made harmless for a log line, a reply or a terminal: no secret, no control character.
//!
//! Whoever was sent a secret can put it into an error, whole or cut off, decoded or encoded once more, and errors go into
//! logs and replies. So a secret is not looked for as it was sent: whatever has eight octets in a row in common with it goes.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Whatever can be a token or a SASL response: a JWT, base64 of `user=`, or a run of base64 longer than any id.
pub(crate) fn without_secrets(text: &str) -> String {
    let base64 = |c: char| c.is_ascii() && is_base64(c as u8);
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let run = &rest[..rest.find(|c| !base64(c)).unwrap_or(rest.len())];
        let secret = (run.len() >= SHORTEST_TOKEN
            && ["eyJ", "dXNlcj"].iter().any(|start| run.contains(start)))
            || (run.len() >= 120 && run.bytes().any(|b| b.is_ascii_lowercase() && !b.is_ascii_hexdigit()));
        kept.push_str(if secret { "[redacted]" } else { run });
        rest = &rest[run.len()..];
        if let Some(other) = rest.chars().next() {
            kept.push(other);
            rest = &rest[other.len_utf8()..];
        }
    }
    kept
}

/// A shorter run of base64 is no token.
const SHORTEST_TOKEN: usize = 16;

const fn is_base64(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/' | b'=' | b'-' | b'_' | b'.')
}

/// Whether [`printable`] has nothing to look for: printable ASCII without a bracket, and no run that could be a token.
fn is_harmless(text: &str) -> bool {
    let mut run = 0;
    text.bytes().all(|octet| {
        run = if is_base64(octet) { run + 1 } else { 0 };
        run < SHORTEST_TOKEN && matches!(octet, b' '..=b'~') && octet != b'('
    })
}

/// For a log line: no control characters, no invisible ones that turn a line's direction; the rest as it came.
pub fn printable(text: &str) -> String {
    if is_harmless(text) {
        return text.to_string();
    }
    let hostile = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let text = without_error_numbers(&without_secrets(text));
    if text.contains(hostile) { text.replace(hostile, " ") } else { text }
}

/// Without the numbers of errors, as in `Permission denied (os error 13)`: they help nobody who reads the words.
pub(crate) fn without_error_numbers(text: &str) -> String {
    const BEGIN: &str = " (os error ";
    if !text.contains('(') {
        return text.to_string();
    }
    let (mut kept, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, behind)) = rest.split_once(BEGIN) {
        kept.push_str(before);
        let number = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
        rest = match behind[number..].strip_prefix(')') {
            Some(rest) if number > 0 => rest,
            _ => {
                kept.push_str(BEGIN);
                behind
            }
        };
    }
    kept + rest
}

/// Printable ASCII of at most this many characters: for an SMTP reply, or a terminal that no escape sequence may reach.
pub(crate) fn printable_ascii(text: &str, limit: usize) -> String {
    let printable = |c| match c {
        ' '..='~' => c,
        c if c.is_control() => ' ',
        _ => '?',
    };
    text.chars().take(limit).map(printable).collect()
}

/// Octets in a row that are told to be a secret's.
const TELLING: usize = 8;
/// A shorter secret is none, and would make every text unreadable.
const SHORTEST: usize = 4;
/// Of a longer one no base64 is looked for: it is a token, which is base64 itself.
const LONGEST_ENCODED: usize = 256;
/// How often an echo may have been encoded.
const ENCODINGS: usize = 2;

const MARK: &str = "[redacted]";

/// Secrets, in the forms in which they may come back.
#[derive(Clone, Default)]
pub struct Redactor(Vec<Vec<u8>>);

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor")
    }
}

impl Redactor {
    /// Adds a secret.
    pub fn add(&mut self, secret: &str) {
        if secret.len() < SHORTEST {
            return;
        }
        self.0.push(secret.bytes().map(canonical).collect());
        if secret.len() <= LONGEST_ENCODED {
            for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                // Behind something else (`id:secret`) the octets fall on other digits.
                self.0.extend((0..3).map(|before| {
                    let encoded = engine.encode([vec![0; before].as_slice(), secret.as_bytes()].concat());
                    let whole = (before * 8).div_ceil(6)..(before + secret.len()) * 8 / 6;
                    encoded.as_bytes()[whole].iter().copied().map(canonical).collect()
                }));
            }
        }
    }

    /// A text without them.
    pub fn redact(&self, text: &str) -> String {
        if self.0.is_empty() {
            return text.to_string();
        }
        let short: Vec<&[u8]> =
            self.0.iter().map(Vec::as_slice).filter(|form| form.len() < TELLING).collect();
        let mut told = vec![false; text.len()];
        let mut view = View::of(text);
        for _ in 0..=ENCODINGS {
            for at in self.telling(&view.octets) {
                told[view.places[at]..view.places[at + TELLING]].fill(true);
            }
            for form in &short {
                for at in memchr::memmem::find_iter(&view.octets, form) {
                    told[view.places[at]..view.places[at + form.len()]].fill(true);
                }
            }
            // A text in which nothing is encoded, as nearly all are, is looked at once.
            match view.decoded() {
                Some(decoded) => view = decoded,
                None => break,
            }
        }
        if told.contains(&true) { without(text, &told) } else { text.to_string() }
    }

    /// Where [`TELLING`] octets in a row are a secret's. The text is indexed, not the secrets: it is short, and a token
    /// is not, which is looked for at each sign-in.
    fn telling(&self, octets: &[u8]) -> Vec<usize> {
        let here: Vec<u64> = runs(octets).collect();
        let mut known = here.clone();
        known.sort_unstable();
        known.dedup();
        // Nearly no run of a secret stands in the text: that is seen without a search.
        let mut seen = [false; 1 << 12];
        known.iter().for_each(|run| seen[place(*run)] = true);
        let mut is_told = vec![false; known.len()];
        for run in self.0.iter().flat_map(|form| runs(form)) {
            if seen[place(run)]
                && let Ok(index) = known.binary_search(&run)
            {
                is_told[index] = true;
            }
        }
        let told = |run: &u64| known.binary_search(run).is_ok_and(|index| is_told[index]);
        here.iter().enumerate().filter(|(_, run)| told(run)).map(|(at, _)| at).collect()
    }
}

/// Each [`TELLING`] octets in a row, as a number: the next one is the last one with one octet more.
fn runs(octets: &[u8]) -> impl Iterator<Item = u64> {
    let all = octets.iter().scan(0, |run, octet| {
        *run = (*run << 8) | u64::from(*octet);
        Some(*run)
    });
    all.skip(TELLING - 1)
}

/// One of 4,096 places, spread over all (Knuth's multiplicative hash).
const fn place(run: u64) -> usize {
    (run.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52) as usize
}

/// In forms a blank is written as `+`, and whether it was is not always to be told.
const fn canonical(octet: u8) -> u8 {
    if octet == b'+' { b' ' } else { octet }
}

/// The text with a mark in place of what is told.
fn without(text: &str, told: &[bool]) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut was_told = false;
    for (at, character) in text.char_indices() {
        let is_told = told[at..at + character.len_utf8()].contains(&true);
        match (is_told, was_told) {
            (true, false) => clean.push_str(MARK),
            (true, true) => {}
            (false, _) => clean.push(character),
        }
        was_told = is_told;
    }
    clean
}

/// A text, decoded, and where each octet of it stands in the text that came; one place more for its end.
struct View {
    octets: Vec<u8>,
    places: Vec<usize>,
}

impl View {
    fn of(text: &str) -> Self {
        Self { octets: text.bytes().map(canonical).collect(), places: (0..=text.len()).collect() }
    }

    /// Without one encoding of forms (`%26`), of JSON (`\u0026`, `\"`) or of HTML (`&amp;`, `&#38;`); none where nothing
    /// is encoded.
    fn decoded(&self) -> Option<Self> {
        memchr::memchr3(b'%', b'\\', b'&', &self.octets)?;
        let (mut octets, mut places) = (Vec::with_capacity(self.octets.len()), Vec::new());
        let mut at = 0;
        while at < self.octets.len() {
            let (character, length) = decoded(&self.octets[at..]);
            let before = octets.len();
            match character {
                Some(character) if character.is_ascii() || length > 3 => {
                    octets.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                // `%C3%BC`: octets, not characters.
                Some(octet) => octets.push(u8::try_from(u32::from(octet)).unwrap_or(b'?')),
                None => octets.push(self.octets[at]),
            }
            octets[before..].iter_mut().for_each(|octet| *octet = canonical(*octet));
            places.extend(std::iter::repeat_n(self.places[at], octets.len() - before));
            at += length;
        }
        places.push(self.places[self.octets.len()]);
        Some(Self { octets, places })
    }
}

/// The character that an encoding at the beginning stands for, and the encoding's length: 3 for an octet.
fn decoded(rest: &[u8]) -> (Option<char>, usize) {
    let number = |digits: Option<&[u8]>, radix| {
        let digits = std::str::from_utf8(digits?).ok()?;
        let are_digits = digits.chars().all(|digit| digit.is_digit(radix));
        char::from_u32(u32::from_str_radix(digits, radix).ok().filter(|_| are_digits)?)
    };
    let found = match rest[0] {
        b'%' => number(rest.get(1..3), 16).map(|octet| (octet, 3)),
        b'\\' if rest.get(1) == Some(&b'u') => number(rest.get(2..6), 16).map(|character| (character, 6)),
        b'\\' => rest.get(1).filter(|octet| br#""\/'"#.contains(octet)).map(|octet| (char::from(*octet), 2)),
        b'&' => {
            let end = rest[..rest.len().min(8)].iter().position(|octet| *octet == b';');
            end.and_then(|end| {
                let character = match &rest[1..end] {
                    b"amp" => '&',
                    b"lt" => '<',
                    b"gt" => '>',
                    b"quot" => '"',
                    b"apos" => '\'',
                    [b'#', b'x', digits @ ..] => number(Some(digits), 16)?,
                    [b'#', digits @ ..] => number(Some(digits), 10)?,
                    _ => return None,
                };
                Some((character, end + 1))
            })
        }
        _ => None,
    };
    found.map_or((None, 1), |(character, length)| (Some(character), length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_words_and_no_numbers() {
        for (text, kept) in [
            ("Connection refused (os error 111)", "Connection refused"),
            ("a (os error 1): b (os error 2)", "a: b"),
            ("a (os error x)", "a (os error x)"),
            ("a (os error 1", "a (os error 1"),
        ] {
            assert_eq!(without_error_numbers(text), kept, "{text}");
        }
    }

    #[test]
    fn what_can_be_a_secret_or_move_a_line_is_taken_out() {
        let token = format!("eyJ{}", "A".repeat(40));
        assert_eq!(printable(&format!("Bearer {token}, id 1234")), "Bearer [redacted], id 1234");
        assert_eq!(printable("one\r\ntwo\u{202e}three\u{1b}[2J ü"), "one  two three [2J ü");
    }

    #[test]
    fn ascii_is_kept_and_the_rest_replaced_up_to_the_limit() {
        assert_eq!(printable_ascii("a\u{1b}[31mü\u{202e}~ and more", 9), "a [31m??~");
    }

    const SECRET: &str = "8Q~s3.cr&t_-'x\"\\<ü";

    fn redact(text: &str) -> String {
        let mut redactor = Redactor::default();
        redactor.add(SECRET);
        redactor.add("canary");
        redactor.redact(text)
    }

    #[test]
    fn a_secret_goes_in_whatever_form_it_comes_back() {
        let json = serde_json::to_string(SECRET).unwrap();
        let by_form: String = form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
        let twice: String = form_urlencoded::byte_serialize(by_form.as_bytes()).collect();
        let url = by_form.replace("%7E", "~").replace("%27", "'");
        let escaped: String = SECRET.chars().map(|c| format!("\\u{:04X}", u32::from(c))).collect();
        let lower = by_form.replace("%7E", "%7e").replace("%3C", "%3c").replace("%5C", "%5c");
        let html =
            SECRET.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&#34;").replace('\'', "&#x27;");
        for form in [SECRET, json.trim_matches('"'), &by_form, &lower, &twice, &url, &escaped, &html] {
            assert_eq!(redact(&format!("no: {form} is wrong")), "no: [redacted] is wrong", "{form}");
        }
        for before in ["", "i", "id", "id:", "user:"] {
            for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                let encoded = engine.encode(format!("{before}{SECRET}"));
                let said = redact(&encoded);
                assert!(said.contains(MARK) && said.len() < MARK.len() + 11, "{encoded}: {said}");
            }
        }
        assert_eq!(redact("canary, c%61nary Y2FuYXJ5"), "[redacted], [redacted] [redacted]");
    }

    #[test]
    fn a_part_of_a_secret_goes_too_and_the_rest_stays() {
        for (text, shown) in [
            ("'8Q~s3.cr...'", "'[redacted]...'"),
            ("x3.cr&t_-'", "x[redacted]"),
            ("ü8Q~s3.cr&t_-ü", "ü[redacted]ü"),
            ("8Q~s3.c", "8Q~s3.c"),
            ("100% of a+b, 5 %, \\u12, &amp, &#99999999;", "100% of a+b, 5 %, \\u12, &amp, &#99999999;"),
            ("", ""),
        ] {
            assert_eq!(redact(text), shown);
        }
        let mut redactor = Redactor::default();
        redactor.add("abc");
        assert_eq!(redactor.redact("abc"), "abc");
        assert_eq!(format!("{redactor:?}"), "Redactor");
    }

    /// Decoding leaves one octet for at least one: three passes over the text, whatever stands in it.
    #[test]
    fn a_view_is_never_longer_than_its_text() {
        for piece in
            ["%", "%2", "%25", "\\u005c", "\\\\", "&", "&#", "&amp;", "&amp", "+", "ü", "\\uffff", "%ff"]
        {
            let text = piece.repeat(1_000);
            let mut view = View::of(&text);
            for _ in 0..=ENCODINGS {
                assert!(
                    view.octets.len() <= text.len() && view.places.len() == view.octets.len() + 1,
                    "{piece}"
                );
                assert!(view.places.is_sorted() && view.places[view.octets.len()] == text.len(), "{piece}");
                let Some(decoded) = view.decoded() else { break };
                view = decoded;
            }
            assert_eq!(redact(&text), text);
        }
    }
}
