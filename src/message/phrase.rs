//! Display names: RFC 5322's phrases, and RFC 2047's encoded words in them.

use std::borrow::Cow;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::header::windows_1252;
use super::tokens::{Kind, Token, encoded_word_end, tokens};

/// How well a field is written; a better form is the greater one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// RFC 5322 does not allow it in From.
    #[default]
    Broken,
    /// Readable, but not what Exchange asks for: a bare address without brackets, or an `@` in a name without quotes.
    Unquoted,
    /// As Exchange asks for it (raw 8-bit and dots in a display name pass: they leave no doubt).
    Good,
}

/// The longest display name that is carried over, in octets: a longer one is no name.
const MAX_PHRASE: usize = 512;

/// The phrase that these tokens make: encoded words, atoms and quoted-strings stay what they are; where anything else
/// stands among them, all of it is one quoted text.
pub(super) fn phrase_of(tokens: &[Token<'_>]) -> Option<String> {
    let is_encoded = |token: &Token<'_>| token.kind == Kind::Plain && is_encoded_word(token.raw);
    let is_plain_ascii = |token: &Token<'_>| token.kind == Kind::Quoted && token.inside().is_ascii();
    let stays = |token: &Token<'_>| {
        token.kind == Kind::Blank
            || is_encoded(token)
            || is_plain_ascii(token)
            || token.kind == Kind::Plain && token.raw.bytes().all(is_atext)
    };
    if !tokens.iter().any(is_encoded) && !tokens.iter().all(stays) {
        let text: String = tokens.iter().map(as_text).collect();
        return phrase_of_text(&text);
    }
    let words = tokens.iter().filter(|token| token.kind != Kind::Blank);
    let spelled = words.filter_map(|token| match token.kind {
        Kind::Quoted => phrase_of_quoted(&token.inside()),
        _ if stays(token) => Some(token.raw.to_string()),
        _ => phrase_of_text(&as_text(token)),
    });
    let phrase = spelled.collect::<Vec<_>>().join(" ");
    Some(phrase).filter(|phrase| !phrase.is_empty() && phrase.len() <= MAX_PHRASE)
}

/// A token as it is read aloud.
fn as_text<'a>(token: &Token<'a>) -> Cow<'a, str> {
    if token.kind == Kind::Quoted { token.inside() } else { Cow::Borrowed(token.raw) }
}

fn phrase_of_quoted(inside: &str) -> Option<String> {
    if inside.is_ascii() {
        Some(quote(&one_line(inside))).filter(|quoted| quoted != "\"\"")
    } else {
        phrase_of_text(inside)
    }
}

/// How Exchange likes these words in a display name.
pub(super) fn form_of(tokens: &[Token<'_>]) -> Form {
    let form = |token: &Token<'_>| match token.kind {
        Kind::Quoted | Kind::Comment | Kind::Blank => Form::Good,
        Kind::Plain if is_encoded_word(token.raw) => Form::Good,
        Kind::Plain => token
            .raw
            .bytes()
            .map(|octet| match octet {
                b'@' => Form::Unquoted,
                // Raw 8-bit characters and dots leave no doubt.
                octet if is_atext(octet) || octet == b'.' || !octet.is_ascii() => Form::Good,
                _ => Form::Broken,
            })
            .min()
            .unwrap_or(Form::Good),
        _ => Form::Broken,
    };
    tokens.iter().map(form).min().unwrap_or(Form::Good)
}

/// A display name, given as plain text, as a phrase: as it is, quoted, or encoded (RFC 2047).
pub fn phrase_of_text(text: &str) -> Option<String> {
    let text = one_line(text);
    if text.is_empty() || text.len() > MAX_PHRASE {
        return None;
    }
    let is_phrase = text.split(' ').all(|word| is_encoded_word(word) || word.bytes().all(is_atext));
    Some(match () {
        () if is_phrase => text,
        () if text.is_ascii() => quote(&text),
        () => encoded_words(&text),
    })
}

/// Single blanks, no control character.
fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// RFC 5322 section 3.2.3.
pub(super) const fn is_atext(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'/'
                | b'='
                | b'?'
                | b'^'
                | b'_'
                | b'`'
                | b'{'
                | b'|'
                | b'}'
                | b'~'
        )
}

/// RFC 2047 section 2, roughly.
pub(super) fn is_encoded_word(word: &str) -> bool {
    let inside = word.strip_prefix("=?").and_then(|rest| rest.strip_suffix("?="));
    inside.is_some_and(|inside| {
        inside.split('?').count() == 3
            && inside.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\".contains(&b))
    })
}

pub(super) fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Octets of text in one encoded word: with base64 and its frame it stays below RFC 2047's 75.
const ENCODED: usize = 42;

/// Text as encoded words of UTF-8, cut between characters.
pub fn encoded_words(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut piece = String::new();
    let encode = |piece: &str| format!("=?utf-8?B?{}?=", BASE64_STANDARD.encode(piece));
    for c in text.chars() {
        if piece.len() + c.len_utf8() > ENCODED {
            words.push(encode(&std::mem::take(&mut piece)));
        }
        piece.push(c);
    }
    words.push(encode(&piece));
    words.join(" ")
}

