//! Content on its way in: dot-unstuffing for DATA, the rules of lines, a digest, the header fields that Exchange looks at.

use memchr::{memchr, memchr2, memmem};
use ring::digest::{Context, SHA256};

/// The header block is looked for within this much.
const HEADER: usize = 256 * 1024;

/// Content received so far.
pub(crate) struct Content {
    kept: Vec<u8>,
    keep: usize,
    digest: Context,
    pub(crate) size: u64,
    last: [u8; 2],
    pub(crate) bare_cr: bool,
    pub(crate) bare_lf: bool,
    pub(crate) eight_bit: bool,
}

impl Content {
    /// Keeps at most `keep` octets; the header block in any case.
    pub(crate) fn new(keep: u64) -> Content {
        Content {
            kept: Vec::new(),
            keep: (keep as usize).max(HEADER),
            digest: Context::new(&SHA256),
            size: 0,
            last: *b"\r\n",
            bare_cr: false,
            bare_lf: false,
            eight_bit: false,
        }
    }

    /// Adds octets, after unstuffing.
    pub(crate) fn push(&mut self, octets: &[u8]) {
        let Some(&end) = octets.last() else { return };
        let mut previous = self.last[1];
        if previous == b'\r' && octets[0] != b'\n' {
            self.bare_cr = true;
        }
        let mut from = 0;
        while let Some(at) = memchr2(b'\r', b'\n', &octets[from..]) {
            let at = from + at;
            if at > 0 {
                previous = octets[at - 1];
            }
            match octets[at] {
                b'\n' => self.bare_lf |= previous != b'\r',
                _ => self.bare_cr |= octets.get(at + 1).is_some_and(|next| *next != b'\n'),
            }
            from = at + 1;
        }
        self.eight_bit |= !octets.is_ascii();
        self.last = match octets {
            [.., a, b] => [*a, *b],
            _ => [self.last[1], end],
        };
        self.digest.update(octets);
        self.size += octets.len() as u64;
        let room = self.keep.saturating_sub(self.kept.len()).min(octets.len());
        self.kept.extend_from_slice(&octets[..room]);
    }

    /// Whether it ends in CRLF (or is empty).
    pub(crate) fn ends_in_crlf(&self) -> bool {
        self.last == *b"\r\n"
    }

    pub(crate) fn finish(self) -> (Vec<u8>, [u8; 32]) {
        let digest = self.digest.finish();
        (self.kept, digest.as_ref().try_into().expect("SHA-256 has 32 octets"))
    }

    /// Values of the header fields of this name, unfolded.
    pub(crate) fn header(&self, name: &str) -> Vec<String> {
        let end =
            if self.kept.starts_with(b"\r\n") { Some(0) } else { memmem::find(&self.kept, b"\r\n\r\n") };
        let block = String::from_utf8_lossy(&self.kept[..end.unwrap_or(self.kept.len().min(HEADER))]);
        let mut values = Vec::new();
        let mut wanted = false;
        for line in block.split("\r\n") {
            if line.starts_with([' ', '\t']) {
                if wanted && let Some(value) = values.last_mut() {
                    let value: &mut String = value;
                    value.push_str(line);
                }
                continue;
            }
            let Some((field, value)) = line.split_once(':') else {
                continue;
            };
            wanted = field.trim_end().eq_ignore_ascii_case(name);
            if wanted {
                values.push(value.trim().to_owned());
            }
        }
        values
    }
}

/// The addr-specs of an address list (RFC 5322 §3.4), display names and comments left out.
pub(crate) fn addresses(value: &str) -> Vec<String> {
    let (mut found, mut bare, mut angle) = (Vec::new(), String::new(), None::<String>);
    let (mut quoted, mut comment, mut escaped, mut inside) = (false, 0, false, false);
    let mut finish = |bare: &mut String, angle: &mut Option<String>| {
        let address = angle.take().unwrap_or_else(|| bare.trim().to_owned());
        bare.clear();
        if address.contains('@') {
            found.push(address.trim().to_owned());
        }
    };
    for c in value.chars() {
        if escaped {
            escaped = false;
        } else if c == '\\' && (quoted || comment > 0) {
            escaped = true;
        } else if c == '"' && comment == 0 {
            quoted = !quoted;
        } else if !quoted && c == '(' {
            comment += 1;
        } else if comment > 0 {
            comment -= i32::from(c == ')');
            continue;
        } else if !quoted && c == '<' {
            (inside, angle) = (true, Some(String::new()));
            continue;
        } else if !quoted && c == '>' {
            inside = false;
            continue;
        } else if !quoted && (c == ',' || c == ';') {
            finish(&mut bare, &mut angle);
            continue;
        } else if !quoted && c == ':' && !inside {
            // A group's name.
            bare.clear();
            continue;
        }
        if comment == 0 {
            match (&mut angle, inside) {
                (Some(address), true) => address.push(c),
                _ => bare.push(c),
            }
        }
    }
    finish(&mut bare, &mut angle);
    found
}

/// DATA's transparency (RFC 5321 §4.5.2): undoes the stuffing; only CRLF.CRLF ends the content.
pub(crate) struct Dots {
    state: At,
}

