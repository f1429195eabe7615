//! Reverse-path and forward-path (RFC 5321 section 4.1.2), and the parameters behind them.
//!
//! What the app wrote is validated and kept byte for byte. Nothing is decoded and written out again: a parser that
//! unquotes `"x> NOTIFY=NEVER"@c.d` makes an address that injects a parameter when it is put between brackets.

use std::fmt;

/// RFC 5321 section 4.5.3.1: 64 for the local part, 255 for the domain, and the `@`.
const MAX_ADDRESS: usize = 320;

/// An address as the app gave it, without angle brackets and source route; never empty. The domain may be missing
/// (`root`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address(String);

impl Address {
    /// Validates an address.
    ///
    /// The local part is a dot-string (dots anywhere: such mailboxes exist) or a quoted-string; the domain is a name
    /// or an address literal; both may hold UTF-8 (RFC 6531). Control characters never pass.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > MAX_ADDRESS {
            return None;
        }
        let local_end =
            if text.starts_with('"') { quoted_end(text)? } else { text.find('@').unwrap_or(text.len()) };
        let (local, rest) = text.split_at(local_end);
        let local_is_good =
            local.starts_with('"') || (!local.is_empty() && local.chars().all(is_atom_or_dot));
        let domain_is_good = match rest.strip_prefix('@') {
            Some(domain) => is_domain(domain),
            None => rest.is_empty(),
        };
        (local_is_good && domain_is_good).then(|| Self(text.to_string()))
    }

    /// The address as the app gave it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands behind the last `@`.
    pub fn domain(&self) -> Option<&str> {
        // A quoted local part may hold an `@`; a domain cannot.
        let behind_quotes = self.0.rfind('"').map_or(0, |quote| quote + 1);
        self.0[behind_quotes..].rsplit_once('@').map(|(_, domain)| domain)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The position behind the closing quote of a quoted-string at the beginning of `text`.
fn quoted_end(text: &str) -> Option<usize> {
    let mut characters = text.char_indices().skip(1);
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Some(index + 1),
            '\\' => {
                let (_, escaped) = characters.next()?;
                if escaped.is_control() {
                    return None;
                }
            }
            other if other.is_control() => return None,
            _ => {}
        }
    }
    None
}

fn is_atom_or_dot(character: char) -> bool {
    match character {
        '(' | ')' | '<' | '>' | '[' | ']' | ':' | ';' | '@' | '\\' | ',' | '"' | ' ' => false,
        other => !other.is_control() && !other.is_whitespace(),
    }
}

fn is_domain(domain: &str) -> bool {
    if let Some(literal) = domain.strip_prefix('[') {
        return literal.strip_suffix(']').is_some_and(|inner| {
            !inner.is_empty()
                && inner
                    .bytes()
                    .all(|b| b.is_ascii_graphic() && !matches!(b, b'[' | b']' | b'\\' | b'<' | b'>'))
        });
    }
    !domain.is_empty()
        && domain.chars().all(|c| match c {
            '-' | '.' | '_' => true,
            c if c.is_ascii() => c.is_ascii_alphanumeric(),
            c => !c.is_control() && !c.is_whitespace(),
        })
}

/// Splits the argument of MAIL or RCPT, behind the colon, into the path's inside (empty for `<>`) and its parameters.
///
/// Accepted beyond RFC 5321, because old apps send it: blanks around the path, and a path without angle brackets.
/// A source route (`@a,@b:`) is dropped, as RFC 5321 section 4.1.1.3 allows.
pub fn split(argument: &str) -> Option<(&str, &str)> {
    let argument = argument.trim_matches([' ', '\t']);
    let Some(inside) = argument.strip_prefix('<') else {
        // No angle brackets: up to the first blank outside quotes.
        let quoted = if argument.starts_with('"') { quoted_end(argument)? } else { 0 };
        let end = argument[quoted..].find([' ', '\t']).map_or(argument.len(), |blank| quoted + blank);
        let (path, parameters) = argument.split_at(end);
        return (!path.is_empty()).then_some((path, parameters.trim_start_matches([' ', '\t'])));
    };
    let inside = inside.trim_start_matches([' ', '\t']);
    let inside = if inside.starts_with('@') { inside.split_once(':')?.1 } else { inside };
    let quoted = if inside.starts_with('"') { quoted_end(inside)? } else { 0 };
    let end = quoted + inside[quoted..].find('>')?;
    let (path, rest) = (inside[..end].trim_end_matches([' ', '\t']), &inside[end + 1..]);
    // Whatever follows the bracket without a blank would be guessed at.
    (rest.is_empty() || rest.starts_with([' ', '\t'])).then(|| (path, rest.trim_start_matches([' ', '\t'])))
}

