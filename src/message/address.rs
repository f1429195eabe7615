//! The mailboxes of an address field (RFC 5322 section 3.4), read as apps write them. One tokenizer ([`super::tokens`])
//! and two readings: of From one answer is wanted, and leftovers may go ([`author`]); of To, Cc and Bcc nothing may be
//! lost ([`recipients`]).
//!
//! A parser of its own, since three questions have to be answered that a parser made for readers does not: is this
//! well formed, is there one mailbox or are there several, and which octets were the display name.

use super::header::Value;
use super::phrase::{Form, decoded, form_of, is_encoded_word, phrase_of, phrase_of_text};
use super::tokens::{Kind, Token, tokens};
use crate::smtp::invisible::{Named, is_hidden};
use crate::smtp::path::Address;

/// A mailbox: an address and how it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mailbox {
    /// The display name as an RFC 5322 phrase: ASCII, quoted or encoded where it must be.
    pub phrase: Option<String>,
    /// The address; none where there is none that could be understood.
    pub address: Option<Address>,
}

/// What stands in From or Sender.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Its mailboxes, those of a group too.
    pub mailboxes: Vec<Mailbox>,
    /// How it is written.
    pub form: Form,
}

/// The longest field that is read as an author's, in octets: a longer one names no sender, and would cost memory many
/// times its size.
const MAX_AUTHOR: usize = 16 * 1024;

/// Reads From or Sender. Where a mailbox holds two addresses (`Ann <ann@b.c> via Shop <shop@d.e>`), the one that equals
/// `preferred` is meant, else the last.
pub fn author(value: &Value, preferred: Option<&Address>) -> List {
    if value.text.len() > MAX_AUTHOR {
        return List::default();
    }
    let reading = Reading::new(&value.text, value.is_utf8);
    match reading.inside_encoded_words() {
        Some(text) => List { form: Form::Broken, ..Reading::new(&text, true).author(preferred) },
        None => reading.author(preferred),
    }
}

/// Reads To, Cc, Bcc or an argument: whatever has an address in it is a recipient. `is_user` tells the names of local
/// users from pieces of a display name.
///
/// # Errors
/// A sentence with the text that was not understood: to send to the others alone would be a delivery that is silently
/// not whole.
pub fn recipients(value: &Value, is_user: &dyn Fn(&str) -> bool) -> Result<Vec<Mailbox>, String> {
    let reading = Reading::new(&value.text, value.is_utf8);
    match reading.inside_encoded_words() {
        Some(text) => Reading::new(&text, true).recipients(is_user),
        None => reading.recipients(is_user),
    }
}

/// Case is of no account: Exchange knows none, in local parts either.
fn same(a: &Address, b: &Address) -> bool {
    a.as_str().eq_ignore_ascii_case(b.as_str())
}

/// What stands between two separators.
#[derive(Default)]
struct Entry<'a> {
    tokens: Vec<Token<'a>>,
    /// The separator behind it.
    separator: Option<Token<'a>>,
    has_angle: bool,
    /// An `@` stands outside quotes and comments.
    has_at: bool,
}

impl<'a> Entry<'a> {
    fn push(&mut self, token: Token<'a>) {
        self.has_angle |= token.kind == Kind::Angle;
        self.has_at |= matches!(token.kind, Kind::Plain | Kind::Angle) && token.raw.contains('@');
        self.tokens.push(token);
    }

    fn is_empty(&self) -> bool {
        self.tokens.iter().all(|token| token.kind == Kind::Blank)
    }

    fn text(&self) -> String {
        self.tokens.iter().map(|token| token.raw).collect::<String>().trim().to_string()
    }

    /// The last comment, which is the name where there is no other.
    fn comment(&self) -> Option<String> {
        let comment = self.tokens.iter().rfind(|token| token.kind == Kind::Comment)?;
        phrase_of_text(&comment.inside())
    }
}

