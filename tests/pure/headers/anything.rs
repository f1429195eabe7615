//! Whatever the app sends, what Office 365 gets is one message: no bare CR or LF, no line that ends it early, the app's
//! body behind one header block that holds no Bcc and, but under `keep`, one From. The generator is deterministic.

use std::collections::BTreeMap;

use bytes::BytesMut;
use mailshim::testing::message::refusal::Refusal;
use mailshim::testing::message::repair::Note;
use mailshim::testing::smtp::data::{ContentReader, DotStuffer};

use super::{envelope, policy, rule, send};

/// xorshift64*: the same messages in each run.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }

    pub(super) fn pick<'a>(&mut self, from: &[&'a [u8]]) -> &'a [u8] {
        from[self.below(from.len())]
    }
}

const NAMES: [&[u8]; 14] = [
    b"From",
    b"from ",
    b"Sender",
    b"Reply-To",
    b"Bcc",
    b"bCC\t",
    b"Resent-Bcc",
    b"Resent-From",
    b"Date",
    b"Subject",
    b"Message-ID",
    b"Content-Type",
    b"Auto-Submitted",
    b"X-\xff",
];
const PARTS: [&[u8]; 30] = [
    b"a@contoso.com",
    b"root",
    b"root@localhost",
    b"<",
    b">",
    b"\"",
    b"(",
    b")",
    b",",
    b";",
    b":",
    b"\\",
    b"@",
    b" ",
    b"\t",
    b".",
    b"\0",
    b"\xfc",
    b"\xc3\xbc",
    b"=?utf-8?Q?x?=",
    b"=?",
    b"?=",
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n ",
    b"\r\n\t\r\n",
    b"\n.\n",
    b"\r\n.\r\n",
    b"x@y.example",
];

fn message(random: &mut Random) -> Vec<u8> {
    let mut message = Vec::new();
    if random.below(20) == 0 {
        message.extend_from_slice(b"From root Mon Jan  1 00:00:00 2026\n");
    }
    for _ in 0..random.below(8) {
        message.extend_from_slice(random.pick(&NAMES));
        message.extend_from_slice(random.pick(&[b":", b": ", b"", b" :"]));
        for _ in 0..random.below(9) {
            message.extend_from_slice(random.pick(&PARTS));
        }
        message.extend_from_slice(random.pick(&[b"\r\n", b"\r\n", b"\n", b"\r\r\n", b""]));
    }
    message.extend_from_slice(random.pick(&[b"\r\n", b"\n", b""]));
    for _ in 0..random.below(12) {
        message.extend_from_slice(random.pick(&PARTS));
    }
    message
}

/// A message after line-end normalisation, which has tests of its own.
pub(super) fn canonical(message: &[u8]) -> Vec<u8> {
    let mut reader = ContentReader::bdat();
    let (mut input, mut out) = (BytesMut::from(message), Vec::new());
    while reader.read(&mut input, usize::MAX, &mut out, usize::MAX) > 0 {}
    assert!(reader.finish(&mut out, usize::MAX));
    out
}

/// Lines of the header block and the rest, as an RFC 5322 reader with no mercy sees them.
pub(super) fn split(content: &[u8]) -> (Vec<Vec<u8>>, &[u8]) {
    let mut lines = Vec::new();
    let mut rest = content;
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
        let (line, behind) = (&rest[..end], &rest[end + 2..]);
        if line.is_empty() {
            return (lines, behind);
        }
        lines.push(line.to_vec());
        rest = behind;
    }
    (lines, rest)
}

fn count(lines: &[Vec<u8>], name: &str) -> usize {
    let is_it = |line: &&Vec<u8>| {
        let line = String::from_utf8_lossy(line).to_ascii_lowercase();
        line.split_once(':')
            .is_some_and(|(found, _)| found.trim_end() == name && !found.starts_with([' ', '\t']))
    };
    lines.iter().filter(is_it).count()
}

#[test]
fn whatever_the_app_sends_one_message_arrives() {
    let settings = BTreeMap::new();
    let envelope = envelope(&settings);
    let policies = ["keep", "repair", "force"].map(|name| (name, policy(&settings, name)));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut sent_count, mut with_body, mut mended, mut shown) = (0, 0, 0, 0);
    for round in 0..30_000 {
        let content = canonical(&message(&mut random));
        let (name, policy) = &policies[round % 3];
        let rule = rule::of(&content);
        let (rewritten, sent) = match send(&envelope, &content, policy) {
            Ok(sent) => sent,
            Err(refusal) => {
                let told = || format!("round {round} {name}:\n{}", content.escape_ascii());
                assert!(refusal == Refusal::BccShown && rule.shows_bcc, "refused, {}", told());
                shown += 1;
                continue;
            }
        };
        let is_mended = [Note::Noise, Note::Continuation].iter().any(|note| rewritten.notes.contains(note));
        let told =
            || format!("round {round} {name}:\n{}\n->\n{}", content.escape_ascii(), sent.escape_ascii());
        sent_count += 1;
        let plain = sent.windows(2).filter(|pair| (pair[0] == b'\r') != (pair[1] == b'\n')).count();
        assert!(plain == 0 && sent.ends_with(b"\r\n") && sent[0] != b'\n', "a bare CR or LF, {}", told());
        let mut wire = Vec::new();
        let mut stuffer = DotStuffer::new();
        stuffer.stuff(&sent, &mut wire);
        stuffer.end(&mut wire);
        let end = wire.windows(5).position(|part| part == b"\r\n.\r\n");
        assert_eq!(end, Some(wire.len() - 5), "it ends early, {}", told());
        let (lines, body) = split(&sent);
        assert!(!rule.shows_bcc, "a Bcc is shown, {}", told());
        assert!(body == &content[rule.body..], "another body, {}", told());
        mended += usize::from(is_mended);
        with_body += usize::from(!body.is_empty());
        for dropped in ["bcc", "resent-bcc"] {
            assert_eq!(count(&lines, dropped), 0, "{}", told());
        }
        let froms = count(&lines, "from");
        assert!(froms == 1 || *name == "keep", "{froms} From fields, {}", told());
        if *name == "force" {
            let from = lines.iter().position(|line| count(std::slice::from_ref(line), "from") == 1).unwrap();
            let until = (from + 1..lines.len())
                .find(|at| !lines[*at].starts_with(b" ") && !lines[*at].starts_with(b"\t"))
                .unwrap_or(lines.len());
            let value = lines[from..until].concat();
            let address: &[u8] = b"app@contoso.com";
            assert!(value.windows(address.len()).any(|part| part == address), "{}", told());
        }
    }
    let counts = format!("{sent_count} sent, {with_body} with a body, {mended} mended, {shown} refused");
    // Three of fourteen names are a Bcc's, and most blocks are broken: that each refusal is right is looked at above.
    assert!(
        sent_count > 25_000 && with_body > 10_000 && mended > 1_000 && shown > 100,
        "the generator: {counts}"
    );
}
