//! A line of the client's, and what of it may be shown.

use std::fmt;

use bytes::Bytes;

/// A line to write. What is secret in it is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Line {
    wire: Bytes,
    shown: Option<&'static str>,
}

impl Line {
    pub(super) fn plain(text: impl fmt::Display) -> Self {
        Self { wire: format!("{text}\r\n").into(), shown: None }
    }

    pub(super) fn secret(text: impl fmt::Display, shown: &'static str) -> Self {
        Self { wire: format!("{text}\r\n").into(), shown: Some(shown) }
    }

    /// The octets to write.
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// Whether some of it must not be printed.
    pub const fn is_secret(&self) -> bool {
        self.shown.is_some()
    }

    /// `text` without what is secret in this line: servers, and what stands in for them, say back what they do not
    /// understand, whole or cut off.
    pub fn redact(&self, text: &str) -> String {
        let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
        let wire = std::str::from_utf8(&self.wire).unwrap_or_default();
        let secret = wire.split_whitespace().next_back().unwrap_or_default();
        let mut clean = String::with_capacity(text.len());
        for part in text.split_inclusive(|c| !is_base64(c)) {
            let word = part.trim_end_matches(|c| !is_base64(c));
            let is_told = !word.is_empty() && (word == secret || (word.len() >= 8 && secret.contains(word)));
            clean.push_str(if is_told { "[redacted]" } else { word });
            clean.push_str(&part[word.len()..]);
        }
        clean
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            self.shown.unwrap_or_else(|| std::str::from_utf8(&self.wire).unwrap_or_default().trim_end()),
        )
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_back_is_redacted_whole_or_cut_off() {
        let line = Line::secret("AUTH XOAUTH2 dXNlcj1hQGIuYwFhdXRoPUJl", "AUTH XOAUTH2 [redacted]");
        assert_eq!(format!("{line} {line:?}"), "AUTH XOAUTH2 [redacted] Line(AUTH XOAUTH2 [redacted])");
        for (said, shown) in [
            ("what is 'AUTH XOAUTH2 dXNlcj1hQGIuYwFhdXRoPUJl'?", "what is 'AUTH XOAUTH2 [redacted]'?"),
            ("dXNlcj1hQGIuY", "[redacted]"),
            ("(GIuYwFhdXRo...)", "([redacted]...)"),
            ("5.7.3 Authentication unsuccessful", "5.7.3 Authentication unsuccessful"),
            ("", ""),
        ] {
            assert_eq!(line.redact(said), shown);
        }
        assert_eq!(Line::secret("cGFzcw==", "[redacted]").redact("no: cGFzcw=="), "no: [redacted]");
    }
}