/// Words without a blank between them, and those that only blanks keep from their `@`.
struct Piece {
    text: String,
    /// Its first token.
    begin: usize,
    /// An `@` stands outside quotes.
    has_at: bool,
    /// Blanks stood around the `@`.
    is_spaced: bool,
    /// Quoted-strings alone.
    is_quoted: bool,
}

fn pieces(tokens: &[Token<'_>]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let (mut is_glued, mut is_near) = (false, false);
    for (begin, token) in tokens.iter().enumerate() {
        if !token.is_word() {
            is_glued = false;
            is_near &= matches!(token.kind, Kind::Blank | Kind::Comment);
            continue;
        }
        let is_quoted = token.kind == Kind::Quoted;
        let has_at = !is_quoted && token.raw.contains('@');
        let belongs = |last: &Piece| {
            is_glued || is_near && (last.text.ends_with('@') || !is_quoted && token.raw.starts_with('@'))
        };
        if let Some(last) = pieces.last_mut().filter(|last| belongs(last)) {
            last.text.push_str(token.raw);
            last.has_at |= has_at;
            last.is_spaced |= !is_glued;
            last.is_quoted &= is_quoted;
        } else {
            pieces.push(Piece { text: token.raw.to_string(), begin, has_at, is_spaced: false, is_quoted });
        }
        (is_glued, is_near) = (true, true);
    }
    pieces
}

/// What a piece says about who is addressed.
enum Meaning {
    /// Nothing: it is part of a name.
    Name,
    Address(Address),
    /// It has an `@`, and is no address.
    Riddle,
}

/// A field, cut into entries.
struct Reading<'a> {
    tokens: Vec<Token<'a>>,
    is_utf8: bool,
}

impl<'a> Reading<'a> {
    fn new(text: &'a str, is_utf8: bool) -> Self {
        Self { tokens: tokens(text), is_utf8 }
    }

