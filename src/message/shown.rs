//! Whom a message names as its sender, in all the fields that Exchange judges.
//!
//! A list of senders is passed where two readers differ: `From: <ceo(c)@b.c>` is nobody to the one and the ceo to the
//! next. So a field counts as understood only if it is one mailbox beyond doubt, which every reader reads alike; and it
//! is read as it would leave, after the policy.

use super::header::{self, Value};
use super::phrase::{decoded, is_atext, phrase_of_text};
use super::tokens::{Kind, Token, tokens};
use crate::smtp::path::Address;

/// The fields that name a sender; of the first two there may be one only (RFC 5322 section 3.6).
const FIELDS: [&str; 4] = ["From", "Sender", "Resent-From", "Resent-Sender"];

/// The longest field that is read, in octets: a longer one is no mailbox.
const LONGEST: usize = 2 * 1024;

/// One field that names a sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownField {
    /// The field's name.
    pub field: &'static str,
    /// The address; none where the field is not one mailbox beyond doubt.
    pub address: Option<Address>,
    /// What stands there instead, cut.
    text: String,
}

/// Whom a message names as its sender.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown(pub(super) Vec<ShownField>);

impl Shown {
    /// Reads a header block.
    pub fn of(block: &[u8]) -> Self {
        let named = header::fields(block).filter_map(|field| {
            let name = FIELDS.into_iter().find(|name| field.is(name))?;
            let value = field.value();
            let address = sole(&value);
            let text =
                if address.is_some() { String::new() } else { value.text.chars().take(LONGEST).collect() };
            Some(ShownField { field: name, address, text })
        });
        let mut named: Vec<ShownField> = named.collect();
        for field in &FIELDS[..2] {
            if named.iter().filter(|named| named.field == *field).count() > 1 {
                named.iter_mut().filter(|named| named.field == *field).for_each(|named| named.address = None);
            }
        }
        Self(named)
    }

    /// The address in From; none where that is missing or unclear.
    pub fn author(&self) -> Option<&Address> {
        self.0.iter().find(|named| named.field == "From")?.address.as_ref()
    }

    /// All that Exchange judges a sender by, in one text: what it refuses of one is remembered of that one alone. Empty
    /// where that would be too long to remember.
    pub fn key(&self, reverse_path: Option<&Address>) -> String {
        let mut key = reverse_path.map(|address| address.as_str().to_ascii_lowercase()).unwrap_or_default();
        for ShownField { field, address, text } in &self.0 {
            let said = address.as_ref().map_or(text.as_str(), Address::as_str).to_ascii_lowercase();
            key.push_str(&format!(" {field}:{said}"));
            if key.len() > LONGEST {
                return String::new();
            }
        }
        key
    }
}

/// The address of a field that is one mailbox beyond doubt: `a@b.c`, `<a@b.c>`, `A Name <a@b.c>`, with the comments of
/// RFC 5322 section 3.2.2 at either end.
pub(super) fn sole(value: &Value) -> Option<Address> {
    let text = value.text.as_str();
    let is_readable = text.len() <= LONGEST && !text.chars().any(|c| c.is_control() && c != '\t');
    if !is_readable {
        return None;
    }
    let tokens = tokens(text);
    let is_around = |token: &Token<'_>| matches!(token.kind, Kind::Blank | Kind::Comment) && is_name(token);
    let begin = tokens.iter().position(|token| !is_around(token))?;
    let end = tokens.iter().rposition(|token| !is_around(token))?;
    let (last, before) = tokens[begin..=end].split_last()?;
    let address = if last.kind == Kind::Angle {
        let inside = last.raw.strip_prefix('<')?.strip_suffix('>')?.trim_matches([' ', '\t']);
        before.iter().all(is_name).then(|| exact(inside))?
    } else {
        let is_one_word = last.is_word() && before.iter().all(Token::is_word);
        is_one_word.then(|| exact(&tokens[begin..=end].iter().map(|token| token.raw).collect::<String>()))?
    };
    address.filter(|address| value.is_utf8 || address.as_str().is_ascii())
}

/// An address as it stands there. One that is written otherwise than it is sent, or that holds what begins something
/// else to another reader, is in doubt.
fn exact(text: &str) -> Option<Address> {
    let inside = text
        .strip_prefix('"')
        .map_or("", |quoted| quoted.rsplit_once('"').map_or(quoted, |(inside, _)| inside));
    let is_plain =
        !inside.contains(['@', '<', '>', '"', '\\', '(', ')', ',', ';', ':']) && !text.contains("=?");
    Address::parse(text).filter(|address| is_plain && address.as_str() == text)
}

/// Whether a token in front of angle brackets is a name to every reader. An encoded word with a comma or an `@` in it is
/// none (RFC 2047 section 5): who looks for those first finds another mailbox.
fn is_name(token: &Token<'_>) -> bool {
    let leads_elsewhere = |c: char| matches!(c, '@' | '<' | '>');
    match token.kind {
        Kind::Blank => true,
        Kind::Comment => !token.raw[1..token.raw.len() - 1].contains(['@', '<', '>', '"', '\\', '(', ')']),
        Kind::Quoted => !(token.raw.contains('\\') && token.raw.contains(leads_elsewhere)),
        Kind::Plain => token.raw.bytes().all(|octet| is_atext(octet) || octet == b'.' || !octet.is_ascii()),
        Kind::Angle | Kind::Comma | Kind::Colon | Kind::Semicolon => false,
    }
}

