//! Replies (RFC 5321 section 4.2, RFC 2034/3463): ours as they are written, Office 365's as they are read.

use std::fmt;

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
        let (class, subject, detail) = (
            number(parts.next())?,
            number(parts.next())?,
            number(parts.next())?,
        );
        if parts.next().is_some() || !matches!(class, 2 | 4 | 5) {
            return None;
        }
        Some((
            Self(u8::try_from(class).ok()?, subject, detail),
            rest.trim_start(),
        ))
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
        Self {
            code,
            lines: vec![text.into()],
        }
    }

    /// The enhanced code of the first line.
    pub fn enhanced(&self) -> Option<EnhancedCode> {
        self.lines
            .first()
            .and_then(|line| EnhancedCode::split(line))
            .map(|(code, _)| code)
    }

    /// All lines in one, the enhanced code kept once: what is classified and logged.
    pub fn text(&self) -> String {
        let mut text = String::new();
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
