//! Reverse-path and forward-path (RFC 5321 section 4.1.2), and the parameters behind them.
//!
//! What the app wrote is validated and kept byte for byte. Nothing is decoded and written out again: a parser that
//! unquotes `"x> NOTIFY=NEVER"@c.d` makes an address that injects a parameter when it is put between brackets.

use std::borrow::Cow;
use std::fmt;

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};

use super::invisible;

/// RFC 5321 section 4.5.3.1: 64 for the local part, 255 for the domain, and the `@`.
const MAX_ADDRESS: usize = 320;

/// An address as the app gave it, without angle brackets and source route; never empty. The domain may be missing
/// (`root`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address(String);

impl Address {
    /// Validates an address; [`Self::read`] without the reason.
    pub fn parse(text: &str) -> Option<Self> {
        Self::read(text).ok()
    }

    /// Validates an address.
    ///
    /// The local part is a dot-string (dots anywhere: such mailboxes exist) or a quoted-string; the domain is a name
    /// or an address literal; both may hold UTF-8 (RFC 6531). Control characters never pass. Characters that nobody sees
    /// go at the ends; in a local part they are refused, in a domain UTS 46 decides (some have a meaning in Persian and
    /// in Indic scripts). Behind a local part of ASCII a domain is written in ASCII too, and then needs no SMTPUTF8.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Self, BadAddress> {
        let text = invisible::trimmed(text);
        if text.is_empty() || text.len() > MAX_ADDRESS {
            return Err(BadAddress::Syntax);
        }
        if let Some(character) = text.chars().find(|c| invisible::is_like_at(*c)) {
            return Err(BadAddress::Character(character));
        }
        let local_end = if text.starts_with('"') {
            quoted_end(text).ok_or(BadAddress::Syntax)?
        } else {
            text.find('@').unwrap_or(text.len())
        };
        let (local, rest) = text.split_at(local_end);
        if let Some(hidden) = local.chars().find(|c| invisible::is_hidden(*c)) {
            return Err(BadAddress::Character(hidden));
        }
        if !local.starts_with('"') && (local.is_empty() || !local.chars().all(is_atom_or_dot)) {
            return Err(BadAddress::Syntax);
        }
        match rest.strip_prefix('@') {
            Some(domain) => Ok(Self(format!("{local}@{}", domain_as_sent(domain, local.is_ascii())?))),
            None if rest.is_empty() => Ok(Self(text.to_string())),
            None => Err(BadAddress::Syntax),
        }
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

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadAddress {
    /// It is not written as one.
    Syntax,
    /// A character stands in it that nobody sees, or that looks like an `@`.
    Character(char),
}

/// A domain as it is sent.
fn domain_as_sent(domain: &str, in_ascii: bool) -> Result<Cow<'_, str>, BadAddress> {
    // The root's dot: no mailbox has it, and Office 365 takes the name for another one.
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    if domain.ends_with('.') {
        // Else each reading would take another one away.
        return Err(BadAddress::Syntax);
    }
    if domain.is_ascii() {
        return if is_domain(domain) { Ok(Cow::Borrowed(domain)) } else { Err(BadAddress::Syntax) };
    }
    let refused = || {
        let hidden = domain.chars().find(|c| invisible::is_hidden(*c));
        hidden.map_or(BadAddress::Syntax, BadAddress::Character)
    };
    let uts46 = Uts46::new();
    let octets = domain.as_bytes();
    let ascii = uts46.to_ascii(octets, AsciiDenyList::EMPTY, Hyphens::Allow, DnsLength::Verify);
    let ascii = ascii.ok().filter(|ascii| is_domain(ascii)).ok_or_else(refused)?;
    if in_ascii {
        return Ok(Cow::Owned(ascii.into_owned()));
    }
    let (unicode, valid) = uts46.to_unicode(octets, AsciiDenyList::EMPTY, Hyphens::Allow);
    valid.map(|()| unicode).map_err(|_| refused())
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
    !domain.is_empty() && domain.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
}

/// Splits the argument of MAIL or RCPT, behind the colon, into the path's inside (empty for `<>`) and its parameters.
///
/// Accepted beyond RFC 5321, because old apps send it: blanks around the path, and a path without angle brackets.
/// A source route (`@a,@b:`) is dropped, as RFC 5321 section 4.1.1.3 allows.
pub fn split(argument: &str) -> Option<(&str, &str)> {
    let argument = argument.trim_matches([' ', '\t']);
    if !argument.starts_with('<') {
        // No angle brackets: up to the first blank outside quotes.
        let quoted = if argument.starts_with('"') { quoted_end(argument)? } else { 0 };
        let end = argument[quoted..].find([' ', '\t']).map_or(argument.len(), |blank| quoted + blank);
        let (path, parameters) = argument.split_at(end);
        return (!path.is_empty()).then_some((path, parameters.trim_start_matches([' ', '\t'])));
    }
    let (path, rest) = split_bracketed(argument)?;
    // Whatever follows the bracket without a blank would be guessed at.
    (rest.is_empty() || rest.starts_with([' ', '\t'])).then(|| (path, rest.trim_start_matches([' ', '\t'])))
}

