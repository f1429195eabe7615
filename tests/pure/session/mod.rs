//! The session machine against transcripts, one file a group of rules, one section a rule; see `transcript.rs` for the
//! format. Each is fed line by line (then every answer must stand where it is written), whole, and octet by octet.
//! `UPDATE_TRANSCRIPTS=1 cargo test --test pure session` writes what the machine says; review the difference.

mod transcript;
mod properties;
mod repeats;

use std::sync::Arc;

use mailshim::testing::session::machine::{Guard, Limits, Machine, Step};
use mailshim::testing::smtp::path::Address;
use mailshim::testing::smtp::reply::Reply;

/// Sections of each file; a file that is lost, or read as empty, must not pass.
const FILES: [(&str, usize); 10] = [
    ("greeting", 12),
    ("addresses", 10),
    ("parameters", 6),
    ("order", 6),
    ("limits", 13),
    ("sign_in", 20),
    ("content", 10),
    ("chunks", 16),
    ("endings", 28),
    ("places", 7),
];

#[test]
fn transcripts() {
    let mut problems = Vec::new();
    for (name, sections) in FILES {
        let path = format!("{}/tests/pure/session/transcripts/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).expect(&path);
        let parsed = transcript::parse(&text);
        if parsed.len() != sections {
            problems.push(format!("{name}.txt has {} sections, not {sections}", parsed.len()));
        }
        if std::env::var_os("UPDATE_TRANSCRIPTS").is_some() {
            std::fs::write(&path, transcript::written_anew(&parsed)).expect(&path);
            continue;
        }
        for section in &parsed {
            problems.extend(section.problems().into_iter().map(|problem| format!("{name}.txt {problem}")));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn limits() -> Limits {
    Limits {
        hostname: "mail.example".into(),
        max_message_size: 1000,
        max_recipients: 3,
        login_required: false,
    }
}

#[test]
fn a_command_line_that_has_begun_is_the_same_until_it_ends() {
    let mut machine = Machine::new(limits());
    let mut seen = Vec::new();
    for octets in ["", "NO", "OP", "\r\n", "NOOP\r\nNO", "OP\r\nN", "x"] {
        machine.received(octets.as_bytes());
        while machine.step() != Step::NeedInput {}
        seen.push(machine.unfinished_line());
    }
    assert_eq!(seen, [None, Some(0), Some(0), None, Some(2), Some(3), Some(3)]);
    // One that is too long has not ended either.
    machine.received(&[b'x'; 20_000]);
    while machine.step() != Step::NeedInput {}
    assert_eq!(machine.unfinished_line(), Some(3));
}

#[test]
fn between_transactions_is_neither_in_an_envelope_nor_in_content_nor_before_the_verdict() {
    let mut machine = Machine::new(limits());
    let mut seen = Vec::new();
    for octets in ["EHLO x\r\n", "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", "BDAT 1\r\nx", "BDAT 0 LAST\r\n"] {
        machine.received(octets.as_bytes());
        while machine.step() != Step::NeedInput {}
        seen.push((machine.is_between_transactions(), machine.is_in_envelope()));
    }
    assert_eq!(seen, [(true, false), (false, true), (false, false), (false, false)]);
    machine.answer(&Reply::new(250, "2.0.0 OK"));
    assert!(machine.is_between_transactions());
}

/// A guard that lets everything pass, with room for so many octets of an envelope.
#[derive(Debug)]
struct Room(usize);

impl Guard for Room {
    fn refuse_sender(&self, _sender: Option<&Address>) -> Option<Reply> {
        None
    }

    fn refuse_recipient(&self, _recipient: &Address) -> Option<Reply> {
        None
    }

    fn keep_envelope(&self, octets: usize) -> bool {
        octets <= self.0
    }
}

/// The codes of the replies to this, and whether content was announced.
fn dialogue(room: usize, octets: &str) -> (Vec<String>, bool) {
    let mut machine = Machine::new(Limits { max_recipients: 500, ..limits() });
    machine.guard(Arc::new(Room(room)));
    machine.received(octets.as_bytes());
    let (mut replies, mut begun) = (Vec::new(), false);
    loop {
        match machine.step() {
            Step::NeedInput => return (replies, begun),
            Step::Reply(reply) => replies.push(String::from_utf8_lossy(&reply[..9]).into_owned()),
            Step::Begin(_) => begun = true,
            Step::End => machine.answer(&Reply::new(250, "2.0.0 OK")),
            _ => {}
        }
    }
}

#[test]
fn without_room_the_content_is_refused_and_never_a_recipient() {
    let envelope = "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\n";
    for (content, replies) in [
        ("DATA\r\nRSET\r\n", ["452 4.3.1", "250 2.0.0"]),
        ("BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", ["452 4.3.1", "250 2.0.0"]),
        ("RSET\r\nNOOP\r\n", ["250 2.0.0", "250 2.0.0"]),
    ] {
        let (said, begun) = dialogue(250, &format!("{envelope}{content}"));
        assert_eq!(said[1..4], ["250 2.1.0", "250 2.1.5", "250 2.1.5"], "{content:?}");
        assert_eq!(said[4..], replies, "{content:?}");
        assert!(!begun);
    }
    let (said, begun) = dialogue(10_000, &format!("{envelope}DATA\r\n.\r\n"));
    assert_eq!(said[4..], ["354 Start", "250 2.0.0"]);
    assert!(begun);
}

#[test]
fn the_recipients_of_one_transaction_are_bounded_in_octets() {
    let recipient = format!("RCPT TO:<c@d> ORCPT=rfc822;{}\r\n", "x".repeat(480));
    let (said, _) = dialogue(usize::MAX, &format!("MAIL FROM:<a@b>\r\n{}DATA\r\n", recipient.repeat(400)));
    let taken = said.iter().filter(|reply| *reply == "250 2.1.5").count();
    assert!((150..300).contains(&taken), "{taken}");
    assert_eq!(said.iter().filter(|reply| *reply == "452 4.5.3").count(), 400 - taken);
    assert_eq!(said.last().unwrap(), "354 Start", "those that were taken get their mail");
    let usual = "RCPT TO:<somebody.with-a-long-name@department.example.com>\r\n".repeat(500);
    let (said, _) = dialogue(usize::MAX, &format!("MAIL FROM:<a@b>\r\n{usual}"));
    assert_eq!(said.iter().filter(|reply| *reply == "250 2.1.5").count(), 500);
}

/// A machine that owes its verdict.
fn at_the_verdict() -> Machine {
    let mut machine = Machine::new(limits());
    machine.received(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\n");
    while machine.step() != Step::End {}
    machine
}

#[test]
fn a_quit_that_waits_is_seen_and_nothing_else_is_taken_for_it() {
    for (waiting, has_quit) in [
        ("", false),
        ("QUIT\r\n", true),
        ("quit\n", true),
        (" Quit \r\n", true),
        // Its line end is lost, as with clients that close at once.
        ("QUIT", true),
        ("RSET\r\nnoop\r\nQUIT\r\n", true),
        ("QUI", false),
        ("NOOP\r\n", false),
        ("RSET\r\nQUITE\r\n", false),
        // A line of the next message.
        ("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nQUIT\r\n.\r\n", false),
        ("BDAT 6\r\nQUIT\r\n", false),
    ] {
        let mut machine = at_the_verdict();
        for octet in waiting.as_bytes() {
            machine.received(&[*octet]);
        }
        assert_eq!(machine.has_quit(), has_quit, "{waiting:?}");
        assert_eq!(machine.unread(), waiting.len());
    }
}

#[test]
fn nothing_is_parsed_before_the_verdict() {
    let mut machine = at_the_verdict();
    machine.received(b"NOOP\r\n");
    machine.eof();
    assert_eq!(machine.step(), Step::NeedInput);
    machine.answer(&Reply::new(250, "2.0.0 OK"));
    assert_eq!(machine.step(), Step::Reply("250 2.0.0 OK\r\n".into()));
    assert_eq!(machine.step(), Step::Reply("250 2.0.0 OK\r\n".into()));
    assert!(matches!(machine.step(), Step::Close(_)));
}

#[test]
fn there_is_no_other_step_behind_the_close() {
    let mut machine = Machine::new(limits());
    machine.received(b"QUIT\r\nMAIL FROM:<a@b>\r\n");
    while !matches!(machine.step(), Step::Close(_)) {}
    machine.received(b"NOOP\r\n");
    machine.eof();
    for _ in 0..3 {
        assert!(matches!(machine.step(), Step::Close(_)));
    }
}

#[test]
fn nothing_of_a_sign_in_is_printed() {
    let mut machine = Machine::new(Limits { login_required: true, ..limits() });
    // "canary" and "hunter2": as they come, decoded, and as the numbers that a vector prints.
    for (line, steps) in [("AUTH LOGIN Y2FuYXJ5\r\n", 2), ("aHVudGVyMg==\r\n", 1)] {
        machine.received(line.as_bytes());
        for _ in 0..steps {
            assert!(matches!(machine.step(), Step::Reply(_) | Step::SignIn(_)));
        }
        let printed = format!("{machine:?}");
        for secret in ["canary", "hunter2", "Y2FuYXJ5", "aHVudGVyMg", "99, 97, 110", "104, 117, 110"] {
            assert!(!printed.contains(secret), "{printed}");
        }
    }
}

/// A reply that is given for as long as it is asked for.
#[derive(Debug)]
struct OnlyAllowed;

impl Guard for OnlyAllowed {
    fn keep_envelope(&self, _octets: usize) -> bool {
        true
    }

    fn refuse_sender(&self, sender: Option<&Address>) -> Option<Reply> {
        sender.filter(|sender| sender.as_str() != "app@b").map(|_| Reply::new(550, "5.7.1 not this sender"))
    }

    fn refuse_recipient(&self, recipient: &Address) -> Option<Reply> {
        (recipient.as_str() != "allowed@d").then(|| Reply::new(550, "5.7.1 not this recipient"))
    }
}

#[test]
fn what_the_policy_refuses_is_no_error_of_the_apps() {
    let mut machine = Machine::new(limits());
    machine.guard(Arc::new(OnlyAllowed));
    let mut says = |line: &str, code: &str| {
        machine.received(line.as_bytes());
        let step = machine.step();
        let Step::Reply(reply) = &step else { panic!("{line}: {step:?}") };
        assert!(reply.starts_with(code.as_bytes()), "{line}: {}", String::from_utf8_lossy(reply));
    };
    says("", "220 ");
    for _ in 0..50 {
        says("MAIL FROM:<ceo@b>\r\n", "550 5.7.1 ");
        says("MAIL FROM:<app@b> SIZE=1001\r\n", "552 5.3.4 ");
    }
    says("MAIL FROM:<app@b>\r\n", "250 ");
    for _ in 0..50 {
        says("RCPT TO:<other@d>\r\n", "550 5.7.1 ");
    }
    says("RCPT TO:<allowed@d>\r\n", "250 ");
    for _ in 0..19 {
        says("NONSENSE\r\n", "500 ");
    }
    says("NOOP\r\n", "250 ");
}
