//! The text of an address field (RFC 5322 section 3.4), as apps write it, cut into tokens. The two readings of it stand
//! in [`super::address`].
//!
//! Whatever opens and is never closed is an ordinary character (`5" Screens`, `Smile :(`). To find that out takes one
//! look to the end of the text, and only one: a field of 240 KB that cost a look for each of its characters stopped
//! the process for a minute.

use std::borrow::Cow;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A run of characters without meaning here; encoded words (RFC 2047) are parts of it.
    Plain,
    /// A quoted-string.
    Quoted,
    /// A comment.
    Comment,
    /// Angle brackets and what they hold; the closing one may be missing.
    Angle,
    /// White space.
    Blank,
    /// `,`
    Comma,
    /// `:`
    Colon,
    /// `;`
    Semicolon,
}

/// A token, with the characters that it was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub kind: Kind,
    pub raw: &'a str,
}

impl<'a> Token<'a> {
    /// What quotes, parentheses or angle brackets hold; of other tokens all.
    pub fn inside(&self) -> Cow<'a, str> {
        let bare = |text: &'a str| text.get(1..text.len().saturating_sub(1)).unwrap_or("");
        match self.kind {
            Kind::Quoted | Kind::Comment => unescaped(bare(self.raw)),
            Kind::Angle => {
                let open = self.raw.strip_prefix('<').unwrap_or(self.raw);
                Cow::Borrowed(open.strip_suffix('>').unwrap_or(open))
            }
            _ => Cow::Borrowed(self.raw),
        }
    }

    /// Whether the closing bracket stands there.
    pub fn is_closed(&self) -> bool {
        self.kind != Kind::Angle || self.raw.ends_with('>')
    }

    pub const fn is_word(&self) -> bool {
        matches!(self.kind, Kind::Plain | Kind::Quoted)
    }
}

fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        plain.extend(if c == '\\' { characters.next() } else { Some(c) });
    }
    Cow::Owned(plain)
}

/// Cuts a text.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    Scanner::new(text).all()
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// The closing quote of some quote is missing: there is none from there on.
    no_more_quotes: bool,
    /// The parentheses behind one that is never closed, each with its end; in order.
    comments: Option<Vec<(usize, usize)>>,
    /// Octets that were looked at.
    #[cfg(test)]
    work: usize,
}