/// As [`split`], where a display name stands inside the path (`<Web App <a@b>>`): exactly one address in brackets of its
/// own, and nothing else that could be one. Without the outer brackets it is no path, to Postfix neither.
pub fn split_named(argument: &str) -> Option<(&str, &str)> {
    let path = argument.trim_matches([' ', '\t']).strip_prefix('<')?;
    let mut rest = path;
    loop {
        let at = rest.find(['<', '"'])?;
        if rest[at..].starts_with('<') {
            rest = &rest[at..];
            break;
        }
        rest = &rest[at + quoted_end(&rest[at..])?..];
    }
    let name = path[..path.len() - rest.len()].trim();
    let (address, behind) = split_bracketed(rest)?;
    Address::parse(address).filter(|address| address.domain().is_some())?;
    let is_no_other = |word: &str| {
        !word.contains(['@', '>']) || word.trim_matches(['"', '\'']).eq_ignore_ascii_case(address)
    };
    let is_quoted = name.starts_with('"') && quoted_end(name) == Some(name.len());
    let parameters = behind.trim_start_matches([' ', '\t']).strip_prefix('>')?;
    let is_beyond_doubt = is_quoted || name.split([' ', '\t']).all(is_no_other);
    (is_beyond_doubt && (parameters.is_empty() || parameters.starts_with([' ', '\t'])))
        .then(|| (address, parameters.trim_start_matches([' ', '\t'])))
}

/// The inside of `<...>` at the beginning of `text`, without a source route, and what follows the bracket.
fn split_bracketed(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('<')?.trim_start_matches([' ', '\t']);
    let inside = if inside.starts_with('@') { inside.split_once(':')?.1 } else { inside };
    let quoted = if inside.starts_with('"') { quoted_end(inside)? } else { 0 };
    let end = quoted + inside[quoted..].find('>')?;
    Some((inside[..end].trim_end_matches([' ', '\t']), &inside[end + 1..]))
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
    fn a_display_name_in_the_path_is_left_out_where_one_address_stands_beyond_doubt() {
        for (argument, path, rest) in [
            ("<Web App <app@b.c>>", "app@b.c", ""),
            ("<Web App <app@b.c>> SIZE=1", "app@b.c", "SIZE=1"),
            ("<<a@b.c>>", "a@b.c", ""),
            ("<\"Doe, <J@x>\" <a@b.c>>", "a@b.c", ""),
            ("<\"Doe\" J <a@b.c> >", "a@b.c", ""),
            ("<a@b.c <A@b.c>>", "A@b.c", ""),
            ("<Ann <@x:a@b.c>>", "a@b.c", ""),
        ] {
            assert_eq!(split_named(argument), Some((path, rest)), "{argument}");
        }
        for argument in [
            "<Ann <a@b.c> <d@e.f>>",
            "<a@b.c>,<d@e.f>",
            "<d@e.f <a@b.c>>",
            "<Ann <a>>",
            "<Ann <>>",
            "<Ann <a@b.c>",
            "<Ann <a@b.c>>x",
            "<Ann \"<a@b.c>>",
            "Ann <a@b.c>",
            "Ann",
        ] {
            assert_eq!(split_named(argument), None, "{argument}");
        }
    }

    #[test]
    fn what_nobody_sees_goes_at_the_ends_and_is_named_inside() {
        let read = |text: &str| Address::read(text).map(|address| address.0);
        for (text, address) in [
            ("\u{200b}x@f.example", "x@f.example"),
            ("x@f.example\u{feff}", "x@f.example"),
            ("\u{a0}x@f.example\u{ad}\u{200e} ", "x@f.example"),
            // UTS 46 maps these to nothing.
            ("x@f.exa\u{ad}mple", "x@f.example"),
            ("x@f\u{200b}.example", "x@f.example"),
            ("x@f。example", "x@f.example"),
            ("x@Ｆ.example", "x@f.example"),
            ("x@MÜLLER.example", "x@xn--mller-kva.example"),
            ("x@faß.example", "x@xn--fa-hia.example"),
            // Persian, with the joiner that belongs there.
            ("x@نامه\u{200c}ای.com", "x@xn--mgba3gch31f060k.com"),
            ("ü@ü.example", "ü@ü.example"),
            ("ü@Ü\u{ad}.example", "ü@ü.example"),
        ] {
            assert_eq!(read(text), Ok(address.to_string()), "{text:?}");
        }
        for (text, character) in [
            ("a\u{200b}x@f.example", '\u{200b}'),
            ("a\u{feff}x@f.example", '\u{feff}'),
            ("a\u{ad}b@f.example", '\u{ad}'),
            ("a\u{202e}b@f.example", '\u{202e}'),
            ("a\u{a0}b@f.example", '\u{a0}'),
            ("\"a\u{3000}b\"@f.example", '\u{3000}'),
            ("a\u{200d}b@f.example", '\u{200d}'),
            ("x＠f.example", '＠'),
            ("x@y﹫f.example", '﹫'),
            ("x@f\u{202e}.example", '\u{202e}'),
            ("x@f\u{200d}.example", '\u{200d}'),
        ] {
            assert_eq!(read(text), Err(BadAddress::Character(character)), "{text:?}");
        }
        let long = format!("x@{}.example", "ü".repeat(63));
        for text in ["x@ü..example", "x@ü .example", "x@ü>.example", &long] {
            assert_eq!(read(text), Err(BadAddress::Syntax), "{text:?}");
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
