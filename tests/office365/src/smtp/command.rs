//! Strict reading of command lines: what RFC 5321 and the offered extensions allow, and nothing a kind server would also take.

use crate::wording::front;

/// Why an argument is refused: the reply, and (if the client broke a rule and did not merely ask too much) the rule.
pub(crate) struct Refusal {
    pub(crate) reply: &'static str,
    pub(crate) rule: Option<String>,
}

fn broken<T>(reply: &'static str, rule: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { reply, rule: Some(rule.into()) })
}

/// Extensions in force: those of the last EHLO's reply.
#[derive(Clone, Copy, Default)]
pub(crate) struct Offered {
    pub(crate) size: u64,
    pub(crate) pipelining: bool,
    pub(crate) dsn: bool,
    pub(crate) eight_bit_mime: bool,
    pub(crate) chunking: bool,
    pub(crate) smtputf8: bool,
    pub(crate) auth: bool,
}

/// What MAIL's parameters declare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Declared {
    pub(crate) eight_bit: bool,
    pub(crate) binary: bool,
    pub(crate) smtputf8: bool,
}

/// EHLO's argument: a domain of letters, digits, hyphens and dots, or an address literal (RFC 5321 §4.1.1.1).
pub(crate) fn hello(argument: &str) -> Result<(), Refusal> {
    if is_literal(argument) || is_domain(argument, false) {
        return Ok(());
    }
    broken(
        front::INVALID_DOMAIN,
        format!("'{argument}' is no domain and no address literal (RFC 5321 §4.1.1.1)"),
    )
}

fn is_literal(text: &str) -> bool {
    let Some(inner) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) else {
        return false;
    };
    match inner.strip_prefix("IPv6:") {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => inner.parse::<std::net::Ipv4Addr>().is_ok(),
    }
}

fn is_domain(text: &str, utf8: bool) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '-' || (utf8 && !c.is_ascii());
    let label = |l: &str| !l.is_empty() && !l.starts_with('-') && !l.ends_with('-') && l.chars().all(letter);
    text.len() <= 255 && text.split('.').all(label)
}

/// Splits `<path>` off; `utf8`: SMTPUTF8 is in force.
fn path(text: &str, utf8: bool) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('<')?;
    let (mut quoted, mut escaped) = (false, false);
    let end = inner.char_indices().find(|(_, c)| {
        let end = *c == '>' && !quoted;
        quoted ^= *c == '"' && !escaped;
        escaped = *c == '\\' && quoted && !escaped;
        end
    })?;
    let (address, rest) = (&inner[..end.0], &inner[end.0 + 1..]);
    (address.is_empty() || is_mailbox(address, utf8)).then_some((address, rest))
}

/// `local-part@domain` (RFC 5321 §4.1.2; source routes are obsolete and refused).
fn is_mailbox(address: &str, utf8: bool) -> bool {
    let Some((local, domain)) = address.rsplit_once('@') else {
        return false;
    };
    let atext =
        |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || (utf8 && !c.is_ascii());
    let quoted = |l: &str| {
        let Some(inner) = l.strip_prefix('"').and_then(|l| l.strip_suffix('"')) else {
            return false;
        };
        let mut escaped = false;
        let mut fine = true;
        for c in inner.chars() {
            fine &= (' '..='~').contains(&c) || (utf8 && !c.is_ascii());
            fine &= escaped || c != '"';
            escaped = c == '\\' && !escaped;
        }
        fine && !escaped && l.len() >= 2
    };
    let dotted = |l: &str| l.split('.').all(|atom| !atom.is_empty() && atom.chars().all(atext));
    local.len() <= 64 && (dotted(local) || quoted(local)) && (is_literal(domain) || is_domain(domain, utf8))
}

fn xtext(value: &str) -> bool {
    let octets = value.as_bytes();
    let hex = |c: Option<&u8>| c.is_some_and(|c| c.is_ascii_digit() || (b'A'..=b'F').contains(c));
    let mut at = 0;
    while at < octets.len() {
        match octets[at] {
            b'+' if hex(octets.get(at + 1)) && hex(octets.get(at + 2)) => at += 3,
            b'+' | b'=' => return false,
            b'!'..=b'~' => at += 1,
            _ => return false,
        }
    }
    true
}

