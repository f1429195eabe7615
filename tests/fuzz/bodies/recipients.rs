//! Address fields: whoever stands in To, Cc or Bcc is a recipient, or the whole is refused; From's reading never fails,
//! and what is written of either is one line that can be read again.

use mailshim::testing::message::address::{author, recipients, written};
use mailshim::testing::message::header::Value;

use super::Choices;

/// Two readings of the input: as a field of its own, and as the choices by which a list of known addresses is written.
pub fn fuzz(input: &[u8]) {
    raw(input);
    known(input);
}

fn raw(input: &[u8]) {
    let is_utf8 = std::str::from_utf8(input).is_ok();
    let value = Value { text: String::from_utf8_lossy(input).into_owned(), is_utf8 };
    for mailbox in author(&value, None).mailboxes {
        if let Some(address) = mailbox.address {
            one_line(&written(mailbox.phrase.as_deref(), &address));
        }
    }
    let found = match recipients(&value, &|name| name == "root") {
        Ok(found) => found,
        Err(sentence) => return assert!(!sentence.is_empty()),
    };
    for mailbox in found {
        let address = mailbox.address.unwrap_or_else(|| panic!("a recipient without an address: {value:?}"));
        let text = written(mailbox.phrase.as_deref(), &address);
        one_line(&text);
        let again = recipients(&Value { text: text.clone(), is_utf8: true }, &|name| name == "root");
        let again = match again {
            Ok(again) => again,
            // A display name that was encoded may hold what looks like an address: not to guess is right. And RFC 5321
            // lets an address literal hold quotes, which open a string in a header field.
            Err(_) if text.contains("=?") || address.as_str().contains('[') => continue,
            Err(problem) => panic!("{text:?} is not read again: {problem}"),
        };
        let is_there = again.iter().any(|mailbox| mailbox.address.as_ref() == Some(&address));
        assert!(is_there, "{text:?} is read as {again:?}");
    }
}

fn one_line(text: &str) {
    assert!(!text.contains(['\r', '\n', '\0']), "{text:?}");
}

const ADDRESSES: [&str; 6] = [
    "a@b.example",
    "first.last+tag@sub.example.com",
    "\"odd one\"@example.com",
    "o'brien@example.org",
    "x@[192.0.2.1]",
    "verp=a=b.c@example.net",
];
const NAMES: [&str; 8] = [
    "",
    "Ann ",
    "\"Last, First\" ",
    "\"x@not.a.recipient\" ",
    "=?utf-8?Q?J=C3=BCrgen?= ",
    "Jürgen ",
    "(a comment, with a comma) ",
    "\"a \\\" quote; and: more\" ",
];
const SEPARATORS: [&str; 5] = [", ", ",", ",\r\n ", " , ,", ", (nobody) "];

/// A list of known addresses in one of the ways that RFC 5322 allows: all are found, in their order, or it is refused.
fn known(input: &[u8]) {
    let mut choices = Choices(input);
    let (mut text, mut expected) = (String::new(), Vec::new());
    let mut in_group = false;
    for at in 0..choices.below(8) + 1 {
        if at > 0 {
            text.push_str(SEPARATORS[choices.below(SEPARATORS.len())]);
        }
        if !in_group && choices.below(6) == 5 {
            text.push_str("Some group: ");
            in_group = true;
        }
        let address = ADDRESSES[choices.below(ADDRESSES.len())];
        let name = NAMES[choices.below(NAMES.len())];
        text.push_str(name);
        match choices.below(3) {
            0 if !name.is_empty() && !name.starts_with('(') => text.push_str(&format!("<{address}>")),
            1 | 0 => text.push_str(&format!("<{address}> (behind it)")),
            _ if name.is_empty() => text.push_str(address),
            _ => text.push_str(&format!("<{address}>")),
        }
        expected.push(address);
        if in_group && choices.below(3) == 2 {
            text.push(';');
            in_group = false;
        }
    }
    if in_group {
        text.push(';');
    }
    let value = Value { text: text.clone(), is_utf8: true };
    let Ok(found) = recipients(&value, &|_| false) else { return };
    let found: Vec<String> =
        found.iter().filter_map(|mailbox| mailbox.address.as_ref()).map(ToString::to_string).collect();
    for address in expected {
        assert!(
            found.iter().any(|found| found.eq_ignore_ascii_case(address)),
            "{address} is lost: {text:?} -> {found:?}"
        );
    }
}