/// The text with its encoded words decoded, where it has one and each is understood.
pub(super) fn decoded(tokens: &[Token<'_>]) -> Option<String> {
    let mut text = String::new();
    let (mut has_one, mut is_behind_one) = (false, false);
    let mut blank = "";
    for token in tokens {
        if token.kind == Kind::Blank {
            blank = token.raw;
            continue;
        }
        let mut rest = token.raw;
        while !rest.is_empty() {
            let begin = if matches!(token.kind, Kind::Plain | Kind::Angle) { rest.find("=?") } else { None };
            if begin == Some(0)
                && let (Some(end), _) = encoded_word_end(rest, 0)
            {
                // RFC 2047 section 6.2: blanks between encoded words are none.
                text.push_str(if is_behind_one { "" } else { blank });
                text.push_str(&decoded_word(&rest[..end])?);
                (has_one, is_behind_one, rest) = (true, true, &rest[end..]);
            } else {
                let length = match begin {
                    Some(0) => 2,
                    Some(begin) => begin,
                    None => rest.len(),
                };
                text.push_str(blank);
                text.push_str(&rest[..length]);
                (is_behind_one, rest) = (false, &rest[length..]);
            }
            blank = "";
        }
    }
    has_one.then_some(text)
}

/// A field's text for a person: its encoded words decoded, where each is understood.
pub fn readable(text: &str) -> String {
    decoded(&tokens(text)).unwrap_or_else(|| text.to_string())
}

/// One encoded word (RFC 2047 section 2). None where a character set is not known, or where a control character would
/// come to light, which might begin another field.
fn decoded_word(word: &str) -> Option<String> {
    let inside = word.strip_prefix("=?")?.strip_suffix("?=")?;
    let (charset, rest) = inside.split_once('?')?;
    let (encoding, text) = rest.split_once('?')?;
    let octets = match encoding {
        "B" | "b" => {
            let text = text.trim_end_matches('=');
            base64::engine::general_purpose::STANDARD_NO_PAD.decode(text).ok()?
        }
        "Q" | "q" => quoted_printable(text)?,
        _ => return None,
    };
    // RFC 2231 section 5: a language may stand behind an asterisk.
    let charset = charset.split('*').next()?.to_ascii_lowercase();
    let text = match charset.as_str() {
        "utf-8" | "utf8" | "us-ascii" | "ascii" => String::from_utf8(octets).ok()?,
        "iso-8859-1" | "latin1" | "windows-1252" | "cp1252" => windows_1252(&octets),
        // Most other sets hold ASCII as it is; of those that do not, an address must not be guessed.
        other
            if !["utf-7", "utf-16", "utf-32", "iso-2022", "hz"].iter().any(|set| other.starts_with(set)) =>
        {
            String::from_utf8(octets).ok().filter(|text| text.is_ascii())?
        }
        _ => return None,
    };
    (!text.chars().any(char::is_control)).then_some(text)
}

/// RFC 2047 section 4.2.
fn quoted_printable(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    let digit = |octet: Option<u8>| char::from(octet?).to_digit(16);
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'_' => b' ',
            b'=' => u8::try_from(digit(rest.next())? * 16 + digit(rest.next())?).ok()?,
            octet => octet,
        });
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::super::tokens::tokens;
    use super::*;

    #[test]
    fn encoded_words_are_decoded_where_all_are_understood() {
        let decoded = |text: &str| decoded(&tokens(text));
        for (text, plain) in [
            ("=?utf-8?q?Orders_=3Corders=40b.c=3E?=", "Orders <orders@b.c>"),
            ("=?UTF-8?B?QW5uIDxhQGIuYz4=?=", "Ann <a@b.c>"),
            ("=?utf-8*en?b?QW5uIDxhQGIuYz4?=", "Ann <a@b.c>"),
            ("=?utf-8?q?a=40?= =?utf-8?q?b=2Ec?=", "a@b.c"),
            ("Ann <=?utf-8?q?a=40b.c?=>", "Ann <a@b.c>"),
            ("Ann =?iso-8859-1?q?=DC_=3Ca=40b.c=3E?=", "Ann Ü <a@b.c>"),
            ("=?koi8-r?q?a=40b.c?=, x", "a@b.c, x"),
            ("\"=?utf-8?q?x?=\" =?utf-8?q?y?=", "\"=?utf-8?q?x?=\" y"),
        ] {
            assert_eq!(decoded(text).as_deref(), Some(plain), "{text}");
        }
        for text in [
            "Ann",
            "=?utf-8?q?a=0D=0ABcc:_x?=",
            "=?utf-8?q?=ZZ?=",
            "=?utf-8?q?=FF?=",
            "=?utf-8?x?a?=",
            "=?utf-7?q?a+AEA-b.c?=",
            "=?koi8-r?q?=C1?=",
            "=?utf-8?b?%?=",
        ] {
            assert_eq!(decoded(text), None, "{text}");
        }
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let text = "ü".repeat(60);
        let words = encoded_words(&text);
        assert!(words.split(' ').all(|word| word.len() <= 75), "{words}");
        let decoded: String = words
            .split(' ')
            .map(|word| {
                let inside = word.strip_prefix("=?utf-8?B?").unwrap().strip_suffix("?=").unwrap();
                String::from_utf8(BASE64_STANDARD.decode(inside).unwrap()).unwrap()
            })
            .collect();
        assert_eq!(decoded, text);
    }
}