/// Parameters: each after exactly one space, no keyword twice.
fn parameters(rest: &str) -> Result<Vec<(String, Option<&str>)>, Refusal> {
    let mut found: Vec<(String, Option<&str>)> = Vec::new();
    if rest.is_empty() {
        return Ok(found);
    }
    let Some(rest) = rest.strip_prefix(' ') else {
        return broken(front::INVALID_ARGUMENTS, format!("'{rest}' straight after the path"));
    };
    for parameter in rest.split(' ') {
        let (keyword, value) = match parameter.split_once('=') {
            Some((keyword, value)) => (keyword.to_ascii_uppercase(), Some(value)),
            None => (parameter.to_ascii_uppercase(), None),
        };
        if keyword.is_empty() || value == Some("") {
            return broken(
                front::INVALID_ARGUMENTS,
                "an empty parameter (two spaces, a trailing space or no value)",
            );
        }
        if found.iter().any(|(k, _)| *k == keyword) {
            return broken(front::INVALID_ARGUMENTS, format!("{keyword} twice"));
        }
        found.push((keyword, value));
    }
    Ok(found)
}

fn not_offered<T>(keyword: &str) -> Result<T, Refusal> {
    broken(front::UNRECOGNIZED_PARAMETER, format!("parameter {keyword} was not offered"))
}

/// MAIL's whole argument.
pub(crate) fn mail(argument: &str, offered: Offered) -> Result<Declared, Refusal> {
    if !argument.get(..5).is_some_and(|from| from.eq_ignore_ascii_case("FROM:")) {
        return broken(front::INVALID_ARGUMENTS, "MAIL without FROM:");
    }
    let Some((address, rest)) = path(&argument[5..], true) else {
        return broken(
            front::INVALID_SENDER,
            format!("no valid reverse-path in '{argument}' (RFC 5321 §4.1.2)"),
        );
    };
    let mut declared = Declared::default();
    for (keyword, value) in parameters(rest)? {
        let value_of = value.unwrap_or_default();
        let wrong = || broken(front::INVALID_ARGUMENTS, format!("wrong value of {keyword}: '{value_of}'"));
        match keyword.as_str() {
            "SIZE" if offered.size > 0 => {
                if value_of.len() > 20 || !value_of.bytes().all(|b| b.is_ascii_digit()) || value_of.is_empty()
                {
                    return wrong();
                }
                if value_of.parse::<u64>().map_or(true, |size| size > offered.size) {
                    return Err(Refusal { reply: front::SIZE, rule: None });
                }
            }
            "BODY" if offered.eight_bit_mime => match value_of.to_ascii_uppercase().as_str() {
                "7BIT" => {}
                "8BITMIME" => declared.eight_bit = true,
                "BINARYMIME" if offered.chunking => (declared.eight_bit, declared.binary) = (true, true),
                _ => {
                    return broken(front::UNSUPPORTED_BODY, format!("BODY={value_of} was not offered"));
                }
            },
            "SMTPUTF8" if offered.smtputf8 && value.is_none() => declared.smtputf8 = true,
            "SMTPUTF8" if offered.smtputf8 => return wrong(),
            "RET" if offered.dsn => {
                if !["FULL", "HDRS"].contains(&value_of.to_ascii_uppercase().as_str()) {
                    return wrong();
                }
            }
            "ENVID" if offered.dsn => {
                if value_of.is_empty() || value_of.len() > 100 || !xtext(value_of) {
                    return wrong();
                }
            }
            "AUTH" if offered.auth => {
                if value_of.is_empty() || !xtext(value_of) {
                    return wrong();
                }
            }
            _ => return not_offered(&keyword),
        }
    }
    utf8(address, argument, declared.smtputf8)?;
    Ok(declared)
}

fn utf8(address: &str, argument: &str, smtputf8: bool) -> Result<(), Refusal> {
    if smtputf8 || argument.is_ascii() {
        return Ok(());
    }
    broken(front::SMTPUTF8_REQUIRED, format!("'{address}' is not ASCII and SMTPUTF8 was not declared"))
}

