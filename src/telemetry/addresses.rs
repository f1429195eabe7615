//! How much of an address a log line shows (`MAILSHIM_LOG_ADDRESSES`).

use std::borrow::Cow;
use std::sync::OnceLock;

/// How much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressDetail {
    /// All of it.
    Full,
    /// What stands behind the `@`.
    Domain,
    /// Nothing.
    None,
}

impl AddressDetail {
    /// Reads `MAILSHIM_LOG_ADDRESSES`.
    ///
    /// # Errors
    /// The rest of a sentence that begins with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "full" => Ok(Self::Full),
            "domain" => Ok(Self::Domain),
            "none" => Ok(Self::None),
            _ => Err("is not known: write full, domain or none".to_string()),
        }
    }
}

static DETAIL: OnceLock<AddressDetail> = OnceLock::new();

/// Decides for this process; the first call counts.
pub(super) fn show(detail: AddressDetail) {
    let _ = DETAIL.set(detail);
}

/// A line with every address in it shown as far as it may be: also inside what Office 365 wrote.
pub(super) fn masked(line: &str) -> Cow<'_, str> {
    mask(line, DETAIL.get().copied().unwrap_or(AddressDetail::Full))
}

fn mask(line: &str, detail: AddressDetail) -> Cow<'_, str> {
    if detail == AddressDetail::Full || !line.contains('@') {
        return Cow::Borrowed(line);
    }
    let ends_local =
        |c: char| c.is_whitespace() || matches!(c, '<' | '(' | ':' | ';' | ',' | '[' | '=' | '\'');
    let ends_domain = |c: char| !(c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '[' | ']'));
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find('@') {
        // A quoted local part may hold blanks.
        let quote = rest[..at].strip_suffix('"').and_then(|inside| inside.rfind('"'));
        let begin = quote.or_else(|| rest[..at].rfind(ends_local).map(|before| before + 1)).unwrap_or(0);
        let end = rest[at + 1..].find(ends_domain).map_or(rest.len(), |end| at + 1 + end);
        shown.push_str(&rest[..begin]);
        shown.push('*');
        if detail == AddressDetail::Domain {
            shown.push_str(&rest[at..end]);
        }
        rest = &rest[end..];
    }
    shown.push_str(rest);
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_masked_wherever_it_stands() {
        for (line, domain, none) in [
            ("a@b.c", "*@b.c", "*"),
            ("<a@b.c>", "<*@b.c>", "<*>"),
            (
                "5.2.252 SendAsDenied; a@b.c not allowed to send as x.y@z;",
                "5.2.252 SendAsDenied; *@b.c not allowed to send as *@z;",
                "5.2.252 SendAsDenied; * not allowed to send as *;",
            ),
            ("\"a b\"@c.d x", "*@c.d x", "* x"),
            ("no address", "no address", "no address"),
            ("root", "root", "root"),
        ] {
            assert_eq!(mask(line, AddressDetail::Full), line);
            assert_eq!(mask(line, AddressDetail::Domain), domain);
            assert_eq!(mask(line, AddressDetail::None), none);
        }
    }
}
