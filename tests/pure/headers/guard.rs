//! Who may send is limited: whatever an app writes into the fields of an author, what leaves shows nobody else to any
//! reader, or nothing leaves.

use std::collections::BTreeMap;

use mailshim::testing::message::refusal::Refusal;

use super::anything::{Random, canonical, split};
use super::{envelope, policy, send};

const ALLOWED: &str = "app@contoso.com";

const FIELDS: [&[u8]; 6] = [b"From", b"From", b"from ", b"Sender", b"Resent-From", b"Resent-Sender"];
const PIECES: [&[u8]; 34] = [
    b"app@contoso.com",
    b"<app@contoso.com>",
    b"ceo@contoso.com",
    b"<ceo@contoso.com>",
    b"<ceo(c)@contoso.com>",
    b"<ceo @contoso.com>",
    b"<@x:ceo@contoso.com>",
    b"\"ceo@contoso.com\"",
    b"(ceo@contoso.com)",
    b"\"ceo\"@contoso.com",
    b"=?utf-8?Q?ceo=40contoso.com?=",
    b"=?utf-8?Q?x,ceo@contoso.com,x?=",
    b"=?utf-8?Q?x(?=",
    b"=?utf-8?Q?Name?=",
    b"Name",
    b"\"Doe, J\"",
    b"\"",
    b"\\\"",
    b"\\",
    b"(",
    b")",
    b"<",
    b">",
    b",",
    b";",
    b":",
    b"@",
    b" ",
    b" ",
    b"\t",
    b"\r\n ",
    b"\0",
    b"\xfc",
    b"root@localhost",
];

fn message(random: &mut Random) -> Vec<u8> {
    let mut message = Vec::new();
    for _ in 0..=random.below(3) {
        message.extend_from_slice(random.pick(&FIELDS));
        message.extend_from_slice(b":");
        match random.below(4) {
            // The bare forms often enough that some mail leaves.
            0 => message.extend_from_slice(random.pick(&[b" app@contoso.com", b" Name <app@contoso.com>"])),
            _ => (0..=random.below(5)).for_each(|_| message.extend_from_slice(random.pick(&PIECES))),
        }
        message.extend_from_slice(b"\r\n");
    }
    if random.below(4) == 0 {
        message.extend_from_slice(b"DKIM-Signature: v=1; h=from:sender; b=x\r\n");
    }
    message.extend_from_slice(b"\r\nbody\r\n");
    message
}

/// A reader of address fields, and what it does not know of: two of them may see different senders.
#[derive(Clone, Copy, Debug)]
struct Reader {
    knows_escapes: bool,
    knows_comments: bool,
}

impl Reader {
    /// The addresses outside of quotes and comments.
    fn addresses(self, value: &str) -> Vec<String> {
        let mut bare = String::new();
        let (mut is_quoted, mut depth) = (false, 0_usize);
        let mut characters = value.chars();
        while let Some(c) = characters.next() {
            match c {
                '\\' if self.knows_escapes && (is_quoted || depth > 0) => drop(characters.next()),
                '"' if depth == 0 => is_quoted = !is_quoted,
                '(' if self.knows_comments && !is_quoted => depth += 1,
                ')' if self.knows_comments && !is_quoted && depth > 0 => depth -= 1,
                c if !is_quoted && depth == 0 => bare.push(c),
                _ => {}
            }
        }
        let words = bare.split(|c: char| c.is_whitespace() || c.is_control() || "<>,;:()\"".contains(c));
        words.filter(|word| word.contains('@')).map(str::to_lowercase).collect()
    }
}

const READERS: [Reader; 4] = [
    Reader { knows_escapes: true, knows_comments: true },
    Reader { knows_escapes: false, knows_comments: true },
    Reader { knows_escapes: true, knows_comments: false },
    Reader { knows_escapes: false, knows_comments: false },
];

/// The values of the fields that name a sender, each unfolded.
fn shown(lines: &[Vec<u8>]) -> Vec<(String, String)> {
    let mut fields: Vec<String> = Vec::new();
    for line in lines {
        let text = String::from_utf8_lossy(line).into_owned();
        match fields.last_mut().filter(|_| text.starts_with([' ', '\t'])) {
            Some(field) => field.push_str(&text),
            None => fields.push(text),
        }
    }
    let fields = fields.iter().filter_map(|field| field.split_once(':'));
    let fields = fields.map(|(name, value)| (name.trim().to_lowercase(), value.to_string()));
    let names = ["from", "sender", "resent-from", "resent-sender"];
    fields.filter(|(name, _)| names.contains(&name.as_str())).collect()
}

