//! Every header case against its file in `tests/golden/headers`: what the app gives, and what Office 365 gets under each
//! policy that the file names. `UPDATE_GOLDEN=1 cargo test --test pure headers` writes the second half anew.
//!
//! A file holds settings, `--- app`, the message, and for each policy `--- <policy>` with the outcome. `\xNN` is an octet
//! that is not UTF-8.

mod anything;
mod broken;
mod guard;
mod rule;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use mailshim::testing::config::Config;
use mailshim::testing::message::policy::Policy;
use mailshim::testing::message::refusal::Refusal;
use mailshim::testing::message::repair::{self, Original, Rewritten, Stamp};
use mailshim::testing::message::sender::{AddressList, FromPolicy};
use mailshim::testing::message::{Envelope, HeldContent, Piece};
use mailshim::testing::smtp::command::{Body, Mail, Recipient};
use mailshim::testing::smtp::path::Address;

/// Tue, 24 Nov 2026 08:00:00 UTC.
const NOW: Duration = Duration::from_secs(1_795_507_200);
const STAMP: Stamp<'_> = Stamp { now: SystemTime::UNIX_EPOCH, id: "6b04", unique: "6b04.0123456789abcdef" };

/// A policy as the environment would make it.
pub(super) fn policy(settings: &BTreeMap<&str, &str>, from_policy: &str) -> Policy {
    let set = |name: &str, key: &str| settings.get(key).map(|value| (name.to_string(), (*value).to_string()));
    let variables = [
        ("MAILSHIM_MAILBOX", "app@contoso.com"),
        ("MAILSHIM_PASSWORD", "x"),
        ("MAILSHIM_FROM_POLICY", from_policy),
    ];
    let variables = variables.map(|(name, value)| (name.to_string(), value.to_string())).into_iter();
    let more = [
        set("MAILSHIM_FROM", "from"),
        set("MAILSHIM_ALLOWED_SENDERS", "allowed senders"),
        set("MAILSHIM_LOCAL_TO", "local to"),
        set("MAILSHIM_REDIRECT_TO", "redirect to"),
    ];
    let variables = variables.chain(more.into_iter().flatten());
    let config = Config::from_env(variables.map(|(name, value)| (name.into(), value.into()))).unwrap();
    Policy {
        null_sender_stays: settings.contains_key("no sign-in"),
        // Not by the environment, where it asks for an application that signs in.
        login_as_sender: settings.get("login as sender").map(|list| AddressList::parse(list).unwrap()),
        ..config.policy
    }
}

pub(super) fn envelope(settings: &BTreeMap<&str, &str>) -> Envelope {
    let reverse_path = match settings.get("mail").copied().unwrap_or("app@contoso.com") {
        "<>" => None,
        address => Some(Address::parse(address).expect("a reverse-path")),
    };
    let body = if settings.contains_key("8bitmime") { Body::EightBitMime } else { Body::SevenBit };
    let recipients = settings.get("rcpt").copied().unwrap_or("someone@fabrikam.com").split(' ');
    let recipient =
        |text: &str| Recipient { address: Address::parse(text).unwrap(), notify: None, orcpt: None };
    Envelope {
        mail: Mail { reverse_path, body, ..Mail::default() },
        recipients: recipients.map(recipient).collect(),
    }
}

/// The whole way: held, taken out, rewritten, put back.
pub(super) fn send(
    envelope: &Envelope,
    content: &[u8],
    policy: &Policy,
) -> Result<(Rewritten, Vec<u8>), Refusal> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        // In pieces, as it comes from a socket.
        let mut held = HeldContent::in_memory(content.chunks(7).map(|piece| piece.to_vec().into()));
        let Some(block) = held.take_header_block().await.unwrap() else {
            return Err(Refusal::HeaderTooLong);
        };
        let original =
            Original { envelope, header: &block, is_eight_bit: held.kept().any(|chunk| !chunk.is_ascii()) };
        let stamp = Stamp { now: SystemTime::UNIX_EPOCH + NOW, ..STAMP };
        let rewritten = repair::rewrite(&original, policy, &stamp)?;
        held.put_header_block(rewritten.block.clone());
        let mut sent = Vec::new();
        while let Piece::Chunk(chunk) = held.next().await {
            sent.extend_from_slice(&chunk);
        }
        assert_eq!(held.octets(), sent.len() as u64, "SIZE and BDAT would lie");
        Ok((rewritten, sent))
    })
}

fn outcome(envelope: &Envelope, content: &[u8], policy: &Policy) -> String {
    let (rewritten, sent) = match send(envelope, content, policy) {
        Ok(sent) => sent,
        Err(refusal) => return format!("refused: {refusal}\n"),
    };
    let mut text = String::new();
    let sender = rewritten.envelope.mail.reverse_path.as_ref().map_or("", Address::as_str);
    let _ = writeln!(text, "MAIL FROM:<{sender}>");
    for recipient in &rewritten.envelope.recipients {
        let _ = writeln!(text, "RCPT TO:<{}>", recipient.address);
    }
    let notes: Vec<&str> = rewritten.notes.iter().map(|note| note.name()).collect();
    let whose = if rewritten.from_is_ours { "ours" } else { "the app's" };
    let _ = writeln!(text, "changes: {}; From is {whose}\n", notes.join(" "));
    text + &shown(&sent)
}

/// LF for CRLF; octets that are not UTF-8 as `\xNN`.
fn shown(content: &[u8]) -> String {
    let mut text = String::new();
    for chunk in content.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|octet| write!(text, "\\x{octet:02x}").unwrap());
    }
    text.replace("\r\n", "\n")
}

