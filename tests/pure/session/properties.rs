//! What holds for every input: no panic, the same result however the octets are cut, canonical content, bounded memory.
//! The inputs come from a small generator with a fixed seed, so that a failure is the same on every machine.

use bytes::BytesMut;
use mailshim::testing::session::machine::{Limits, Machine, Step};
use mailshim::testing::smtp::data::{ContentReader, DotStuffer};
use mailshim::testing::smtp::reply::Reply;

/// xorshift64*: no quality is asked of it but to be the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).expect("31 bits") % bound
    }

    fn pick<'a>(&mut self, words: &[&'a [u8]]) -> &'a [u8] {
        words[self.below(words.len())]
    }
}

/// What makes a difference to the machine, and some that should not.
const WORDS: &[&[u8]] = &[
    b"EHLO x\r\n",
    b"HELO\r\n",
    b"MAIL FROM:<a@b>\r\n",
    b"MAIL FROM:<a@b> SIZE=2000\r\n",
    b"RCPT TO:<c@d>\r\n",
    b"RCPT TO:c@d e@f\r\n",
    b"DATA\r\n",
    b"BDAT 5\r\n",
    b"BDAT 3 LAST\r\n",
    b"BDAT 0 LAST\r\n",
    b"BDAT 300\r\n",
    b"BDAT x\r\n",
    b"RSET\r\n",
    b"NOOP\r\n",
    b"QUIT\r\n",
    b"STARTTLS\r\n",
    b"AUTH LOGIN\r\n",
    b"AUTH PLAIN\r\n",
    b"AUTH PLAIN AGEAYg==\r\n",
    b"YQ==\r\n",
    b"*\r\n",
    b"GET / HTTP/1.1\r\n",
    b"\x16\x03\x01",
    b"\r\n.\r\n",
    b".\r\n",
    b".",
    b"..",
    b"\r",
    b"\n",
    b"\r\n",
    b"\0",
    b"\xff",
    b"x",
    b"text\r\n",
    b"MAIL",
    b" ",
    b"\r\r\n",
    b"\n.\n",
    &[b'y'; 700],
];

/// A transaction is under way more often than chance would have it.
const OPENINGS: &[&[u8]] = &[
    b"",
    b"EHLO x\r\n",
    b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n",
    b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
    b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 4\r\nabcd",
];

const CONTENT: &[&[u8]] =
    &[b".", b"..", b"\r", b"\n", b"\r\n", b"\r\n.\r\n", b"\n.\n", b"\r\r\n", b"a", b"bc", b"\0", b"\xff"];

fn words(random: &mut Random, from: &[&[u8]], most: usize) -> Vec<u8> {
    (0..random.below(most)).flat_map(|_| random.pick(from).to_vec()).collect()
}

fn cut<'a>(random: &mut Random, mut octets: &'a [u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    while !octets.is_empty() {
        let most = [1, 3, 20, 400][random.below(4)];
        let (piece, rest) = octets.split_at((1 + random.below(most)).min(octets.len()));
        pieces.push(piece);
        octets = rest;
    }
    pieces
}

fn is_canonical(content: &[u8]) -> bool {
    let mut last = 0;
    for &octet in content {
        if (octet == b'\n') != (last == b'\r') {
            return false;
        }
        last = octet;
    }
    last != b'\r'
}

/// What a machine did: its steps, adjacent content joined.
#[derive(Debug, Default, PartialEq)]
struct Story {
    steps: Vec<Step>,
    content: Vec<u8>,
}

impl Story {
    /// Steps until more is needed; false once the session has ended.
    fn pump(&mut self, machine: &mut Machine) -> bool {
        loop {
            let step = machine.step();
            match &step {
                Step::NeedInput => return true,
                Step::Close(_) => {
                    self.steps.push(step);
                    return false;
                }
                Step::Content(piece) => {
                    assert!(!piece.is_empty() && piece.len() <= 16 * 1024 + 1);
                    self.content.extend_from_slice(piece);
                    continue;
                }
                Step::End => {
                    assert!(is_canonical(&self.content), "{:?}", self.content.escape_ascii().to_string());
                    machine.answer(&Reply::new(250, String::from_utf8_lossy(&self.content)));
                }
                Step::TakePlace => machine.seated(true),
                Step::SignIn(login) => machine.signed_in(login.username.expose() == b"a"),
                // Content that is not wanted may come in any pieces; nobody compares it.
                Step::Begin(_) | Step::Abandoned(_) => self.content.clear(),
                Step::Reply(_) | Step::Notice(_) => {}
            }
            self.steps.push(step);
        }
    }
}

fn told(limits: &Limits, pieces: &[&[u8]]) -> Vec<Step> {
    let (mut machine, mut story) = (Machine::new(limits.clone()), Story::default());
    for piece in pieces {
        machine.received(piece);
        if !story.pump(&mut machine) {
            return story.steps;
        }
        assert!(machine.unread() <= 12_290, "more than one line is kept");
    }
    machine.eof();
    assert!(!story.pump(&mut machine), "a session ends when the app is gone");
    story.steps
}

#[test]
fn however_the_octets_are_cut_the_session_is_the_same() {
    let mut random = Random(0x5eed);
    for round in 0..4_000 {
        let mut input = random.pick(OPENINGS).to_vec();
        input.extend(words(&mut random, WORDS, 24));
        let limits = Limits { login_required: round % 4 == 0, max_message_size: 400, ..super::limits() };
        let whole = told(&limits, &[&input]);
        let pieces = cut(&mut random, &input);
        assert_eq!(told(&limits, &pieces), whole, "round {round}: {}", input.escape_ascii());
    }
}

