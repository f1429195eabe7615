//! A line of the client's, and what of it may be shown.

use std::fmt;

use bytes::Bytes;

use crate::secret::Secret;

/// A line to write. What is secret in it is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Line {
    wire: Bytes,
    secret: Option<SecretPart>,
}

#[derive(Clone, PartialEq, Eq)]
struct SecretPart {
    /// What is shown in place of the line.
    shown: &'static str,
    /// The secret before it was encoded; none where that is none (a user name).
    decoded: Option<Secret<String>>,
}

impl Line {
    pub(super) fn plain(text: impl fmt::Display) -> Self {
        Self { wire: format!("{text}\r\n").into(), secret: None }
    }

    /// A line whose last word is secret, and the secret that is encoded in it.
    pub(super) fn secret(
        text: impl fmt::Display,
        shown: &'static str,
        decoded: Option<&Secret<String>>,
    ) -> Self {
        let secret = SecretPart { shown, decoded: decoded.cloned() };
        Self { wire: format!("{text}\r\n").into(), secret: Some(secret) }
    }

    /// The octets to write.
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// Whether some of it must not be printed.
    pub const fn is_secret(&self) -> bool {
        self.secret.is_some()
    }

    /// What a server must not be heard to say back: they repeat what they do not understand, whole or cut off.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        let wire = std::str::from_utf8(&self.wire).unwrap_or_default();
        let last = wire.split_whitespace().next_back().unwrap_or_default();
        let decoded = self.secret.iter().filter_map(|secret| secret.decoded.as_ref());
        self.secret.iter().map(move |_| last).chain(decoded.map(|decoded| decoded.expose().as_str()))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.secret.as_ref().map_or_else(
            || std::str::from_utf8(&self.wire).unwrap_or_default().trim_end(),
            |secret| secret.shown,
        ))
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
    use crate::redact::Redactor;

    #[test]
    fn what_is_said_back_is_redacted_whole_or_cut_off() {
        let token = Secret::new("eyJ0.Zm9v_-bar".to_string());
        let line =
            Line::secret("AUTH XOAUTH2 dXNlcj1hQGIuYwFhdXRoPUJl", "AUTH XOAUTH2 [redacted]", Some(&token));
        assert_eq!(format!("{line} {line:?}"), "AUTH XOAUTH2 [redacted] Line(AUTH XOAUTH2 [redacted])");
        let mut redactor = Redactor::default();
        line.secrets().for_each(|secret| redactor.add(secret));
        Line::secret("cGFzcw==", "[redacted]", None).secrets().for_each(|secret| redactor.add(secret));
        for (said, shown) in [
            ("what is 'AUTH XOAUTH2 dXNlcj1hQGIuYwFhdXRoPUJl'?", "what is 'AUTH XOAUTH2 [redacted]'?"),
            ("dXNlcj1hQGIuY", "[redacted]"),
            ("(GIuYwFhdXRo...)", "([redacted]...)"),
            ("Bearer eyJ0.Zm9v_-bar is bad", "Bearer [redacted] is bad"),
            ("5.7.3 Authentication unsuccessful", "5.7.3 Authentication unsuccessful"),
            ("no: cGFzcw==", "no: [redacted]"),
            ("", ""),
        ] {
            assert_eq!(redactor.redact(said), shown);
        }
        assert_eq!(Line::plain("EHLO a").secrets().count(), 0);
    }
}