impl<'a> Scanner<'a> {
    const fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            no_more_quotes: false,
            comments: None,
            #[cfg(test)]
            work: 0,
        }
    }

    fn all(&mut self) -> Vec<Token<'a>> {
        let mut tokens = Vec::new();
        while self.at < self.text.len() {
            let begin = self.at;
            let (kind, end) = self.token(begin);
            self.looked(end - begin);
            tokens.push(Token { kind, raw: &self.text[begin..end] });
            self.at = end;
        }
        tokens
    }

    const fn looked(&mut self, octets: usize) {
        #[cfg(test)]
        {
            self.work += octets;
        }
        let _ = octets;
    }

    fn octet(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    fn character(&self, at: usize) -> Option<char> {
        self.text[at..].chars().next()
    }

    fn token(&mut self, at: usize) -> (Kind, usize) {
        if let Some(special) = self.special(at) {
            return special;
        }
        let mut end = at;
        while let Some(c) = self.character(end) {
            if end > at && self.special(end).is_some() {
                break;
            }
            end = match c {
                '=' => self.encoded_word_end(end).unwrap_or(end + 1),
                // An address literal has colons.
                '[' if self.text[..end].ends_with('@') => self.literal_end(end).unwrap_or(end + 1),
                '\\' => self.character(end + 1).map_or(end + 1, |escaped| end + 1 + escaped.len_utf8()),
                c => end + c.len_utf8(),
            };
        }
        (Kind::Plain, end)
    }

    /// A token other than a plain one that begins here, with its end.
    fn special(&mut self, at: usize) -> Option<(Kind, usize)> {
        let c = self.character(at)?;
        match c {
            ',' => Some((Kind::Comma, at + 1)),
            ':' => Some((Kind::Colon, at + 1)),
            ';' => Some((Kind::Semicolon, at + 1)),
            '"' if !self.is_behind_letter(at) => self.quoted_end(at).map(|end| (Kind::Quoted, end)),
            '(' if !self.is_smiley(at) => self.comment_end(at).map(|end| (Kind::Comment, end)),
            '<' => self.angle_end(at).map(|end| (Kind::Angle, end)),
            c if c.is_whitespace() => {
                let blanks = self.text[at..].find(|c: char| !c.is_whitespace());
                Some((Kind::Blank, blanks.map_or(self.text.len(), |blanks| at + blanks)))
            }
            _ => None,
        }
    }

    /// `5" Screens`: inches, and no quoted-string.
    fn is_behind_letter(&self, at: usize) -> bool {
        self.text[..at].chars().next_back().is_some_and(char::is_alphanumeric)
    }

    /// `:(`, `;-(`: no comment.
    fn is_smiley(&self, at: usize) -> bool {
        let before = &self.text.as_bytes()[..at];
        let before = before.strip_suffix(b"-").or_else(|| before.strip_suffix(b"'")).unwrap_or(before);
        matches!(before.last(), Some(b':' | b';' | b'='))
    }

    fn quoted_end(&mut self, at: usize) -> Option<usize> {
        if self.no_more_quotes {
            return None;
        }
        let mut end = at + 1;
        while let Some(octet) = self.octet(end) {
            match octet {
                b'"' => {
                    self.looked(end - at);
                    return Some(end + 1);
                }
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
        self.looked(self.text.len() - at);
        self.no_more_quotes = true;
        None
    }

    fn comment_end(&mut self, at: usize) -> Option<usize> {
        if let Some(known) = &self.comments {
            let found = known.binary_search_by_key(&at, |(begin, _)| *begin).ok()?;
            return Some(known[found].1);
        }
        let (mut open, mut closed) = (vec![at], Vec::new());
        let mut end = at + 1;
        while let Some(octet) = self.octet(end) {
            match octet {
                b'(' => open.push(end),
                b')' => {
                    if let Some(begin) = open.pop() {
                        closed.push((begin, end + 1));
                    }
                    if open.is_empty() {
                        self.looked(end - at);
                        return Some(end + 1);
                    }
                }
                b'\\' => end += 1,
                _ => {}
            }
            end += 1;
        }
        self.looked(self.text.len() - at);
        closed.sort_unstable();
        self.comments = Some(closed);
        None
    }

    /// The end of `<...>`. Where `>` is missing it ends at the next `<` or at the next separator, and is a bracket only
    /// if an `@` stands in it.
    fn angle_end(&mut self, at: usize) -> Option<usize> {
        let mut end = at + 1;
        let is_route = self.text[end..].trim_start().starts_with('@');
        let mut has_at = false;
        while let Some(octet) = self.octet(end) {
            match octet {
                b'>' => {
                    self.looked(end - at);
                    return Some(end + 1);
                }
                b'<' => break,
                b',' | b';' if !is_route => break,
                b'"' => end = self.quoted_end(end).unwrap_or(end + 1) - 1,
                b'@' => has_at = true,
                _ => {}
            }
            end += 1;
        }
        self.looked(end - at);
        has_at.then_some(end)
    }

    /// RFC 2047 section 2, without its ban on commas and the like: apps leave them in.
    fn encoded_word_end(&mut self, at: usize) -> Option<usize> {
        let (end, looked) = encoded_word_end(self.text, at);
        self.looked(looked);
        end
    }

    fn literal_end(&mut self, at: usize) -> Option<usize> {
        // The longest one that there is: an IPv6 address with its tag.
        const LONGEST: usize = 64;
        let rest = &self.text.as_bytes()[at..];
        let end = rest[..rest.len().min(LONGEST)].iter().position(|octet| *octet == b']')?;
        self.looked(end);
        let is_one = rest[1..end].iter().all(|octet| octet.is_ascii_alphanumeric() || b".:".contains(octet));
        is_one.then_some(at + end + 1)
    }
}

/// The end of the encoded word that begins at `at`, if one does; and the octets that were looked at. No part of one holds
/// a `?`, so that no octet is looked at more than three times, however many begin and do not end.
pub(super) fn encoded_word_end(text: &str, at: usize) -> (Option<usize>, usize) {
    let octets = &text.as_bytes()[at..];
    if !octets.starts_with(b"=?") {
        return (None, 2);
    }
    // The end of a part, or where it was seen that none ends there.
    let part = |from: usize| {
        let is_end = |octet: &u8| *octet == b'?' || !octet.is_ascii_graphic();
        let end = octets[from..].iter().position(is_end).map_or(octets.len(), |length| from + length);
        if octets.get(end) == Some(&b'?') { Ok(end) } else { Err(end) }
    };
    let parts = || {
        let charset = part(2)?;
        let encoding = part(charset + 1)?;
        if charset == 2 || encoding != charset + 2 {
            return Err(encoding);
        }
        let end = part(encoding + 1)?;
        if octets.get(end + 1) == Some(&b'=') { Ok(end) } else { Err(end) }
    };
    match parts() {
        Ok(end) => (Some(at + end + 2), end),
        Err(end) => (None, end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each token as its kind's sign and its text.
    fn cut(text: &str) -> String {
        let shown = tokens(text).into_iter().map(|token| match token.kind {
            Kind::Plain => format!("P[{}]", token.raw),
            Kind::Quoted => format!("Q[{}]", token.inside()),
            Kind::Comment => format!("C[{}]", token.inside()),
            Kind::Angle => format!("A[{}]", token.inside()),
            Kind::Blank => " ".to_string(),
            Kind::Comma | Kind::Colon | Kind::Semicolon => token.raw.to_string(),
        });
        shown.collect()
    }

    #[test]
    fn a_field_is_cut_into_tokens() {
        for (text, tokens) in [
            ("Ann <a@b.c>, d@e.f", "P[Ann] A[a@b.c], P[d@e.f]"),
            ("\"Doe, \\\"J\\\"\" <a@b.c>", "Q[Doe, \"J\"] A[a@b.c]"),
            ("a@b.c (J. (Joe) D\\)oe)", "P[a@b.c] C[J. (Joe) D)oe]"),
            ("X <\"a>b\"@c.d>", "P[X] A[\"a>b\"@c.d]"),
            ("a@[IPv6:::1], b", "P[a@[IPv6:::1]], P[b]"),
            ("=?utf-8?q?a,_b_<c@d>?= <e@f>", "P[=?utf-8?q?a,_b_<c@d>?=] A[e@f]"),
            ("=?utf-8?q?a?==?utf-8?q?b,?= c", "P[=?utf-8?q?a?==?utf-8?q?b,?=] P[c]"),
            ("=?x<a@b.c>,", "P[=?x]A[a@b.c],"),
            ("5\" Screens, 6\" Pads <a@b>", "P[5\"] P[Screens], P[6\"] P[Pads] A[a@b]"),
            ("\"Doe, J <a@b>", "P[\"Doe], P[J] A[a@b]"),
            ("Smile :( <a@b>", "P[Smile] :P[(] A[a@b]"),
            ("Sad ;-( <a@b>, (x)", "P[Sad] ;P[-(] A[a@b], C[x]"),
            ("( a (b) c", "P[(] P[a] C[b] P[c]"),
            ("<a@b, C <d@e>", "A[a@b], P[C] A[d@e]"),
            ("Price < 5 <a@b>", "P[Price] P[<] P[5] A[a@b]"),
            ("<@x,@y:a@b>", "A[@x,@y:a@b]"),
            ("x\\,y\\<z", "P[x\\,y\\<z]"),
            ("<", "P[<]"),
        ] {
            assert_eq!(cut(text), tokens, "{text}");
            let whole: String = super::tokens(text).iter().map(|token| token.raw).collect();
            assert_eq!(whole, text);
        }
    }

    /// Twice the text, twice the work: counted in octets, not on a clock.
    #[test]
    fn the_work_grows_with_the_text_and_no_faster() {
        let work = |text: &str| {
            let mut scanner = Scanner::new(text);
            scanner.all();
            scanner.work
        };
        for piece in [
            "=?", "=?a", "=?a?q?", "=?a?q?x", "=?a?q?x?", "\"", "\\\"", "\"\\", "(", "(()", "(a) ((", "<",
            "<@", "<a@b", "<@,", "<\"", "<\"@", "[", "@[", "@[:", ",", ";", ":", " ", ":(", "a@b,", "x", "ü",
            "<(", "\"(", "(\"", "=?\"(<",
        ] {
            for start in ["", "\"", "(", "<", "=?a?q?", "<@"] {
                let text = |times: usize| start.to_string() + &piece.repeat(times);
                let (once, twice) = (work(&text(2_000)), work(&text(4_000)));
                assert!(twice <= 2 * once + 64, "{start}{piece}...: {once}, {twice}");
                assert!(once <= 8 * text(2_000).len() + 64, "{start}{piece}...: {once}");
            }
        }
    }
}