#[test]
fn each_message_that_begins_ends_once() {
    let mut random = Random(0xb0b);
    for _ in 0..2_000 {
        let mut input = random.pick(OPENINGS).to_vec();
        input.extend(words(&mut random, WORDS, 40));
        let mut is_open = false;
        for step in told(&Limits { max_message_size: 400, ..super::limits() }, &[&input]) {
            match step {
                Step::Begin(_) => assert!(!std::mem::replace(&mut is_open, true), "{}", input.escape_ascii()),
                Step::End | Step::Abandoned(_) => {
                    assert!(std::mem::replace(&mut is_open, false), "{}", input.escape_ascii());
                }
                _ => {}
            }
        }
        assert!(!is_open, "{}", input.escape_ascii());
    }
}

/// Reads DATA's content: what came out, and what was left behind its end.
fn decoded(wire: &[&[u8]]) -> (Vec<u8>, Vec<u8>, bool) {
    let (mut reader, mut input, mut content) = (ContentReader::data(), BytesMut::new(), Vec::new());
    for piece in wire {
        input.extend_from_slice(piece);
        loop {
            let mut out = Vec::new();
            let used = reader.read(&mut input, usize::MAX, &mut out, 7);
            content.extend_from_slice(&out);
            if reader.ended() || (used == 0 && out.is_empty()) {
                break;
            }
        }
    }
    (content, input.to_vec(), reader.ended())
}

#[test]
fn what_is_stuffed_is_read_back() {
    let mut random = Random(0xd07);
    for _ in 0..4_000 {
        // Canonical content of any shape: what the reader itself makes of anything.
        let mut anything = words(&mut random, CONTENT, 30);
        anything.extend_from_slice(b"\r\n.\r\n");
        let (content, _, ended) = decoded(&[&anything]);
        assert!(ended && is_canonical(&content));
        let (mut stuffer, mut wire) = (DotStuffer::new(), Vec::new());
        for piece in cut(&mut random, &content) {
            stuffer.stuff(piece, &mut wire);
        }
        stuffer.end(&mut wire);
        assert!(is_canonical(&wire));
        wire.extend_from_slice(b"QUIT\r\n");
        let pieces = cut(&mut random, &wire);
        assert_eq!(decoded(&pieces), (content, b"QUIT\r\n".to_vec(), true), "{}", anything.escape_ascii());
    }
}

/// A server that takes LF.LF, CR.CR or any mixture for the end must find none in what we send but the real one.
#[test]
fn nothing_that_we_send_looks_like_an_end_to_a_careless_server() {
    let mut random = Random(0x5);
    for _ in 0..4_000 {
        let mut anything = words(&mut random, CONTENT, 30);
        anything.extend_from_slice(b"\r\n.\r\n");
        let (content, _, _) = decoded(&[&anything]);
        let (mut stuffer, mut wire) = (DotStuffer::new(), Vec::new());
        stuffer.stuff(&content, &mut wire);
        stuffer.end(&mut wire);
        let careless = wire.split(|octet| matches!(octet, b'\r' | b'\n'));
        assert_eq!(careless.filter(|line| line == b".").count(), 1, "{}", wire.escape_ascii());
    }
}

#[test]
fn ten_megabytes_without_a_line_end_are_not_kept() {
    let mut machine = Machine::new(super::limits());
    for _ in 0..640 {
        machine.received(&[b'x'; 16 * 1024]);
        while machine.step() != Step::NeedInput {}
        assert!(machine.unread() <= 12_290);
    }
    machine.received(b"\r\n");
    let Step::Reply(reply) = machine.step() else { panic!("no reply") };
    assert!(reply.starts_with(b"500 5.5.2"), "{reply:?}");
}

#[test]
fn endless_pipelined_commands_are_answered_as_they_are_read() {
    let mut machine = Machine::new(super::limits());
    let commands = b"NOOP\r\n".repeat(2000);
    for _ in 0..100 {
        machine.received(&commands);
        let before = machine.unread();
        // Each step takes one command: the driver that stops asking has nothing made for it.
        assert!(matches!(machine.step(), Step::Reply(_)));
        assert!(before - machine.unread() <= 6);
        while machine.step() != Step::NeedInput {}
        assert_eq!(machine.unread(), 0);
    }
}

/// Pieces are counted by their length: one whose memory were larger would break the bound on what is held.
#[test]
fn content_in_tiny_writes_and_tiny_chunks_is_handed_over_in_full_pieces() {
    let limits = Limits { max_message_size: 1 << 20, ..super::limits() };
    let opening = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n";
    let pieces = |octets: &[u8], at_once: usize| {
        let mut machine = Machine::new(limits.clone());
        machine.received(opening);
        let mut pieces = Vec::new();
        for part in octets.chunks(at_once) {
            machine.received(part);
            loop {
                match machine.step() {
                    Step::NeedInput => break,
                    Step::Content(piece) => pieces.push(piece.len()),
                    Step::End => return pieces,
                    _ => {}
                }
            }
        }
        panic!("no end")
    };
    let data = [b"DATA\r\n", &b"x".repeat(40_000)[..], b"\r\n.\r\n"].concat();
    assert_eq!(pieces(&data, 1), [16_384, 16_384, 7_234]);
    let chunks = [&b"BDAT 1\r\nx".repeat(40_000)[..], b"BDAT 0 LAST\r\n"].concat();
    assert_eq!(pieces(&chunks, 1000), [16_384, 16_384, 7_234]);
}