/// RCPT's whole argument.
pub(crate) fn rcpt(argument: &str, offered: Offered, declared: Declared) -> Result<(), Refusal> {
    if !argument.get(..3).is_some_and(|to| to.eq_ignore_ascii_case("TO:")) {
        return broken(front::INVALID_ARGUMENTS, "RCPT without TO:");
    }
    let Some((address, rest)) = path(&argument[3..], true).filter(|(address, _)| !address.is_empty()) else {
        return broken(
            front::INVALID_RECIPIENT,
            format!("no valid forward-path in '{argument}' (RFC 5321 §4.1.2)"),
        );
    };
    for (keyword, value) in parameters(rest)? {
        let value = value.unwrap_or_default();
        let wrong = || broken(front::INVALID_ARGUMENTS, format!("wrong value of {keyword}: '{value}'"));
        match keyword.as_str() {
            "NOTIFY" if offered.dsn => {
                let value = value.to_ascii_uppercase();
                let each = |v: &str| ["SUCCESS", "FAILURE", "DELAY"].contains(&v);
                if value != "NEVER" && !value.split(',').all(each) {
                    return wrong();
                }
            }
            "ORCPT" if offered.dsn => {
                let fine =
                    |(kind, address): (&str, &str)| !kind.is_empty() && !address.is_empty() && xtext(address);
                if !value.split_once(';').is_some_and(fine) {
                    return wrong();
                }
            }
            _ => return not_offered(&keyword),
        }
    }
    utf8(address, argument, declared.smtputf8)
}

/// BDAT's size, and whether it is the last.
pub(crate) fn bdat(argument: &str) -> Option<(u64, bool)> {
    let (size, last) = match argument.split_once(' ') {
        Some((size, last)) if last.eq_ignore_ascii_case("LAST") => (size, true),
        Some(_) => return None,
        None => (argument, false),
    };
    let digits = !size.is_empty() && size.len() <= 19 && size.bytes().all(|b| b.is_ascii_digit());
    if digits { size.parse().ok().map(|size| (size, last)) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Offered = Offered {
        size: 1_000,
        pipelining: true,
        dsn: true,
        eight_bit_mime: true,
        chunking: true,
        smtputf8: true,
        auth: true,
    };

    fn reply<T>(result: Result<T, Refusal>) -> &'static str {
        result.err().map_or("", |refusal| &refusal.reply[..9])
    }

    #[test]
    fn mail_arguments() {
        for (argument, expected) in [
            ("FROM:<>", ""),
            ("from:<a@b.c> size=1000 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb AUTH=<>", ""),
            ("FROM:<\"a> b\"@[127.0.0.1]>", ""),
            ("FROM:<a@b.c> SIZE=1001", "552 5.3.4"),
            ("FROM:<a@b.c> BODY=9BIT", "501 5.5.4"),
            ("FROM:<a@b.c>  SIZE=1", "501 5.5.4"),
            ("FROM:<a@b.c> SIZE=1 SIZE=1", "501 5.5.4"),
            ("FROM:<a@b.c>SIZE=1", "501 5.5.4"),
            ("FROM:a@b.c", "501 5.1.7"),
            ("FROM:<a>", "501 5.1.7"),
            ("FROM:<a@b..c>", "501 5.1.7"),
            ("FROM:<@x:a@b.c>", "501 5.1.7"),
            ("FROM:<é@b.c>", "501 5.1.6"),
            ("FROM:<é@b.c> SMTPUTF8", ""),
        ] {
            assert_eq!(reply(mail(argument, ALL)), expected, "{argument}");
        }
        assert_eq!(reply(mail("FROM:<a@b.c> BODY=7BIT", Offered::default())), "501 5.5.4");
    }

    #[test]
    fn rcpt_and_bdat_arguments() {
        for (argument, expected) in [
            ("TO:<a@b.c> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@c", ""),
            ("TO:<a@b.c> NOTIFY=NEVER,DELAY", "501 5.5.4"),
            ("TO:<a@b.c> SIZE=1", "501 5.5.4"),
            ("TO:<>", "501 5.1.3"),
            ("TO:<\"x> NOTIFY=NEVER\"@c.d>", ""),
        ] {
            assert_eq!(reply(rcpt(argument, ALL, Declared::default())), expected, "{argument}");
        }
        assert_eq!(bdat("12 LAST"), Some((12, true)));
        assert_eq!(bdat("0"), Some((0, false)));
        assert_eq!([bdat("+1"), bdat(""), bdat("1 LAST "), bdat("1  LAST")], [None; 4]);
    }

    #[test]
    fn hello_names() {
        let fine = |name| hello(name).is_ok();
        assert!(["a.b", "localhost", "[127.0.0.1]", "[IPv6:::1]"].into_iter().all(fine));
        assert!(!["", "a..b", "a_b", "-a", "a.", "[x]", "a b", "MacBook.."].into_iter().any(fine));
    }
}
