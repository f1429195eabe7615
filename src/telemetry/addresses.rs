//! How much of an address a log line shows (`MAILSHIM_LOG_ADDRESSES`). Where an address is known to be one, it is masked
//! by its parts; in what others wrote, whatever may belong to one is: to mask too much harms nobody.

use std::borrow::Cow;
use std::sync::OnceLock;

use crate::redact::printable;

/// How much of an address a log line shows.
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

fn detail() -> AddressDetail {
    DETAIL.get().copied().unwrap_or(AddressDetail::Full)
}

/// A line with every address in it shown as far as it may be: also inside what Office 365 wrote.
pub(super) fn masked(line: &str) -> Cow<'_, str> {
    mask_line(line, detail())
}

/// What others wrote, made harmless, with its addresses shown as far as they may be.
pub(super) fn shown(text: &str) -> String {
    masked(&printable(text)).into_owned()
}

/// An address, with or without a domain, shown as far as it may be.
pub(super) fn masked_address(address: &str) -> Cow<'_, str> {
    mask_address(address, detail())
}

/// A line in which these addresses may stand, besides others.
pub(super) fn masked_knowing<'a>(line: &str, known: impl Iterator<Item = &'a str>) -> String {
    mask_knowing(line, known, detail())
}

fn mask_address(address: &str, detail: AddressDetail) -> Cow<'_, str> {
    if detail == AddressDetail::Full || address.is_empty() {
        return Cow::Borrowed(address);
    }
    // The last one: a quoted local part may hold others (RFC 5321 section 4.1.2).
    match address.rfind('@') {
        Some(at) if detail == AddressDetail::Domain => Cow::Owned(format!("*{}", &address[at..])),
        _ => Cow::Borrowed("*"),
    }
}

fn mask_knowing<'a>(line: &str, known: impl Iterator<Item = &'a str>, detail: AddressDetail) -> String {
    if detail == AddressDetail::Full {
        return line.to_string();
    }
    let mut line = line.to_string();
    for address in known.filter(|address| !address.is_empty()) {
        let mask = mask_address(address, detail);
        // A name without a domain may be a word of any sentence.
        let (is, becomes) = if address.contains('@') {
            (address.to_string(), mask.into_owned())
        } else {
            (format!("<{address}>"), format!("<{mask}>"))
        };
        if line.contains(&is) {
            line = line.replace(&is, &becomes);
        }
    }
    mask_line(&line, detail).into_owned()
}

fn mask_line(line: &str, detail: AddressDetail) -> Cow<'_, str> {
    if detail == AddressDetail::Full || !line.contains(['@', '<']) {
        return Cow::Borrowed(line);
    }
    let line = without_bare_paths(line);
    let mut shown = String::with_capacity(line.len());
    let mut rest = line.as_ref();
    while let Some(at) = rest.find('@') {
        let at = behind_quotes(rest, at);
        let (begin, end) = (begin_of_local(&rest[..at]), at + 1 + length_of_domain(&rest[at + 1..]));
        shown.push_str(&rest[..begin]);
        // Of `a@b@c` the first half is masked already.
        if !(begin == at && shown.ends_with('*')) {
            shown.push('*');
        }
        if detail == AddressDetail::Domain {
            shown.push_str(&rest[at..end]);
        }
        rest = &rest[end..];
    }
    shown.push_str(rest);
    Cow::Owned(shown)
}

/// An `@` inside a quoted local part is none of its own: the one behind the closing quote is.
fn behind_quotes(text: &str, at: usize) -> usize {
    let is_open = text[..at].matches('"').count() % 2 == 1;
    let close = if is_open { text[at..].find("\"@") } else { None };
    close.map_or(at, |close| at + close + 1)
}

