//! The address list of From, Sender and Reply-To (RFC 5322 section 3.4), read as apps write it, and a mailbox written
//! as RFC 5322 wants it.
//!
//! A parser of its own, since three questions have to be answered that a parser made for readers does not: is this
//! well formed, is there one mailbox or are there several, and which octets were the display name.

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::header::Value;
use crate::smtp::path::Address;

/// A mailbox: an address and how it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mailbox {
    /// The display name as an RFC 5322 phrase: ASCII, quoted or encoded where it must be.
    pub phrase: Option<String>,
    /// The address; none where there is none that could be understood.
    pub address: Option<Address>,
}

/// What stands in an address field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Its mailboxes, those of a group too.
    pub mailboxes: Vec<Mailbox>,
    /// It is written as RFC 5322 allows in From (raw 8-bit in a display name, `.` and `@` pass for it:
    /// they leave no doubt).
    pub is_well_formed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A quoted-string, unquoted.
    Quoted(String),
    /// A run of other characters.
    Plain(String),
    Comment(String),
    /// The inside of angle brackets.
    Angle(String),
    Comma,
    Colon,
    Semicolon,
    Blank,
}

struct Tokens<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    is_balanced: bool,
}

impl Tokens<'_> {
    /// Up to `end`, which is dropped; a backslash takes the next character as it is. `keep_quotes` leaves a
    /// quoted-string whole, so that a `>` in it ends nothing.
    fn until(&mut self, end: char, keep_quotes: bool) -> String {
        let (mut text, mut depth, mut in_quotes) = (String::new(), 0, false);
        while let Some(c) = self.rest.next() {
            match c {
                '\\' => {
                    if keep_quotes {
                        text.push(c);
                    }
                    text.extend(self.rest.next());
                    continue;
                }
                c if c == end && depth == 0 && !in_quotes => return text,
                '"' if keep_quotes => in_quotes = !in_quotes,
                '(' if end == ')' => depth += 1,
                ')' if end == ')' => depth -= 1,
                _ => {}
            }
            text.push(c);
        }
        self.is_balanced = false;
        text
    }
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let first = self.rest.next()?;
        Some(match first {
            '"' => Token::Quoted(self.until('"', false)),
            '(' => Token::Comment(self.until(')', false)),
            '<' => Token::Angle(self.until('>', true)),
            ',' => Token::Comma,
            ':' => Token::Colon,
            ';' => Token::Semicolon,
            c if c.is_whitespace() => Token::Blank,
            c => {
                let mut text = String::from(c);
                // Apps leave commas and the like inside encoded words, where RFC 2047 section 5 forbids them.
                let is_open = |text: &str| {
                    "=?".starts_with(text)
                        || text.starts_with("=?") && !(text.ends_with("?=") && text.matches('?').count() >= 4)
                };
                while let Some(c) =
                    self.rest.next_if(|c| !c.is_whitespace() && (is_open(&text) || !"\"(<,:;".contains(*c)))
                {
                    text.push(c);
                }
                Token::Plain(text)
            }
        })
    }
}

/// What stands between two commas.
#[derive(Default)]
struct Entry {
    /// Words and blanks.
    words: Vec<Token>,
    comment: Option<String>,
    angle: Option<String>,
    is_odd: bool,
}

impl Entry {
    fn is_empty(&self) -> bool {
        self.angle.is_none() && self.comment.is_none() && self.words.iter().all(|word| *word == Token::Blank)
    }

    fn has_at(&self) -> bool {
        self.words.iter().any(|word| matches!(word, Token::Plain(text) if text.contains('@')))
    }

    /// The mailbox, and whether it was well formed.
    fn mailbox(self, is_utf8: bool) -> (Mailbox, bool) {
        let readable = |text: &str| {
            // A route (RFC 5322 section 4.4) leads nowhere.
            let text =
                if text.starts_with('@') { text.split_once(':').map_or("", |(_, rest)| rest) } else { text };
            Address::parse(text.trim()).filter(|address| is_utf8 || address.as_str().is_ascii())
        };
        if let Some(angle) = &self.angle {
            let (phrase, is_phrase) = phrase_of(&self.words);
            let phrase = phrase.or_else(|| self.comment.as_deref().and_then(phrase_of_text));
            let address = readable(angle);
            let is_good = is_phrase && !self.is_odd && address.is_some();
            return (Mailbox { phrase, address }, is_good);
        }
        let comment = self.comment.as_deref().and_then(phrase_of_text);
        let joined: String = self.words.iter().map(spelled).collect::<String>().trim().to_string();
        if let Some(address) = readable(&joined) {
            return (Mailbox { phrase: comment, address: Some(address) }, !self.is_odd);
        }
        // `Name a@b.c`, `a @ b.c`: no angle brackets, and blanks that do not belong there.
        let last = self.words.iter().rposition(|word| *word == Token::Blank).map_or(0, |blank| blank + 1);
        let (before, behind) = self.words.split_at(last);
        let tail: String = behind.iter().map(spelled).collect();
        if let Some(address) = readable(&tail).filter(|address| address.domain().is_some()) {
            return (Mailbox { phrase: phrase_of(before).0.or(comment), address: Some(address) }, false);
        }
        let together: String = joined.split_whitespace().collect();
        match readable(&together).filter(|address| address.domain().is_some()) {
            Some(address) => (Mailbox { phrase: comment, address: Some(address) }, false),
            None => (Mailbox { phrase: phrase_of(&self.words).0.or(comment), address: None }, false),
        }
    }
}

