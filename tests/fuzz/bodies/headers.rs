//! The header block: what leaves is one message whose block shows no Bcc, to all recipients of the envelope, with one
//! From; the body is the app's.

use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use mailshim::testing::config::Config;
use mailshim::testing::message::policy::Policy;
use mailshim::testing::message::repair::{self, Original, Stamp};
use mailshim::testing::message::{Envelope, HeldContent, Piece};
use mailshim::testing::smtp::command::{Mail, Recipient};
use mailshim::testing::smtp::data::ContentReader;
use mailshim::testing::smtp::path::Address;

use super::{Choices, cut, is_canonical};

const POLICIES: [&str; 3] = ["keep", "repair", "force"];
const SENDERS: [Option<&str>; 4] =
    [Some("app@contoso.com"), Some("root@localhost"), Some("ceo@contoso.com"), None];

/// The first octet: policy and reverse-path; the second: the pieces in which it comes; then the content.
pub fn fuzz(input: &[u8]) {
    let mut choices = Choices(input);
    let (which, seed) = (choices.below(12), choices.octet());
    let name = POLICIES[which % 3];
    let content = canonical(choices.rest());
    let recipients = ["ann@fabrikam.com", "bob@fabrikam.com"];
    let envelope = Envelope {
        mail: Mail { reverse_path: SENDERS[which / 3].map(address), ..Mail::default() },
        recipients: recipients
            .map(|text| Recipient { address: address(text), notify: None, orcpt: None })
            .to_vec(),
    };
    let pieces = cut(&content, seed).into_iter().map(Bytes::copy_from_slice).collect();
    let Some(sent) = send(&envelope, pieces, &policy(name)) else { return };
    let told = || format!("{name}: {}\n->\n{}", content.escape_ascii(), sent.octets.escape_ascii());
    assert!(is_canonical(&sent.octets) && sent.octets.ends_with(b"\r\n"), "{}", told());
    let kept: Vec<String> = sent.envelope.recipients.iter().map(|r| r.address.to_string()).collect();
    assert_eq!(kept, recipients, "the recipients, {}", told());
    let (lines, body) = split(&sent.octets);
    for name in ["bcc", "resent-bcc"] {
        assert_eq!(count(&lines, name), 0, "a Bcc leaves, {}", told());
    }
    let froms = count(&lines, "from");
    assert!(froms == 1 || name == "keep", "{froms} From fields, {}", told());
    for required in ["date", "message-id", "received"] {
        assert!(count(&lines, required) > 0, "no {required}, {}", told());
    }
    assert!(content.ends_with(body) || body == b"\r\n", "the body is another, {}", told());
}

fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

fn policy(name: &str) -> Policy {
    let variables =
        [("MAILSHIM_MAILBOX", "app@contoso.com"), ("MAILSHIM_PASSWORD", "x"), ("MAILSHIM_FROM_POLICY", name)];
    Config::from_env(variables.map(|(name, value)| (name.into(), value.into()))).expect("a policy").policy
}

fn canonical(octets: &[u8]) -> Vec<u8> {
    let mut reader = ContentReader::bdat();
    let (mut input, mut out) = (BytesMut::from(octets), Vec::new());
    while reader.read(&mut input, usize::MAX, &mut out, usize::MAX) > 0 {}
    assert!(reader.finish(&mut out, usize::MAX));
    out
}

struct Sent {
    envelope: Envelope,
    octets: Vec<u8>,
}

/// The whole way: held, taken out, rewritten, put back. `None`: refused.
fn send(envelope: &Envelope, pieces: Vec<Bytes>, policy: &Policy) -> Option<Sent> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let mut held = HeldContent::in_memory(pieces);
        let block = held.take_header_block().await.ok()??;
        let is_eight_bit = held.kept().any(|chunk| !chunk.is_ascii());
        let original = Original { envelope, header: &block, is_eight_bit };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_507_200);
        let rewritten =
            repair::rewrite(&original, policy, &Stamp { now, id: "6b04", unique: "6b04.0123456789abcdef" })
                .ok()?;
        held.put_header_block(rewritten.block.clone());
        let mut octets = Vec::new();
        while let Piece::Chunk(chunk) = held.next().await {
            octets.extend_from_slice(&chunk);
        }
        assert_eq!(held.octets(), octets.len() as u64, "SIZE and BDAT would lie");
        Some(Sent { envelope: rewritten.envelope, octets })
    })
}

/// Lines of the header block and the rest, as an RFC 5322 reader with no mercy sees them.
fn split(content: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let (mut lines, mut rest) = (Vec::new(), content);
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
        let (line, behind) = (&rest[..end], &rest[end + 2..]);
        rest = behind;
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    (lines, rest)
}

fn count(lines: &[&[u8]], name: &str) -> usize {
    let is_it = |line: &&&[u8]| {
        let end = line.iter().position(|octet| *octet == b':').unwrap_or(0);
        line[..end].trim_ascii_end().eq_ignore_ascii_case(name.as_bytes())
    };
    lines.iter().filter(is_it).count()
}