/// Where the local part begins that ends here. An atom may hold `'`, `=`, `+` and more (RFC 5322 section 3.2.3), a quoted
/// one anything, its own quotes behind a backslash.
fn begin_of_local(before: &str) -> usize {
    if let Some(inside) = before.strip_suffix('"') {
        let is_escaped = |quote: usize| {
            let slashes = inside[..quote].bytes().rev().take_while(|octet| *octet == b'\\').count();
            slashes % 2 == 1
        };
        let quotes = inside.rmatch_indices('"').map(|(quote, _)| quote);
        if let Some(quote) = { quotes }.find(|quote| !is_escaped(*quote)) {
            return quote;
        }
    }
    let ends = |c: char| c.is_whitespace() || matches!(c, '<' | '(' | ':' | ';' | ',' | '[');
    before.char_indices().rev().find(|(_, c)| ends(*c)).map_or(0, |(index, c)| index + c.len_utf8())
}

fn length_of_domain(behind: &str) -> usize {
    if behind.starts_with('[') {
        // An address literal holds colons.
        return behind.find(']').map_or(behind.len(), |end| end + 1);
    }
    let ends = |c: char| !(c.is_alphanumeric() || matches!(c, '.' | '-' | '_'));
    behind.find(ends).unwrap_or(behind.len())
}

/// `TO:<root>`: a path without a domain, where SMTP's words say that it is one.
fn without_bare_paths(line: &str) -> Cow<'_, str> {
    if !line.contains(":<") {
        return Cow::Borrowed(line);
    }
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(begin) = rest.find(":<").map(|colon| colon + 2) {
        shown.push_str(&rest[..begin]);
        rest = &rest[begin..];
        let Some(end) = rest.find('>') else { break };
        let path = &rest[..end];
        shown.push_str(if path.is_empty() || path.contains('@') { path } else { "*" });
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
            ("bounce+ann=fabrikam.com@contoso.com", "*@contoso.com", "*"),
            ("to o'brien@b.c.", "to *@b.c.", "to *"),
            (r#"<"a\" b"@c.d>"#, "<*@c.d>", "<*>"),
            (r#"said "no" to "a \\\" b"@c.d"#, r#"said "no" to *@c.d"#, r#"said "no" to *"#),
            (r#""x@y"@c.d"#, "*@c.d", "*"),
            ("a@[IPv6:2001:db8::1] x", "*@[IPv6:2001:db8::1] x", "* x"),
            ("C: RCPT TO:<root>", "C: RCPT TO:<*>", "C: RCPT TO:<*>"),
            ("C: MAIL FROM:<> SIZE=1", "C: MAIL FROM:<> SIZE=1", "C: MAIL FROM:<> SIZE=1"),
            ("no address", "no address", "no address"),
            ("root", "root", "root"),
        ] {
            assert_eq!(mask_line(line, AddressDetail::Full), line);
            assert_eq!(mask_line(line, AddressDetail::Domain), domain, "{line}");
            assert_eq!(mask_line(line, AddressDetail::None), none, "{line}");
        }
    }

    #[test]
    fn a_known_address_is_masked_by_its_parts() {
        for (address, domain, none) in
            [("a@b.c", "*@b.c", "*"), (r#""x@y z"@b.c"#, "*@b.c", "*"), ("root", "*", "*"), ("", "", "")]
        {
            assert_eq!(mask_address(address, AddressDetail::Full), address);
            assert_eq!(mask_address(address, AddressDetail::Domain), domain);
            assert_eq!(mask_address(address, AddressDetail::None), none);
        }
    }

    #[test]
    fn what_is_known_to_be_an_address_is_found_in_a_sentence() {
        let line = "about <root>: (weird)(x)@b.c is unknown; the root of it: other@b.c";
        let known = ["root", "(weird)(x)@b.c"];
        assert_eq!(
            mask_knowing(line, known.into_iter(), AddressDetail::None),
            "about <*>: * is unknown; the root of it: *"
        );
        assert_eq!(mask_knowing(line, known.into_iter(), AddressDetail::Full), line);
    }
}