/// A word as it stood in an address.
fn spelled(word: &Token) -> String {
    match word {
        Token::Quoted(text) => quote(text),
        Token::Plain(text) => text.clone(),
        _ => " ".to_string(),
    }
}

/// Reads an address field.
pub fn parse(value: &Value) -> List {
    let mut tokens = Tokens { rest: value.text.chars().peekable(), is_balanced: true };
    let mut entries = vec![Entry::default()];
    let mut is_well_formed = true;
    for token in tokens.by_ref() {
        let Some(entry) = entries.last_mut() else { break };
        match token {
            Token::Comma | Token::Semicolon => {
                is_well_formed &= token == Token::Comma && !entry.is_empty();
                entries.push(Entry::default());
            }
            // A group's name, or `mailto:`. RFC 6854 allows a group in From; Exchange wants a mailbox.
            Token::Colon => {
                is_well_formed = false;
                *entry = Entry::default();
            }
            Token::Comment(text) => entry.comment = Some(text),
            Token::Angle(text) => {
                entry.is_odd |= entry.angle.is_some();
                entry.angle.get_or_insert(text);
            }
            word => {
                entry.is_odd |= word != Token::Blank && entry.angle.is_some();
                if entry.angle.is_none() {
                    entry.words.push(word);
                }
            }
        }
    }
    is_well_formed &= tokens.is_balanced && entries.last().is_some_and(|entry| !entry.is_empty());
    entries.retain(|entry| !entry.is_empty());
    // `Doe, John <john@b.c>`: the comma belonged into quotes.
    let brackets = entries.iter().filter(|entry| entry.angle.is_some()).count();
    let is_one_name = entries.iter().all(|entry| entry.angle.is_some() || !entry.has_at());
    if brackets == 1 && entries.len() > 1 && is_one_name {
        is_well_formed = false;
        let mut whole = Entry::default();
        for entry in entries.drain(..) {
            if !whole.words.is_empty() && whole.angle.is_none() {
                whole.words.push(Token::Plain(",".to_string()));
            }
            if whole.angle.is_none() {
                whole.words.extend(entry.words);
                (whole.angle, whole.comment) = (entry.angle, entry.comment);
            }
        }
        entries.push(whole);
    }
    let mut mailboxes = Vec::new();
    for entry in entries {
        let (mailbox, is_good) = entry.mailbox(value.is_utf8);
        is_well_formed &= is_good;
        mailboxes.push(mailbox);
    }
    List { mailboxes, is_well_formed }
}

/// The longest display name that is carried over, in octets: a longer one is no name.
const MAX_PHRASE: usize = 512;