fn what_leaves_shows_the_allowed_alone(setting: (&str, &str), reverse_paths: &[&str]) {
    let names = ["keep", "repair", "force"];
    let names = if setting.0 == "login as sender" { &names[..2] } else { &names[..] };
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for name in names {
        let (mut left, mut refused) = (0, 0);
        for round in 0..5_000 {
            let settings =
                BTreeMap::from([setting, ("mail", reverse_paths[random.below(reverse_paths.len())])]);
            let content = canonical(&message(&mut random));
            let Ok((rewritten, sent)) = send(&envelope(&settings), &content, &policy(&settings, name)) else {
                refused += 1;
                continue;
            };
            left += 1;
            let told =
                || format!("round {round} {name}:\n{}\n->\n{}", content.escape_ascii(), sent.escape_ascii());
            let (lines, _) = split(&sent);
            let shown = shown(&lines);
            for (field, value) in &shown {
                for reader in READERS {
                    let addresses = reader.addresses(value);
                    // Who does not know escapes may lose sight of the sender, but must not find another one.
                    let is_enough = !addresses.is_empty() || !reader.knows_escapes;
                    let is_allowed = is_enough && addresses.iter().all(|address| address == ALLOWED);
                    assert!(is_allowed, "{reader:?} sees {addresses:?} in {field}, {}", told());
                }
                assert!(!value.contains('\0'), "{}", told());
            }
            assert!(shown.iter().filter(|(field, _)| field == "from").count() <= 1, "{}", told());
            let envelope = rewritten.envelope.mail.reverse_path.map(|address| address.to_string());
            let has_from = shown.iter().any(|(field, _)| field == "from");
            assert!(envelope.is_some() || has_from, "nobody sends it, {}", told());
            assert!(envelope.is_none_or(|address| address == ALLOWED), "{}", told());
        }
        assert!(left > 100 && refused > 400, "the generator: {name}, {left} left, {refused} refused");
    }
}

#[test]
fn no_shape_of_a_field_passes_the_list_of_senders() {
    what_leaves_shows_the_allowed_alone(("allowed senders", ALLOWED), &[ALLOWED, "<>", "root"]);
}

#[test]
fn no_shape_of_a_field_signs_in_as_one_and_shows_the_other() {
    what_leaves_shows_the_allowed_alone(("login as sender", ALLOWED), &[ALLOWED]);
}

#[test]
fn what_the_report_says_of_each_refusal() {
    let settings = BTreeMap::from([("allowed senders", ALLOWED), ("mail", "<>")]);
    let mail = |from_policy: &str, header: &str| {
        let content = format!("{header}\r\n\r\nbody\r\n");
        send(&envelope(&settings), content.as_bytes(), &policy(&settings, from_policy)).map(|_| ())
    };
    for (header, refusal) in [
        ("From: <ceo(c)@contoso.com>", Some(Refusal::SenderUnclear("From"))),
        ("From: <ceo @contoso.com>", Some(Refusal::SenderNotAllowed("From"))),
        ("From: ceo@contoso.com>", Some(Refusal::SenderUnclear("From"))),
        ("From: <app@contoso.com> <ceo@contoso.com>", Some(Refusal::SenderNotAllowed("From"))),
        ("From: <app@contoso.com>\r\nSender: <ceo(c)@contoso.com>", Some(Refusal::SenderUnclear("Sender"))),
        (
            "From: <app@contoso.com>\r\nResent-From: ceo@contoso.com",
            Some(Refusal::SenderNotAllowed("Resent-From")),
        ),
        ("Subject: nobody", Some(Refusal::NoSender)),
        ("From: The App <app@contoso.com>\r\nSender: app@contoso.com", None),
    ] {
        let result = mail("keep", header).err();
        let is_either = |refusal: &Refusal| {
            matches!(refusal, Refusal::SenderUnclear("From") | Refusal::SenderNotAllowed("From"))
        };
        let is_it = result == refusal
            || result.as_ref().is_some_and(is_either) && refusal.as_ref().is_some_and(is_either);
        assert!(is_it, "{header}: {result:?}");
    }
    // `repair` has the better answer where it can give one.
    assert_eq!(mail("repair", "From: <app@contoso.com>\r\nSender: <ceo(c)@contoso.com>"), Ok(()));
    assert_eq!(mail("repair", "From: =?utf-8?Q?Doe,_J?= <app@contoso.com>"), Ok(()));
}

/// Nobody is refused for the shape of a field where nobody is limited.
#[test]
fn without_a_list_every_shape_leaves() {
    let settings = BTreeMap::new();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..1_000 {
        let content = canonical(&message(&mut random));
        let sent = send(&envelope(&settings), &content, &policy(&settings, "keep"));
        assert!(sent.is_ok(), "{sent:?}\n{}", content.escape_ascii());
    }
}