    /// The field with its encoded words decoded, where no address stands outside of them and one does inside. Where one
    /// stands outside, an encoded word is a name: it must not change who is addressed.
    fn inside_encoded_words(&self) -> Option<String> {
        let is_address = |token: &Token<'_>| {
            matches!(token.kind, Kind::Plain | Kind::Angle) && without_encoded_words(token.raw).contains('@')
        };
        if self.tokens.iter().any(is_address) {
            return None;
        }
        decoded(&self.tokens).filter(|text| text.contains('@'))
    }

    /// The entries, and whether nothing but commas lies between them. A group (RFC 5322 section 3.4) is one where its end
    /// is there; its name is no entry.
    fn entries(&self) -> (Vec<Entry<'a>>, bool) {
        let last = |kinds: &[Kind]| self.tokens.iter().rposition(|token| kinds.contains(&token.kind));
        let last_semicolon = last(&[Kind::Semicolon]);
        let last_word = last(&[Kind::Plain, Kind::Quoted, Kind::Angle]);
        let mut entries = vec![Entry::default()];
        let (mut in_group, mut is_regular) = (false, true);
        for (index, token) in self.tokens.iter().enumerate() {
            let Some(entry) = entries.last_mut() else { break };
            match token.kind {
                Kind::Comma | Kind::Semicolon => {
                    is_regular &= token.kind == Kind::Comma && !entry.is_empty();
                    in_group &= token.kind == Kind::Comma;
                    entry.separator = Some(*token);
                    entries.push(Entry::default());
                }
                // An end without members: `undisclosed-recipients:`.
                Kind::Colon
                    if !entry.has_at
                        && !entry.has_angle
                        && (!in_group && last_semicolon > Some(index) || last_word < Some(index)) =>
                {
                    is_regular = false;
                    in_group = true;
                    *entry = Entry::default();
                }
                Kind::Colon => {
                    is_regular = false;
                    entry.push(*token);
                }
                _ => entry.push(*token),
            }
        }
        is_regular &= entries.last().is_some_and(|entry| !entry.is_empty());
        entries.retain(|entry| !entry.is_empty());
        (entries, is_regular)
    }

    /// The address that a text is.
    fn address(&self, text: &str) -> Option<Address> {
        let text = text.trim();
        // A route (RFC 5322 section 4.4) leads nowhere.
        let text =
            if text.starts_with('@') { text.split_once(':').map_or("", |(_, rest)| rest) } else { text };
        // From a link.
        let text = match text.get(..7) {
            Some(scheme) if scheme.eq_ignore_ascii_case("mailto:") => &text[7..],
            _ => text,
        };
        // A character set that was guessed makes a name, and no address; and an encoded word is no local part.
        let is_readable = (self.is_utf8 || text.is_ascii()) && !is_encoded_word(text);
        Address::parse(text).filter(|_| is_readable)
    }

    fn meaning(&self, piece: &Piece, in_name: bool) -> Meaning {
        if !piece.has_at {
            return Meaning::Name;
        }
        match self.address(&piece.text) {
            // `Info @ Contoso <a@b.c>`
            Some(address)
                if in_name
                    && piece.is_spaced
                    && !address.domain().is_some_and(|domain| domain.contains('.')) =>
            {
                Meaning::Name
            }
            Some(address) => Meaning::Address(address),
            // `@contoso`, `Info@`
            None if piece.text.matches('@').count() == 1
                && (piece.text.starts_with('@') || piece.text.ends_with('@')) =>
            {
                Meaning::Name
            }
            // `'a@b.c' <a@b.c>`
            None => match self.address(piece.text.trim_matches(['\'', '[', ']', '(', ')', '.', '!', '*'])) {
                Some(address) if in_name => Meaning::Address(address),
                _ => Meaning::Riddle,
            },
        }
    }

    fn author(&self, preferred: Option<&Address>) -> List {
        let (entries, mut is_regular) = self.entries();
        let has_angle = entries.iter().any(|entry| entry.has_angle);
        let (mut mailboxes, mut form) = (Vec::new(), Form::Good);
        // `Doe, John <john@b.c>`: the comma belonged into quotes.
        let mut name: Vec<Token<'a>> = Vec::new();
        for mut entry in entries {
            if has_angle && !entry.has_angle && !entry.has_at {
                is_regular = false;
                name.append(&mut entry.tokens);
                name.extend(entry.separator);
                continue;
            }
            if entry.has_angle {
                name.append(&mut entry.tokens);
                std::mem::swap(&mut name, &mut entry.tokens);
            }
            name.clear();
            let (mailbox, own) = self.mailbox(&entry, preferred);
            form = form.min(own);
            mailboxes.push(mailbox);
        }
        let form = if is_regular { form } else { Form::Broken };
        List { mailboxes, form }
    }

    fn mailbox(&self, entry: &Entry<'_>, preferred: Option<&Address>) -> (Mailbox, Form) {
        if entry.has_angle { self.bracketed(entry, preferred) } else { self.bare(entry, preferred) }
    }

    fn bracketed(&self, entry: &Entry<'_>, preferred: Option<&Address>) -> (Mailbox, Form) {
        let angles = || entry.tokens.iter().enumerate().filter(|(_, token)| token.kind == Kind::Angle);
        let read = |(index, token): (usize, &Token<'_>)| Some((index, self.address(&token.inside())?));
        let is_preferred =
            |(_, address): &(usize, Address)| preferred.is_some_and(|preferred| same(preferred, address));
        let chosen = angles()
            .filter_map(read)
            .find(is_preferred)
            .or_else(|| angles().filter_map(read).rfind(|(_, address)| address.domain().is_some()))
            .or_else(|| angles().filter_map(read).next_back());
        let at =
            chosen.as_ref().map(|(index, _)| *index).or_else(|| angles().next_back().map(|(index, _)| index));
        let at = at.unwrap_or(entry.tokens.len());
        let (before, behind) = entry.tokens.split_at(at);
        let is_exact = behind.first().zip(chosen.as_ref()).is_some_and(|(token, (_, address))| {
            token.is_closed() && token.inside().trim_matches([' ', '\t']) == address.as_str()
        });
        let has_more = behind.iter().skip(1).any(|token| !matches!(token.kind, Kind::Blank | Kind::Comment));
        let form = match form_of(before) {
            form if is_exact && !has_more => form,
            _ => Form::Broken,
        };
        // `(Ann) <a@b.c>`
        let has_name = before.iter().any(|token| !matches!(token.kind, Kind::Blank | Kind::Comment));
        let phrase = if has_name { phrase_of(before) } else { None };
        let phrase = phrase.or_else(|| entry.comment());
        (Mailbox { phrase, address: chosen.map(|(_, address)| address) }, form)
    }

    fn bare(&self, entry: &Entry<'_>, preferred: Option<&Address>) -> (Mailbox, Form) {
        // `mailto:a@b.c`, `Managers: a@b.c`
        let colon = entry.tokens.iter().rposition(|token| token.kind == Kind::Colon);
        let tokens = colon.map_or(&entry.tokens[..], |colon| &entry.tokens[colon + 1..]);
        let pieces = pieces(tokens);
        let comment = entry.comment();
        if let [only] = &pieces[..]
            && let Some(address) = self.address(&only.text)
        {
            let is_exact = colon.is_none() && !only.is_spaced && only.text == address.as_str();
            let form = if is_exact { Form::Unquoted } else { Form::Broken };
            return (Mailbox { phrase: comment, address: Some(address) }, form);
        }
        // `Name a@b.c`, `a @ b.c`: no angle brackets, and blanks that do not belong there.
        let found: Vec<(usize, Address)> = pieces
            .iter()
            .filter_map(|piece| match self.meaning(piece, false) {
                Meaning::Address(address) => Some((piece.begin, address)),
                _ => None,
            })
            .collect();
        let is_preferred =
            |(_, address): &&(usize, Address)| preferred.is_some_and(|preferred| same(preferred, address));
        let chosen = found.iter().find(is_preferred).or_else(|| found.last());
        let before = chosen.map_or(tokens, |(begin, _)| &tokens[..*begin]);
        let phrase = phrase_of(before).or(comment);
        (Mailbox { phrase, address: chosen.map(|(_, address)| address.clone()) }, Form::Broken)
    }

    fn recipients(&self, is_user: &dyn Fn(&str) -> bool) -> Result<Vec<Mailbox>, String> {
        let (entries, _) = self.entries();
        let has_angle = entries.iter().any(|entry| entry.has_angle && entry.has_at);
        let mut found = Vec::new();
        for entry in &entries {
            let one = if entry.has_angle {
                self.bracketed_recipients(entry, is_user, &mut found)
            } else {
                self.bare_recipients(entry, has_angle, is_user, &mut found)
            };
            one.map_err(|why| why.unwrap_or_else(|| no_address(&entry.text())))?;
        }
        Ok(found)
    }

    /// Of `Ann <a@b.c>`, and of `Ann <a@b.c> Bob <b@b.c> c@b.c`.
    fn bracketed_recipients(
        &self,
        entry: &Entry<'_>,
        is_user: &dyn Fn(&str) -> bool,
        found: &mut Vec<Mailbox>,
    ) -> Result<(), Option<String>> {
        let mut begin = 0;
        let mut has_one = false;
        // Looked for once: an entry may have thousands of brackets.
        let comment = entry.comment();
        for (at, token) in entry.tokens.iter().enumerate().filter(|(_, token)| token.kind == Kind::Angle) {
            let before = &entry.tokens[begin..at];
            begin = at + 1;
            let inside = token.inside();
            let address = self.address(&inside);
            let is_name = match &address {
                Some(address) => address.domain().is_none() && entry.has_at && !is_user(address.as_str()),
                // `Ann <> <a@b.c>`, `Sales <all of them> <a@b.c>`
                None => entry.has_at && !inside.contains('@'),
            };
            for piece in pieces(before) {
                match (self.meaning(&piece, true), &address) {
                    (Meaning::Name, _) => {}
                    (Meaning::Address(written), Some(address)) if same(&written, address) => {}
                    (Meaning::Address(_) | Meaning::Riddle, _) => {
                        let (name, bracket) = (shown(&piece.text), shown(token.raw));
                        return Err(Some(format!("{name} stands before {bracket}: which of them is meant?")));
                    }
                }
            }
            if is_name {
                continue;
            }
            let address = address.ok_or(None)?;
            let phrase = phrase_of(before).or_else(|| comment.clone());
            found.push(Mailbox { phrase, address: Some(address) });
            has_one = true;
        }
        for piece in pieces(&entry.tokens[begin..]) {
            match self.meaning(&piece, false) {
                Meaning::Address(address) => found.push(Mailbox { phrase: None, address: Some(address) }),
                Meaning::Riddle => return Err(None),
                Meaning::Name if is_user(&piece.text) => found.extend(self.user(&piece)),
                Meaning::Name => {}
            }
        }
        if has_one { Ok(()) } else { Err(None) }
    }

    /// Of `a@b.c`, `Ann a@b.c`, `a@b.c b@b.c`, `root`; and pieces of a name, where the list has angle brackets.
    fn bare_recipients(
        &self,
        entry: &Entry<'_>,
        list_has_angle: bool,
        is_user: &dyn Fn(&str) -> bool,
        found: &mut Vec<Mailbox>,
    ) -> Result<(), Option<String>> {
        let pieces = pieces(&entry.tokens);
        let known = found.len();
        let mut users = Vec::new();
        for piece in &pieces {
            match self.meaning(piece, false) {
                Meaning::Address(address) => found.push(Mailbox { phrase: None, address: Some(address) }),
                Meaning::Riddle => return Err(None),
                Meaning::Name if is_user(&piece.text) => users.extend(self.user(piece)),
                Meaning::Name => {}
            }
        }
        if found.len() > known {
            if let [one] = &mut found[known..] {
                let name = pieces.iter().find(|piece| piece.has_at).map_or(0, |piece| piece.begin);
                one.phrase = phrase_of(&entry.tokens[..name]).or_else(|| entry.comment());
            }
            found.append(&mut users);
            return Ok(());
        }
        // Quoted, commented or encoded, it is a name; but where there is nothing else it may have been meant.
        let hides_one = entry.tokens.iter().any(|token| {
            token.raw.contains('@') || decoded(&[*token]).is_some_and(|text| text.contains('@'))
        });
        match &pieces[..] {
            _ if hides_one => Err(None),
            [] => Ok(()),
            pieces if !users.is_empty() && (list_has_angle || users.len() == pieces.len()) => {
                found.append(&mut users);
                Ok(())
            }
            _ if list_has_angle => Ok(()),
            [one] => {
                let address = self.address(&one.text).ok_or(None)?;
                found.push(Mailbox { phrase: entry.comment(), address: Some(address) });
                Ok(())
            }
            _ => Err(None),
        }
    }

    fn user(&self, piece: &Piece) -> Option<Mailbox> {
        Some(Mailbox { phrase: None, address: Some(self.address(&piece.text)?) })
    }
}

fn without_encoded_words(text: &str) -> String {
    let mut outside = String::new();
    let mut rest = text;
    while let Some(begin) = rest.find("=?") {
        outside.push_str(&rest[..begin]);
        let (end, _) = super::tokens::encoded_word_end(rest, begin);
        if end.is_none() {
            outside.push_str("=?");
        }
        rest = &rest[end.unwrap_or(begin + 2)..];
    }
    outside + rest
}

fn no_address(text: &str) -> String {
    let hidden = text.chars().find(|c| is_hidden(*c));
    let hidden = hidden.map(|c| format!(": {} stands in it", Named(c))).unwrap_or_default();
    format!("{} is not an address{hidden}", shown(text))
}

/// A text for a sentence, not longer than one can read.
fn shown(text: &str) -> String {
    const LONGEST: usize = 100;
    let mut short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    format!("\"{short}\"")
}

/// A mailbox as a field's value.
pub fn written(phrase: Option<&str>, address: &Address) -> String {
    match phrase {
        Some(phrase) => format!("{phrase} <{address}>"),
        None => format!("<{address}>"),
    }
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
