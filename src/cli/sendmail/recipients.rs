//! The header block of a message on standard input: whom it is for, whom it is from, and what of it is sent.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::cli::client::letter::{self, Letter};
use crate::message::address;
use crate::message::block;
use crate::message::header::{self, Field, Value};
use crate::message::phrase;
use crate::redact::printable;
use crate::smtp::path::Address;

/// A message's header, sorted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sorted {
    /// What stands before the first field, where the shim is to mend the block.
    pub noise: Vec<u8>,
    /// The fields to send, without the blank line. A broken block is sent as it came: the shim mends it by the same rule,
    /// and its log says so.
    pub header: Vec<u8>,
    /// Where the body begins in what is held.
    pub body: usize,
    /// With `-t`: everybody in To, Cc and Bcc, or in Resent-To, Resent-Cc and Resent-Bcc if there is one of these, each
    /// once.
    pub recipients: Vec<Address>,
    /// The address of the author: Resent-From's, where the message is resent and has one.
    pub from: Option<Address>,
    /// There is a From, be it empty.
    pub has_from: bool,
}

impl Sorted {
    /// Sorts the header of `letter`.
    ///
    /// # Errors
    /// One line: the header has no end, or (with `reads_recipients`) a recipient that is no address.
    pub fn of(letter: &Letter<'_>, reads_recipients: bool) -> Result<Self, String> {
        let end = block::end(&letter.held, letter.is_complete)
            .ok_or_else(|| format!("the header is longer than {} octets", letter.held.len()))?;
        if end.shows_bcc || (reads_recipients && end.hides_recipients) {
            return Err(
                "To, Cc or Bcc stand in lines that are no header: put a blank line before the text, and \
                 nothing but fields before it"
                    .to_string(),
            );
        }
        let mended = end.block(&letter.held);
        let is_broken = end.begin > 0 || matches!(mended, Cow::Owned(_));
        let fields: Vec<Field> = header::fields(&mended).collect();
        let is_any = |field: &Field, names: &[&str]| names.iter().any(|name| field.is(name));
        let is_resent = fields.iter().any(|field| is_any(field, &["Resent-To", "Resent-Cc", "Resent-Bcc"]));
        let to = if is_resent { ["Resent-To", "Resent-Cc", "Resent-Bcc"] } else { ["To", "Cc", "Bcc"] };
        let author = |name: &str| {
            let field = fields.iter().find(|field| field.is(name))?;
            address::author(&field.value(), None).mailboxes.into_iter().find_map(|mailbox| mailbox.address)
        };
        let resent_from = is_resent.then(|| author("Resent-From")).flatten();
        let from = resent_from.or_else(|| author("From"));
        let mut sorted = Self { body: end.body, from, ..Self::default() };
        let mut seen = HashSet::new();
        for field in &fields {
            if reads_recipients && is_any(field, &to) {
                let found = read(&field.value()).map_err(|problem| format!("a recipient: {problem}"))?;
                sorted.recipients.extend(found.into_iter().filter(|address| seen.insert(address.clone())));
            }
            sorted.has_from |= field.is("From");
            // Whoever stands there is a recipient now; the shim drops what another caller leaves in.
            let is_dropped = reads_recipients && is_any(field, &["Bcc", "Resent-Bcc"]);
            if !is_broken && !is_dropped {
                sorted.header.extend_from_slice(field.raw());
            }
        }
        if is_broken {
            // Not even a Bcc goes: without that field the rest might no longer be a header to the shim.
            sorted.noise.extend_from_slice(&letter.held[..end.begin]);
            sorted.header.extend_from_slice(&letter.held[end.begin..end.fields]);
        }
        // The message may end inside its header.
        if !sorted.header.is_empty() && !sorted.header.ends_with(b"\r\n") {
            sorted.header.extend_from_slice(b"\r\n");
        }
        Ok(sorted)
    }
}