/// A display name that every reader takes for one: this one, or the same text written otherwise; none where that cannot
/// be had.
pub(super) fn unmistakable(phrase: String) -> Option<String> {
    let is_one = |phrase: &str| tokens(phrase).iter().all(is_name);
    if is_one(&phrase) {
        return Some(phrase);
    }
    decoded(&tokens(&phrase)).and_then(|text| phrase_of_text(&text)).filter(|phrase| is_one(phrase))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        sole(&Value { text: text.to_string(), is_utf8: true }).map(|address| address.to_string())
    }

    #[test]
    fn one_mailbox_beyond_doubt() {
        for text in [
            "a@b.c",
            "<a@b.c>",
            "Ann <a@b.c>",
            "Ann\t <a@b.c> ",
            "J. R. Müller <a@b.c>",
            "\"Doe, John\" <a@b.c>",
            "\"x@y\" <a@b.c>",
            "\"The \\\"A\\\" team\" <a@b.c>",
            "=?utf-8?Q?M=C3=BCller?= =?utf-8?B?w7w=?= <a@b.c>",
            "a@b.c (Cron Daemon)",
            "(Cron) Ann <a@b.c> (x)",
        ] {
            assert_eq!(read(text).as_deref(), Some("a@b.c"), "{text}");
        }
        assert_eq!(read("\"a b\"@b.c").as_deref(), Some("\"a b\"@b.c"));
        for text in [
            "",
            "Ann",
            "<>",
            "<x(c)@b.c>",
            "<x @b.c>",
            "x@b.c>",
            "<a@b.c> <x@b.c>",
            "x@b.c <a@b.c>",
            "a@b.c, x@b.c",
            "a@b.c x@b.c",
            "<@y:a@b.c>",
            "G: a@b.c;",
            "a@b.c (x@b.c)",
            "a@b.c (x\\) <x@b.c> (y)",
            "\"y\\\" <x@b.c> \\\"\" <a@b.c>",
            "\"x@b.c,\"@b.c",
            "=?utf-8?Q?y,x@b.c,?= <a@b.c>",
            "=?utf-8?Q?a=40b.c?=",
            "=?utf-8?Q?x=40b.c_?=@b.c",
            "Ann\u{0} <a@b.c>",
            "<a@b.c",
            "Ann: <a@b.c>",
            "\u{200b}a@b.c",
        ] {
            assert_eq!(
                read(text),
                None.filter(|_| text != "Ann").or((text == "Ann").then(|| "Ann".into())),
                "{text}"
            );
        }
        assert_eq!(read(&format!("{} <a@b.c>", "x".repeat(LONGEST))), None);
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_written_otherwise() {
        for (phrase, other) in [
            ("Ann", Some("Ann")),
            ("=?utf-8?Q?Doe,_J?=", Some("\"Doe, J\"")),
            ("=?utf-8?Q?y,x@b.c,?=", Some("\"y,x@b.c,\"")),
            ("\"y\\\" <x@b.c>\"", None),
        ] {
            assert_eq!(unmistakable(phrase.to_string()).as_deref(), other, "{phrase}");
        }
    }

    #[test]
    fn two_from_fields_are_no_sender() {
        let shown = Shown::of(b"From: <a@b.c>\r\nX: y\r\nFrom: <a@b.c>\r\nResent-From: x, y\r\n\r\n");
        let fields: Vec<_> = shown.0.iter().map(|named| (named.field, named.address.is_some())).collect();
        assert_eq!(fields, [("From", false), ("From", false), ("Resent-From", false)]);
        assert_eq!(shown.author(), None);
    }

    #[test]
    fn all_that_exchange_judges_is_in_the_key_and_no_display_name() {
        let key = |block: &str| Shown::of(block.as_bytes()).key(Address::parse("A@b.c").as_ref());
        assert_eq!(key("From: Ann <X@b.c>\r\n"), key("From: Bob <x@b.c>\r\nSubject: y\r\n"));
        let keys = [
            "From: x@b.c\r\n",
            "From: x@b.c\r\nSender: y@b.c\r\n",
            "From: x@b.c\r\nResent-From: y@b.c\r\n",
            "From: x@b.c\r\nResent-Sender: y@b.c\r\n",
            "From: x@b.c\r\nResent-Sender: y@b.c, z@b.c\r\n",
            "From: y@b.c\r\n",
            "",
        ];
        let different: std::collections::HashSet<String> = keys.iter().map(|block| key(block)).collect();
        assert_eq!(different.len(), keys.len(), "{different:?}");
        assert_eq!(key(&"Resent-From: y@b.c\r\n".repeat(1000)), "");
    }
}