/// The parameters of MAIL or RCPT: keyword in upper case, value as it came (empty without `=`).
pub fn parameters(text: &str) -> impl Iterator<Item = (String, &str)> {
    text.split([' ', '\t']).filter(|word| !word.is_empty()).map(|word| {
        let (keyword, value) = word.split_once('=').unwrap_or((word, ""));
        (keyword.to_ascii_uppercase(), value)
    })
}

/// Whether `text` is xtext (RFC 3461 section 4): printable ASCII, with `+` only before two upper-case hexadecimal
/// digits. It is passed on as it came: decoded, it could hold a line end.
pub fn is_xtext(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_hex = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(b));
    !bytes.is_empty()
        && bytes.iter().enumerate().all(|(at, b)| match b {
            b'+' => is_hex(bytes.get(at + 1)) && is_hex(bytes.get(at + 2)),
            b'=' => false,
            b => b.is_ascii_graphic(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_old_apps_send_is_understood() {
        for (argument, path, rest) in [
            ("<a@b>", "a@b", ""),
            (" <a@b>", "a@b", ""),
            ("< a@b > SIZE=1", "a@b", "SIZE=1"),
            ("a@b", "a@b", ""),
            ("a@b SIZE=1  BODY=7BIT", "a@b", "SIZE=1  BODY=7BIT"),
            ("<root>", "root", ""),
            ("<>", "", ""),
            ("<> RET=HDRS", "", "RET=HDRS"),
            ("<@x,@y:a@b>", "a@b", ""),
            ("<\"a b\"@c>", "\"a b\"@c", ""),
            ("<\"x> NOTIFY=NEVER\"@c.d>", "\"x> NOTIFY=NEVER\"@c.d", ""),
            ("\"a b\"@c SIZE=1", "\"a b\"@c", "SIZE=1"),
        ] {
            assert_eq!(split(argument), Some((path, rest)), "{argument}");
        }
        for argument in ["", "<a@b", "<\"a@b>", "<a@b>SIZE=1", "<@x>"] {
            assert_eq!(split(argument), None, "{argument}");
        }
    }

    #[test]
    fn an_address_is_kept_as_it_came_or_refused() {
        for good in [
            "a@b",
            "root",
            "a..b@c.d",
            "\"a b\"@c",
            "\"x> NOTIFY=NEVER\"@c.d",
            "\"a\\\"@\"@c",
            "a@[127.0.0.1]",
            "a@[IPv6:::1]",
            "x@web_7",
            "ü@ü.example",
            "o'brien+tag@c",
        ] {
            assert_eq!(Address::parse(good).map(|a| a.0), Some(good.to_string()));
        }
        let long = format!("{}@b", "a".repeat(400));
        for bad in [
            "",
            "@b",
            "a@",
            "a@b@c",
            "a b@c",
            "a@b c",
            "a<b@c",
            "\"a@b",
            "\"a\"x@b",
            "a@[]",
            "a\u{7f}@b",
            "a@b>",
            &long,
        ] {
            assert_eq!(Address::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_domain_is_what_follows_the_last_at_outside_quotes() {
        let domain = |text: &str| Address::parse(text).unwrap().domain().map(str::to_string);
        assert_eq!(domain("a@b.c"), Some("b.c".into()));
        assert_eq!(domain("\"a@x\"@b.c"), Some("b.c".into()));
        assert_eq!(domain("root"), None);
        assert_eq!(domain("\"a@x\""), None);
    }

    #[test]
    fn xtext_is_checked_and_not_decoded() {
        for good in ["abc", "a+2Bb", "rfc822;a@b", "+0D+0A"] {
            assert!(is_xtext(good), "{good}");
        }
        for bad in ["", "a=b", "a+2", "a+2b", "a b", "ü"] {
            assert!(!is_xtext(bad), "{bad}");
        }
    }
}