/// The addresses in To, Cc, Bcc or an argument: all of them.
///
/// # Errors
/// The text that was not understood.
pub(super) fn read(value: &Value) -> Result<Vec<Address>, String> {
    let login = letter::login_name();
    // Local names that mail is sent to; any other word without a domain may be a piece of a display name.
    let is_user = |name: &str| {
        ["root", "postmaster", "webmaster", "www-data"].iter().any(|user| user.eq_ignore_ascii_case(name))
            || login.as_ref().is_some_and(|login| login.as_str() == name)
    };
    let found = address::recipients(value, &is_user).map_err(|problem| printable(&problem))?;
    Ok(found.into_iter().filter_map(|mailbox| mailbox.address).collect())
}

/// Writes the From that is missing, where the caller gave what to write.
pub(super) fn prepend_from(header: &mut Vec<u8>, full_name: Option<&str>, address: Option<&Address>) {
    let Some(address) = address else { return };
    let phrase = full_name.and_then(phrase::phrase_of_text);
    let mut from = Vec::new();
    header::append(&mut from, "From", &address::written(phrase.as_deref(), address));
    from.append(header);
    *header = from;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(text: &str, reads_recipients: bool) -> Result<(Sorted, String), String> {
        let letter = Letter::read(text.as_bytes(), true).unwrap();
        let sorted = Sorted::of(&letter, reads_recipients)?;
        let body = String::from_utf8(letter.held[sorted.body..].to_vec()).unwrap();
        Ok((sorted, body))
    }

    /// Recipients, header and body.
    fn read(text: &str) -> (Vec<String>, String, String) {
        let (sorted, body) = sorted(text, true).unwrap();
        let recipients = sorted.recipients.iter().map(ToString::to_string).collect();
        (recipients, String::from_utf8(sorted.header).unwrap(), body)
    }

    #[test]
    fn recipients_come_from_to_cc_and_bcc_and_bcc_goes() {
        let (recipients, header, body) = read(
            "To: a@b.c,\n Ann <d@e.f>\nBcc: secret@b.c,\n\thidden@b.c\ncc: a@b.c, team: g@h.i, j@k.l;\nSubject: s\n\nbody\n",
        );
        assert_eq!(recipients, ["a@b.c", "d@e.f", "secret@b.c", "hidden@b.c", "g@h.i", "j@k.l"]);
        assert_eq!(header, "To: a@b.c,\r\n Ann <d@e.f>\r\ncc: a@b.c, team: g@h.i, j@k.l;\r\nSubject: s\r\n");
        assert_eq!(body, "body\r\n");
        assert_eq!(read("To: undisclosed-recipients:;\nBcc: x@b.c\n\n").0, ["x@b.c"]);
    }

    /// Nobody is lost where a block is broken: it is read as the shim reads it.
    #[test]
    fn a_broken_header_block_is_read_as_the_shim_reads_it() {
        for (text, expected) in [
            ("To: One <a@f.g>,\nTwo <b@f.g>\nBcc: c@f.g\nSubject: s\n\nbody\n", "a@f.g b@f.g c@f.g"),
            ("\u{feff}To: a@f.g\nCc: b@f.g\n\nbody\n", "a@f.g b@f.g"),
            ("\nTo: a@f.g\nBcc: b@f.g\n\nbody\n", "a@f.g b@f.g"),
            (
                "To: one@f.g two@f.g\nCc: Doe, John <j@f.g>, Roe, Jane <r@f.g>\n\nbody\n",
                "one@f.g two@f.g j@f.g r@f.g",
            ),
        ] {
            let (recipients, _, body) = read(text);
            assert_eq!((recipients.join(" ").as_str(), body.as_str()), (expected, "body\r\n"), "{text:?}");
        }
        for text in [
            "Subject: s\nTo: a@f.g\nhello\nCc: b@f.g\nbye\n\n",
            "To: a@f.g\nhello\nBcc: b@f.g\nbye\n\n",
            "To: a@f.g <b@f.g>\n\n",
            "To: a\u{200b}x@f.g\n\n",
        ] {
            assert!(sorted(text, true).is_err(), "{text:?}");
        }
        assert!(sorted("To: a\u{200b}x@f.g\n\n", true).unwrap_err().contains("U+200B"));
    }

    /// What is broken goes to the shim as it came, so that its log says what it mended: it must find the same fields, with
    /// a From before them too.
    #[test]
    fn a_broken_block_is_mended_by_the_shim_alike() {
        for (text, block) in [
            (
                "To: One <a@f.g>,\nTwo <b@f.g>\nBcc: c@f.g\n\n",
                "To: One <a@f.g>,\r\n Two <b@f.g>\r\nBcc: c@f.g\r\n",
            ),
            ("\u{feff}To: a@f.g\n\n", "To: a@f.g\r\n"),
            ("\n\n To: a@f.g\nCc: b@f.g\n\n", "To: a@f.g\r\nCc: b@f.g\r\n"),
            ("From root Mon Jan  1\nX: y\nz\nBcc: b@f.g\n\n", "X: y\r\n z\r\nBcc: b@f.g\r\n"),
            ("\u{feff}To: a@f.g\nSubject: s", "To: a@f.g\r\nSubject: s\r\n"),
        ] {
            let (sorted, body) = sorted(text, true).unwrap();
            for from in ["", "From: <x@b.c>\r\n"] {
                let (mut header, author) =
                    (sorted.header.clone(), Address::parse("x@b.c").filter(|_| !from.is_empty()));
                prepend_from(&mut header, None, author.as_ref());
                let sent = [&sorted.noise[..], &header, b"\r\n", body.as_bytes()].concat();
                let end = block::end(&sent, true).unwrap();
                assert_eq!(String::from_utf8_lossy(&end.block(&sent)), format!("{from}{block}"), "{text:?}");
                assert_eq!(&sent[end.body..], body.as_bytes(), "{text:?}");
                let repairs = end.repairs(&sent);
                assert!(repairs.noise || !repairs.continued.is_empty(), "{text:?}");
            }
        }
    }

    /// Between quotes an address is a name. A quote behind a letter is none, nor is one that is never closed.
    fn is_quoted(field: &str, address: &str) -> bool {
        let closed = |text: &str| {
            let mut escaped = false;
            text.find(|c: char| {
                let is_it = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                is_it
            })
        };
        let mut rest = field;
        let mut before = ' ';
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            if c == '"' && !before.is_alphanumeric() {
                let Some(end) = closed(rest) else { return false };
                if rest[..end].contains(address) {
                    return true;
                }
                rest = &rest[end + 1..];
            } else if c == '\\' {
                rest = rest.get(rest.chars().next().map_or(0, char::len_utf8)..).unwrap_or("");
            }
            before = c;
        }
        false
    }

    /// Whatever breaks a header, each address of To, Cc and Bcc is a recipient, or the whole is refused.
    #[test]
    fn no_address_is_lost_in_silence() {
        let parts = [
            "a1@f.g",
            "Ann <a2@f.g>",
            "Doe, John <a3@f.g>",
            "<a4@f.g>",
            "\"x, y\" <a5@f.g>",
            "5\" <a6@f.g>",
            "Big Smile :( <a7@f.g>",
            "a8@f.g a9@f.g",
            "My Team: a0@f.g;",
            "root",
            "M\u{fc}ller",
            "(",
            "\"",
            "<",
            ">",
            "=?utf-8?q?b=40f=2Eg?=",
            "\\",
        ];
        let joints = [", ", ",\n ", ",\n", " ", "; ", "\n\t", "\n"];
        let mut state: u32 = 2_463_534_242;
        let mut below = |limit: usize| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as usize % limit
        };
        let (mut taken, mut refused) = (0, 0);
        for _ in 0..20_000 {
            let mut text = String::new();
            let mut expected = Vec::new();
            for name in ["To", "Cc", "Bcc"] {
                let mut field = format!("{name}: ");
                for _ in 0..=below(3) {
                    field += parts[below(parts.len())];
                    field += joints[below(joints.len())];
                }
                // A line end here would be the blank line that ends the block.
                text += field.trim_end();
                text += "\n";
                let addresses = (0..=9).map(|n| format!("a{n}@f.g"));
                expected.extend(addresses.filter(|it| field.contains(it)).map(|it| (it, field.clone())));
            }
            text += "Subject: s\n\nbody\n";
            match sorted(&text, true) {
                Ok((sorted, _)) => {
                    taken += 1;
                    let found: Vec<&str> = sorted.recipients.iter().map(Address::as_str).collect();
                    for (address, field) in &expected {
                        assert!(
                            found.contains(&address.as_str()) || is_quoted(field, address),
                            "{address}: {found:?}\n{text}"
                        );
                    }
                }
                Err(_) => refused += 1,
            }
        }
        assert!(taken > 3_000 && refused > 3_000, "the generator: {taken} {refused}");
    }

    #[test]
    fn a_resent_message_goes_to_those_it_is_resent_to() {
        let text =
            "From: a@b.c\nTo: x@y.z\nResent-From: r@b.c\nResent-To: d@e.f\nResent-Bcc: g@h.i\n\nbody\n";
        let (sorted, _) = sorted(text, true).unwrap();
        assert_eq!(sorted.recipients.iter().map(Address::as_str).collect::<Vec<_>>(), ["d@e.f", "g@h.i"]);
        assert_eq!(sorted.from.unwrap().as_str(), "r@b.c");
        assert_eq!(
            String::from_utf8(sorted.header).unwrap(),
            "From: a@b.c\r\nTo: x@y.z\r\nResent-From: r@b.c\r\nResent-To: d@e.f\r\n"
        );
    }

    #[test]
    fn without_t_the_header_says_nothing_about_recipients() {
        let (sorted, _) = sorted("To: not an address\nBcc: x@b.c\n\n", false).unwrap();
        assert_eq!(sorted.recipients, []);
        assert_eq!(sorted.header, b"To: not an address\r\nBcc: x@b.c\r\n");
    }

    #[test]
    fn a_body_without_a_header_is_all_body() {
        for (text, header, body) in [
            ("hello world\n", "", "hello world\r\n"),
            ("\nhello\n", "", "hello\r\n"),
            ("", "", ""),
            ("Subject: s\nhello world\n", "Subject: s\r\n", "hello world\r\n"),
            ("Subject: s", "Subject: s\r\n", ""),
            ("From root Mon Jan  1 00:00:00 2026\nSubject: s\n\nb\n", "Subject: s\r\n", "b\r\n"),
            ("To: a@b.c\n\n.x\n.\nbehind\n", "To: a@b.c\r\n", ".x\r\n"),
        ] {
            let (sorted, seen) = sorted(text, false).unwrap();
            assert_eq!((sorted.header.as_slice(), seen.as_str()), (header.as_bytes(), body), "{text:?}");
        }
    }

    #[test]
    fn a_recipient_that_is_no_address_stops_all() {
        for text in ["To: a@b.c, not an address\n\n", "Bcc: <>\n\n", "Cc: a@b@c\n\n"] {
            assert!(sorted(text, true).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_header_without_an_end_is_refused() {
        let text = "X: y\n".repeat(300_000);
        assert!(sorted(&text, true).unwrap_err().contains("the header is longer than"));
    }

    #[test]
    fn a_missing_from_is_made_of_the_flags() {
        let made = |name: Option<&str>, address: &str| {
            let mut header = b"To: x@y.z\r\n".to_vec();
            prepend_from(&mut header, name, Address::parse(address).as_ref());
            String::from_utf8(header).unwrap()
        };
        assert_eq!(made(Some("Ann Other"), "a@b.c"), "From: Ann Other <a@b.c>\r\nTo: x@y.z\r\n");
        assert_eq!(made(None, "a@b.c"), "From: <a@b.c>\r\nTo: x@y.z\r\n");
        assert_eq!(made(Some("Ann"), ""), "To: x@y.z\r\n");
    }
}