#[derive(Clone, Copy, PartialEq)]
enum At {
    LineStart,
    AfterDot,
    AfterDotCr,
    Middle,
    AfterCr,
}

impl Dots {
    pub(crate) fn new() -> Dots {
        Dots { state: At::LineStart }
    }

    /// Decodes; how many octets were used, and whether the content has ended.
    pub(crate) fn decode(&mut self, octets: &[u8], content: &mut Content) -> (usize, bool) {
        let mut from = 0; // start of a run that goes to `content` as it is
        let mut at = 0;
        while at < octets.len() {
            let octet = octets[at];
            self.state = match (self.state, octet) {
                (At::LineStart, b'.') => {
                    content.push(&octets[from..at]);
                    from = at + 1;
                    At::AfterDot
                }
                (At::AfterDot, b'\r') => {
                    // Not part of a run yet: whether it belongs to the content shows with the next octet.
                    from = at + 1;
                    At::AfterDotCr
                }
                (At::AfterDotCr, b'\n') => return (at + 1, true),
                (At::AfterDotCr, b'\r') => {
                    content.push(b"\r");
                    from = at;
                    At::AfterCr
                }
                (At::AfterDotCr, _) => {
                    content.push(b"\r");
                    from = at;
                    At::Middle
                }
                (At::AfterCr, b'\n') => At::LineStart,
                (_, b'\r') => At::AfterCr,
                (_, _) => {
                    // On to just before the next CR: nothing else matters within a line.
                    at = memchr(b'\r', &octets[at..]).map_or(octets.len(), |n| at + n) - 1;
                    At::Middle
                }
            };
            at += 1;
        }
        content.push(&octets[from.min(octets.len())..]);
        (octets.len(), false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes in chunks of `step`; content, octets used, whether it ended.
    fn decode(input: &[u8], step: usize) -> (Content, usize, bool) {
        let (mut dots, mut content, mut used) = (Dots::new(), Content::new(1 << 20), 0);
        for chunk in input.chunks(step) {
            let (n, done) = dots.decode(chunk, &mut content);
            used += n;
            if done {
                return (content, used, true);
            }
        }
        (content, used, false)
    }

    #[test]
    fn only_crlf_dot_crlf_ends_however_it_is_cut() {
        let cases: [(&[u8], &[u8], bool); 12] = [
            (b".\r\nNOOP\r\n", b"", true),
            (b"a\r\n.\r\nQUIT\r\n", b"a\r\n", true),
            (b"..\r\n.\r\n", b".\r\n", true),
            (b"...a\r\n..\r\n.\r\n", b"..a\r\n.\r\n", true),
            (b"a\n.\r\n", b"a\n.\r\n", false),
            (b"a\n.\nb\r\n.\r\n", b"a\n.\nb\r\n", true),
            (b"a\r\n.\nb\r\n.\r\n", b"a\r\n\nb\r\n", true),
            (b"a\r\n.\rb\r\n.\r\n", b"a\r\n\rb\r\n", true),
            (b"a\r\n.\r\r\n.\r\n", b"a\r\n\r\r\n", true),
            (b"a\r.\r\nb\r\n.\r\n", b"a\r.\r\nb\r\n", true),
            (b"a\r\r\n.\r\n", b"a\r\r\n", true),
            (b"a.\r\n.b\r\n.\r\n", b"a.\r\nb\r\n", true),
        ];
        for (input, expected, ends) in cases {
            for step in 1..=input.len() {
                let (content, used, done) = decode(input, step);
                let shown = String::from_utf8_lossy(input).escape_debug().to_string();
                assert_eq!(done, ends, "{shown} by {step}");
                let consumed = if ends {
                    input.windows(3).rposition(|w| w == b".\r\n").unwrap() + 3
                } else {
                    input.len()
                };
                assert_eq!(used, consumed, "{shown} by {step}");
                let plain = expected.replace_crlf();
                assert_eq!(content.bare_lf, plain.contains(&b'\n'), "bare LF in {shown} by {step}");
                assert_eq!(content.bare_cr, plain.contains(&b'\r'), "bare CR in {shown} by {step}");
                assert_eq!(content.finish().0, expected, "{shown} by {step}");
            }
        }
    }

    trait ReplaceCrlf {
        fn replace_crlf(&self) -> Vec<u8>;
    }

    impl ReplaceCrlf for [u8] {
        /// Without its CRLFs: what is left of CR or LF is bare.
        fn replace_crlf(&self) -> Vec<u8> {
            String::from_utf8_lossy(self).replace("\r\n", "|").into_bytes()
        }
    }

    #[test]
    fn addresses_of_a_list() {
        for (value, expected) in [
            ("a@b.c", vec!["a@b.c"]),
            ("\"x, <evil@b.c>\" <a@b.c>", vec!["a@b.c"]),
            ("X (a, comment \\) <no@b.c>) <a@b.c>, d@e.f (D)", vec!["a@b.c", "d@e.f"]),
            ("Group: a@b.c, X <d@e.f>;", vec!["a@b.c", "d@e.f"]),
            ("\"quoted local\"@b.c", vec!["\"quoted local\"@b.c"]),
            ("root", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(addresses(value), expected, "{value}");
        }
    }
}