fn content(text: &str) -> Vec<u8> {
    let mut content = Vec::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("\\x") {
        content.extend_from_slice(before.replace('\n', "\r\n").as_bytes());
        content.push(u8::from_str_radix(&behind[..2], 16).expect("two hexadecimal digits"));
        rest = &behind[2..];
    }
    content.extend_from_slice(rest.replace('\n', "\r\n").as_bytes());
    content
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/headers");
    let mut cases: Vec<PathBuf> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

#[test]
fn each_case_is_as_its_file_says() {
    let mut different = Vec::new();
    for path in cases() {
        let text = std::fs::read_to_string(&path).unwrap();
        let (head, rest) = text.split_once("--- app\n").unwrap_or_else(|| panic!("{}", path.display()));
        let settings: BTreeMap<&str, &str> = head
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split_once(": ").unwrap_or((line, "")))
            .collect();
        let app = rest.split("--- ").next().unwrap();
        let mut golden = format!("{head}--- app\n{app}");
        for name in settings["policies"].split(' ') {
            let policy = policy(&settings, name);
            let outcome = outcome(&envelope(&settings), &content(app), &policy);
            let _ = write!(golden, "--- {name}\n{outcome}");
        }
        if golden != text {
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                std::fs::write(&path, golden).unwrap();
            } else {
                different.push(format!("{}:\n{golden}", path.display()));
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn a_header_block_of_256_kib_passes_and_a_longer_one_does_not() {
    let settings = BTreeMap::new();
    for (octets, passes) in [(256 * 1024, true), (256 * 1024 + 1, false), (1 << 20, false)] {
        let start = "From: a@contoso.com\r\nX: ";
        let filler = "x".repeat(octets - start.len() - 2);
        let content = format!("{start}{filler}\r\n\r\nbody\r\n");
        let sent = send(&envelope(&settings), content.as_bytes(), &policy(&settings, "repair"));
        assert_eq!(sent.is_ok(), passes, "{octets}");
        if let Ok((_, sent)) = sent {
            assert!(sent.ends_with(b"xx\r\nDate: Tue, 24 Nov 2026 08:00:00 +0000\r\nMessage-ID: <6b04.0123456789abcdef@contoso.com>\r\n\r\nbody\r\n"));
        }
    }
}

#[test]
fn a_mail_that_comes_a_fourth_time_goes_in_a_circle() {
    let settings = BTreeMap::new();
    let (envelope, policy) = (envelope(&settings), policy(&settings, "repair"));
    let mut content = b"From: a@contoso.com\r\nMessage-ID: <1@a>\r\n\r\nbody\r\n".to_vec();
    for _ in 0..3 {
        content = send(&envelope, &content, &policy).unwrap().1;
    }
    assert_eq!(send(&envelope, &content, &policy), Err(Refusal::Loop));
    // Another shim's fields are hops only.
    let other = Policy { hostname: "fabrikam.com".to_string(), ..policy.clone() };
    assert!(send(&envelope, &content, &other).is_ok());
    let hops = |count: usize| "Received: by x; y\r\n".repeat(count) + "From: a@contoso.com\r\n\r\n";
    assert!(send(&envelope, hops(100).as_bytes(), &policy).is_ok());
    let refused = send(&envelope, hops(101).as_bytes(), &policy);
    assert_eq!(refused, Err(Refusal::TooManyHops(101)));
}

#[test]
fn a_list_of_many_recipients_stays_within_bounds() {
    let settings = BTreeMap::from([("redirect to", "tests@contoso.com")]);
    let mut envelope = envelope(&settings);
    let long = |n: usize| format!("{n}{}@fabrikam.com", "x".repeat(200));
    let recipient = |n| Recipient { address: Address::parse(&long(n)).unwrap(), notify: None, orcpt: None };
    envelope.recipients = (0..1000).map(recipient).collect();
    let (rewritten, _) = send(&envelope, b"\r\nbody\r\n", &policy(&settings, "repair")).unwrap();
    assert_eq!(rewritten.envelope.recipients.len(), 1);
    assert!(rewritten.block.len() < 40 * 1024);
    let text = String::from_utf8(rewritten.block).unwrap();
    assert!(text.lines().all(|line| line.len() <= 998));
    assert!(text.contains("and 850 more"), "{}", text.len());
}

#[test]
fn the_guards_judge_what_the_app_chose() {
    let settings = BTreeMap::from([("allowed senders", "*@contoso.com")]);
    let address = |text: &str| Address::parse(text).unwrap();
    for (from_policy, sender, allowed) in [
        ("repair", "x@contoso.com", true),
        ("repair", "x@fabrikam.com", false),
        // Replaced by what was judged itself, or by MAILSHIM_FROM.
        ("repair", "root@localhost", true),
        ("force", "root", true),
        ("force", "x@fabrikam.com", false),
        ("keep", "root@localhost", false),
    ] {
        let policy = policy(&settings, from_policy);
        assert_eq!(policy.judge_sender(&address(sender)), allowed, "{from_policy} {sender}");
        assert_eq!(policy.refuse_sender(&address(sender)).is_none(), allowed);
    }
    let everybody = BTreeMap::new();
    let mut policy = policy(&everybody, "keep");
    assert_eq!(policy.from_policy, FromPolicy::Keep);
    assert!(policy.judge_sender(&address("root")) && policy.judge_recipient(&address("root")));
    policy.allowed_recipients = Some(AddressList::parse("a@fabrikam.com").unwrap());
    assert!(policy.refuse_recipient(&address("A@FABRIKAM.com")).is_none());
    assert_eq!(policy.refuse_recipient(&address("b@fabrikam.com")).unwrap().code, 550);
}