/// The phrase that these words make, and whether RFC 5322 (with what leaves no doubt) takes them as they were.
fn phrase_of(words: &[Token]) -> (Option<String>, bool) {
    let words: Vec<&Token> = words.iter().filter(|word| **word != Token::Blank).collect();
    let is_encoded = |word: &Token| matches!(word, Token::Plain(text) if is_encoded_word(text));
    let is_atom = |word: &Token| matches!(word, Token::Plain(text) if text.bytes().all(is_atext));
    let stays = |word: &Token| is_encoded(word) || is_atom(word);
    let tolerated = |word: &Token| match word {
        Token::Plain(text) => {
            is_encoded_word(text)
                || text.bytes().all(|b| is_atext(b) || matches!(b, b'.' | b'@') || !b.is_ascii())
        }
        _ => true,
    };
    let is_well_formed = words.iter().all(|word| tolerated(word));
    let text = |word: &Token| match word {
        Token::Quoted(text) | Token::Plain(text) => text.clone(),
        _ => String::new(),
    };
    let spelled_one_by_one = words.iter().any(|word| is_encoded(word))
        || words.iter().all(|word| stays(word) || matches!(word, Token::Quoted(text) if text.is_ascii()));
    let phrase = if spelled_one_by_one {
        let spelled = words.iter().filter_map(|word| match word {
            word if stays(word) => Some(text(word)),
            Token::Quoted(inside) if inside.is_ascii() => {
                Some(quote(&one_line(inside))).filter(|quoted| quoted != "\"\"")
            }
            word => phrase_of_text(&text(word)),
        });
        let spelled: Vec<String> = spelled.collect();
        Some(spelled.join(" ")).filter(|phrase| !phrase.is_empty() && phrase.len() <= MAX_PHRASE)
    } else {
        let all = words.iter().map(|word| text(word)).collect::<Vec<_>>().join(" ");
        phrase_of_text(&all.replace(" ,", ","))
    };
    (phrase, is_well_formed)
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
const fn is_atext(byte: u8) -> bool {
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
fn is_encoded_word(word: &str) -> bool {
    let inside = word.strip_prefix("=?").and_then(|rest| rest.strip_suffix("?="));
    inside.is_some_and(|inside| {
        inside.split('?').count() == 3
            && inside.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\".contains(&b))
    })
}

fn quote(text: &str) -> String {
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

/// A mailbox as a field's value.
pub fn written(phrase: Option<&str>, address: &Address) -> String {
    match phrase {
        Some(phrase) => format!("{phrase} <{address}>"),
        None => format!("<{address}>"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mailboxes as they would be written, and whether the field was well formed.
    fn read(text: &str) -> (Vec<String>, bool) {
        let list = parse(&Value { text: text.to_string(), is_utf8: true });
        let shown = |mailbox: &Mailbox| match &mailbox.address {
            Some(address) => written(mailbox.phrase.as_deref(), address),
            None => format!("{:?}", mailbox.phrase),
        };
        (list.mailboxes.iter().map(shown).collect(), list.is_well_formed)
    }

    #[test]
    fn what_is_well_formed() {
        for (text, mailbox) in [
            ("a@b.c", "<a@b.c>"),
            ("<a@b.c>", "<a@b.c>"),
            ("a@b.c <a@b.c>", "\"a@b.c\" <a@b.c>"),
            ("\"x@y\" <a@b.c>", "\"x@y\" <a@b.c>"),
            ("John Doe <a@b.c>", "John Doe <a@b.c>"),
            ("J. Doe <a@b.c>", "\"J. Doe\" <a@b.c>"),
            ("\"Doe, \\\"J\\\"\" <a@b.c>", "\"Doe, \\\"J\\\"\" <a@b.c>"),
            ("=?utf-8?Q?M=C3=BCller,_J.?= <a@b.c>", "=?utf-8?Q?M=C3=BCller,_J.?= <a@b.c>"),
            ("Info @ Contoso <a@b.c>", "\"Info @ Contoso\" <a@b.c>"),
            ("=?utf-8?Q?M=C3=BCller?= Inc <a@b.c>", "=?utf-8?Q?M=C3=BCller?= Inc <a@b.c>"),
            ("Müller <a@b.c>", "=?utf-8?B?TcO8bGxlcg==?= <a@b.c>"),
            ("root (Cron Daemon)", "Cron Daemon <root>"),
            ("a@b.c (J. (Joe) Doe)", "\"J. (Joe) Doe\" <a@b.c>"),
            ("\"a b\"@c.d", "<\"a b\"@c.d>"),
            ("X <\"a>b\"@c.d>", "X <\"a>b\"@c.d>"),
            ("X <@route.example:a@b.c>", "X <a@b.c>"),
        ] {
            let (mailboxes, is_good) = read(text);
            assert_eq!(mailboxes, [mailbox], "{text}");
            assert!(is_good, "{text}");
        }
        assert_eq!(read("a@b.c, D <d@e.f>"), (vec!["<a@b.c>".into(), "D <d@e.f>".into()], true));
    }

    #[test]
    fn what_is_understood_all_the_same() {
        for (text, mailboxes) in [
            ("John Doe a@b.c", vec!["John Doe <a@b.c>"]),
            ("a @ b.c", vec!["<a@b.c>"]),
            ("Doe, John <a@b.c>", vec!["\"Doe, John\" <a@b.c>"]),
            ("Doe, John, Inc. <a@b.c>", vec!["\"Doe, John, Inc.\" <a@b.c>"]),
            ("a@b.c,", vec!["<a@b.c>"]),
            ("a@b.c; d@e.f", vec!["<a@b.c>", "<d@e.f>"]),
            ("Managers: a@b.c;", vec!["<a@b.c>"]),
            ("Managers: a@b.c, D <d@e.f>;", vec!["<a@b.c>", "D <d@e.f>"]),
            ("mailto:a@b.c", vec!["<a@b.c>"]),
            ("X <a@b.c", vec!["X <a@b.c>"]),
            ("X <a@b.c> Y", vec!["X <a@b.c>"]),
            ("undisclosed-recipients:;", vec![]),
            ("", vec![]),
            ("Backup Job", vec!["Some(\"Backup Job\")"]),
            ("X <>", vec!["Some(\"X\")"]),
        ] {
            let (found, is_good) = read(text);
            assert_eq!(found, mailboxes, "{text}");
            assert!(!is_good, "{text}");
        }
    }

    #[test]
    fn a_guessed_character_set_makes_a_name_and_no_address() {
        let read = |text: &str| parse(&Value { text: text.to_string(), is_utf8: false });
        assert_eq!(read("ü@b.c").mailboxes[0].address, None);
        assert_eq!(read("ü <a@b.c>").mailboxes[0].phrase.as_deref(), Some("=?utf-8?B?w7w=?="));
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
