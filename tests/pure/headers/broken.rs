//! Broken header blocks, generated: whatever line loses its blank, its colon or its place, no Bcc of the header block
//! leaves, and the body's octets stay where no repair is noted. The generator is deterministic.

use std::collections::BTreeMap;

use mailshim::testing::message::refusal::Refusal;
use mailshim::testing::message::repair::Note;

use super::anything::{Random, canonical, split};
use super::{envelope, policy, rule, send};

const BODY: &[u8] = b"Hello,\r\n\r\nSubject: of the talk\r\nBcc: is a word here\r\n.\r\nbye\r\n";
/// Nobody but the shim may see it.
const HIDDEN: &[u8] = b"hidden@fabrikam.com";

/// A header block with what goes wrong in them. The fields that are known to everybody come last, so that what is broken
/// before them is the header's.
fn block(random: &mut Random) -> Vec<u8> {
    let mut block = Vec::new();
    for _ in 0..random.below(3) {
        block.extend_from_slice(random.pick(&[
            b"\xef\xbb\xbf",
            b"\n",
            b"From root Mon Jan  1 00:00:00 2026\n",
            b" ",
        ]));
    }
    let mut lines: Vec<&[u8]> = vec![
        b"From: App <app@contoso.com>",
        b"To: One <one@fabrikam.com>,",
        b" Two <two@fabrikam.com>",
        b"Bcc: hidden@fabrikam.com,",
        b" Hidden <hidden@fabrikam.com>",
        b"Subject: a long",
        b" subject",
        b"Content-Type: text/plain",
    ];
    let broken: [&[u8]; 8] = [
        b"Three <three@fabrikam.com>",
        b"no field at all",
        b"two words: here",
        b": without a name",
        b"<four@fabrikam.com>,",
        b"\xc3\xbcber: x",
        b"From root Mon Jan  1 00:00:00 2026",
        b"\xef\xbb\xbfBcc: hidden@fabrikam.com",
    ];
    for _ in 0..random.below(4) {
        let at = 1 + random.below(lines.len());
        lines.insert(at, broken[random.below(broken.len())]);
    }
    for line in lines {
        // A continuation that lost its blank.
        let line = if random.below(4) == 0 { line.trim_ascii_start() } else { line };
        block.extend_from_slice(line);
        block.extend_from_slice(random.pick(&[b"\n", b"\r\n", b"\r\r\n"]));
    }
    block
}

fn at(octets: &[u8], part: &[u8]) -> Option<usize> {
    octets.windows(part.len()).position(|window| window == part)
}

#[test]
fn no_bcc_of_a_broken_header_block_leaves_and_no_body_changes() {
    let settings = BTreeMap::new();
    let (envelope, policy) = (envelope(&settings), policy(&settings, "repair"));
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let (mut mended, mut refused, mut plain) = (0, 0, 0);
    for round in 0..20_000 {
        let mut content = canonical(&block(&mut random));
        content.extend_from_slice(b"\r\n");
        content.extend_from_slice(BODY);
        let told =
            |sent: &[u8]| format!("round {round}:\n{}\n->\n{}", content.escape_ascii(), sent.escape_ascii());
        let rule = rule::of(&content);
        let (rewritten, sent) = match send(&envelope, &content, &policy) {
            Ok(sent) => sent,
            Err(refusal) => {
                assert!(refusal == Refusal::BccShown && rule.shows_bcc, "refused, {}", told(b""));
                refused += 1;
                continue;
            }
        };
        let (head, body) = split(&sent);
        assert!(!rule.shows_bcc && at(&head.concat(), HIDDEN).is_none(), "a Bcc is shown, {}", told(&sent));
        assert_eq!(
            body.escape_ascii().to_string(),
            content[rule.body..].escape_ascii().to_string(),
            "{}",
            told(&sent)
        );
        // Before the first blank line nobody is shown; behind it all is the app's.
        let blank = if content.starts_with(b"\r\n") { 0 } else { at(&content, b"\r\n\r\n").unwrap() };
        let text = &content[rule.body.min(blank)..blank];
        assert!(at(text, HIDDEN).is_none(), "a Bcc is shown, {}", told(&sent));
        if rewritten.notes.contains(&Note::Continuation) {
            mended += 1;
            assert!(body == BODY, "{}", told(&sent));
        } else {
            plain += 1;
            assert!(body.ends_with(BODY), "{}", told(&sent));
        }
    }
    assert!(mended > 3_000 && refused > 500 && plain > 1_000, "the generator: {mended} {refused} {plain}");
}
