//! One message over a signed-in connection.

use std::fmt::Write as _;

use mailshim::testing::message::Envelope;
use mailshim::testing::outcome::{Cause, Fault, Outcome, RecipientOutcome, Stage};
use mailshim::testing::smtp::command::{Body, Mail, Recipient};
use mailshim::testing::smtp::extension::Extensions;
use mailshim::testing::smtp::path::Address;
use mailshim::testing::smtp::reply::Reply;
use mailshim::testing::upstream::transaction::{Framing, Plan, Recipients, Step, Transaction, Verdict};

use super::{PIECES, Replies, reply, shown};

const EXCHANGE: [&str; 8] = [
    "SIZE 157286400",
    "PIPELINING",
    "DSN",
    "ENHANCEDSTATUSCODES",
    "AUTH LOGIN XOAUTH2",
    "8BITMIME",
    "CHUNKING",
    "SMTPUTF8",
];

pub fn extensions(without: &[&str]) -> Extensions {
    let offered = EXCHANGE.iter().filter(|line| !without.iter().any(|name| line.starts_with(name)));
    Extensions::from_ehlo(&Reply {
        code: 250,
        lines: std::iter::once("hello").chain(offered.copied()).map(Into::into).collect(),
    })
}

pub fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

pub fn envelope(recipients: &[&str]) -> Envelope {
    let recipient = |text: &&str| Recipient { address: address(text), notify: None, orcpt: None };
    Envelope {
        mail: Mail {
            reverse_path: Some(address("a@b.c")),
            size: None,
            body: Body::SevenBit,
            ret: None,
            envid: None,
        },
        recipients: recipients.iter().map(recipient).collect(),
    }
}

pub const SMALL: Plan =
    Plan { recipients: Recipients::AllOrNothing, whole: Some(9), eight_bit: false, fresh: true };
const STALE: Plan = Plan { fresh: false, ..SMALL };

/// Runs a transaction with the transcript's own `S:` lines, in whatever pieces they come; what comes out must be the
/// transcript.
#[track_caller]
pub fn transaction(envelope: &Envelope, extensions: &Extensions, plan: Plan, transcript: &str) {
    let expected: Vec<&str> = transcript.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    for piece in PIECES {
        let said = run(envelope, extensions, plan, Replies::new(&expected, piece));
        assert_eq!(said.trim_end().lines().map(str::trim).collect::<Vec<_>>(), expected, "pieces of {piece}");
    }
}

fn run(envelope: &Envelope, extensions: &Extensions, plan: Plan, mut replies: Replies) -> String {
    let mut said = String::new();
    let mut transaction = match Transaction::new(envelope, extensions, plan) {
        Ok(transaction) => transaction,
        Err(fault) => return format!("= impossible, {}", shown(&fault)),
    };
    let mut owed = 0;
    loop {
        match transaction.step() {
            Step::Write(line) => {
                assert!(owed > 0 || replies.is_in_step(), "a reply too many:\n{said}");
                writeln!(said, "C: {line}").unwrap();
                owed += 1;
            }
            Step::Content(framing) => {
                assert!(owed > 0 || replies.is_in_step(), "a reply too many:\n{said}");
                let shown = if framing == Framing::Bdat { "(BDAT LAST)" } else { "(content and dot)" };
                writeln!(said, "C: {shown}").unwrap();
                owed += 1;
            }
            Step::Read(stage) => {
                let (reply, line) =
                    replies.next().unwrap_or_else(|| panic!("no reply left at {stage:?}:\n{said}"));
                writeln!(said, "{line}").unwrap();
                transaction.reply(&reply);
                owed -= 1;
            }
            Step::Done(verdict, after) => {
                let outcome = match verdict {
                    Verdict::Accepted(reply) => Outcome::Accepted(reply),
                    Verdict::Refused(fault) => Outcome::Failed(fault),
                    Verdict::Contradiction(fault) => Outcome::Unknown(fault),
                };
                writeln!(said, "= {after:?}, {}", told(&outcome)).unwrap();
                if plan.recipients == Recipients::EachForItself {
                    let each = transaction.each(&outcome);
                    for (recipient, outcome) in envelope.recipients.iter().zip(&each) {
                        let told = match outcome {
                            RecipientOutcome::Settled(outcome) => told(outcome),
                            RecipientOutcome::NotTried => "not tried".into(),
                        };
                        writeln!(said, "= {}: {told}", recipient.address).unwrap();
                    }
                }
                return said;
            }
        }
    }
}

fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Accepted(reply) | Outcome::Queued(reply) => format!("accepted, {reply}"),
        Outcome::Failed(fault) => format!("refused, {}", shown(fault)),
        Outcome::Unknown(fault) => format!("unknown, {}", shown(fault)),
    }
}

#[test]
fn one_small_mail_to_one_recipient_is_one_flight() {
    let transcript = "
        C: MAIL FROM:<a@b.c> SIZE=9
        C: RCPT TO:<x@y.z>
        C: (BDAT LAST)
        S: 250 2.1.0 Sender OK
        S: 250 2.1.5 Recipient OK
        S: 250 2.0.0 OK
        = Keep, accepted, 250 2.0.0 OK";
    transaction(&envelope(&["x@y.z"]), &extensions(&[]), SMALL, transcript);
    let largest = Plan { whole: Some(64 * 1024), ..SMALL };
    let transcript = transcript.replace("SIZE=9", "SIZE=65536");
    transaction(&envelope(&["x@y.z"]), &extensions(&[]), largest, &transcript);
}

#[test]
fn otherwise_the_envelope_goes_first() {
    let transcript = "
        C: MAIL FROM:<a@b.c> SIZE=9
        C: RCPT TO:<x@y.z>
        S: 250 2.1.0 Sender OK
        S: 250 2.1.5 Recipient OK
        C: (BDAT LAST)
        S: 250 2.0.0 OK
        = Keep, accepted, 250 2.0.0 OK";
    let one = envelope(&["x@y.z"]);
    transaction(&one, &extensions(&[]), STALE, transcript);
    let larger = Plan { whole: Some(64 * 1024 + 1), ..SMALL };
    transaction(&one, &extensions(&[]), larger, &transcript.replace("SIZE=9", "SIZE=65537"));
    let streamed = Plan { whole: None, ..SMALL };
    transaction(&one, &extensions(&[]), streamed, &transcript.replace(" SIZE=9", ""));
    let declared = Envelope { mail: Mail { size: Some(777), ..one.mail.clone() }, ..one.clone() };
    transaction(&declared, &extensions(&[]), streamed, &transcript.replace("SIZE=9", "SIZE=777"));
    let transcript = "
        C: MAIL FROM:<a@b.c> SIZE=9
        C: RCPT TO:<x@y.z>
        C: RCPT TO:<v@w.z>
        S: 250 2.1.0 Sender OK
        S: 250 2.1.5 Recipient OK
        S: 250 2.1.5 Recipient OK
        C: (BDAT LAST)
        S: 250 2.0.0 OK
        = Keep, accepted, 250 2.0.0 OK";
    transaction(&envelope(&["x@y.z", "v@w.z"]), &extensions(&[]), SMALL, transcript);
}

#[test]
fn without_pipelining_each_reply_is_waited_for() {
    let transcript = "
        C: MAIL FROM:<a@b.c> SIZE=9
        S: 250 2.1.0 Sender OK
        C: RCPT TO:<x@y.z>
        S: 250 2.1.5 Recipient OK
        C: (BDAT LAST)
        S: 250 2.0.0 OK
        = Keep, accepted, 250 2.0.0 OK";
    transaction(&envelope(&["x@y.z"]), &extensions(&["PIPELINING"]), SMALL, transcript);
    let transcript = "
        C: MAIL FROM:<a@b.c> SIZE=9
        S: 250 2.1.0 Sender OK
        C: RCPT TO:<x@y.z>
        S: 250 2.1.5 Recipient OK
        C: DATA
        S: 354 Go ahead
        C: (content and dot)
        S: 250 2.0.0 OK
        = Keep, accepted, 250 2.0.0 OK";
    transaction(&envelope(&["x@y.z"]), &extensions(&["PIPELINING", "CHUNKING"]), SMALL, transcript);
}

#[test]
fn data_is_pipelined_behind_one_recipient_only() {
    let transcript = "
        C: MAIL FROM:<a@b.c> SIZE=9
        C: RCPT TO:<x@y.z>
        C: DATA
        S: 250 2.1.0 Sender OK
        S: 250 2.1.5 Recipient OK
        S: 354 Go ahead
        C: (content and dot)
        S: 250 2.0.0 OK
        = Keep, accepted, 250 2.0.0 OK";
    transaction(&envelope(&["x@y.z"]), &extensions(&["CHUNKING"]), SMALL, transcript);
    let transcript = "
        C: MAIL FROM:<a@b.c> SIZE=9
        C: RCPT TO:<x@y.z>
        C: RCPT TO:<v@w.z>
        S: 250 2.1.0 Sender OK
        S: 250 2.1.5 Recipient OK
        S: 250 2.1.5 Recipient OK
        C: DATA
        S: 354 Go ahead
        C: (content and dot)
        S: 554 5.2.2 mailbox full
        = Keep, refused, Verdict: 554 5.2.2 mailbox full";
    transaction(&envelope(&["x@y.z", "v@w.z"]), &extensions(&["CHUNKING"]), SMALL, transcript);
}

#[test]
fn an_unwanted_354_closes_the_connection_and_no_dot_is_sent() {
    let transcript = "
        C: MAIL FROM:<a@b.c> SIZE=9
        C: RCPT TO:<x@y.z>
        C: DATA
        S: 250 2.1.0 Sender OK
        S: 550 5.1.1 No such user
        S: 354 Go ahead
        = Close, refused, Rcpt about x@y.z: 550 5.1.1 No such user";
    transaction(&envelope(&["x@y.z"]), &extensions(&["CHUNKING"]), SMALL, transcript);
    let transcript =
        transcript.replace("354 Go ahead", "503 5.5.2 Need rcpt command").replace("= Close", "= Reset");
    transaction(&envelope(&["x@y.z"]), &extensions(&["CHUNKING"]), SMALL, &transcript);
}

#[test]
fn a_refusal_in_a_flight_is_the_verdict_and_one_reply_a_command_is_read() {
    let one = envelope(&["x@y.z"]);
    for (replies, verdict) in [
        (
            ["550 5.7.60 Denied", "503 5.5.2 Need mail", "503 5.5.2 Need mail"],
            "refused, Mail: 550 5.7.60 Denied",
        ),
        (["250 OK", "550 5.1.1 No", "503 5.5.2 Need rcpt"], "refused, Rcpt about x@y.z: 550 5.1.1 No"),
        (["250 OK", "451 4.7.0 Later", "503 5.5.2 Need rcpt"], "refused, Rcpt about x@y.z: 451 4.7.0 Later"),
        // Nobody knows what became of content that is taken although its recipient was refused.
        (["250 OK", "550 5.1.1 No", "250 2.0.0 OK"], "unknown, Rcpt about x@y.z: 550 5.1.1 No"),
        (["451 4.3.0 Later", "250 OK", "250 2.0.0 OK"], "unknown, Mail: 451 4.3.0 Later"),
        // A reply out of place is no refusal.
        (["354 What", "250 OK", "354 What"], "unknown, Mail: 354 What"),
        (
            ["354 What", "503 5.5.2 Need mail", "503 5.5.2 Need mail"],
            "refused, Rcpt about x@y.z: 503 5.5.2 Need mail",
        ),
    ] {
        let [mail, rcpt, end] = replies;
        let transcript = format!(
            "C: MAIL FROM:<a@b.c> SIZE=9\nC: RCPT TO:<x@y.z>\nC: (BDAT LAST)\nS: {mail}\nS: {rcpt}\nS: {end}\n= Close, {verdict}"
        );
        transaction(&one, &extensions(&[]), SMALL, &transcript);
    }
}

#[test]
fn a_refusal_before_the_content_sends_none_of_it() {
    let (one, two) = (envelope(&["x@y.z"]), envelope(&["x@y.z", "v@w.z"]));
    let transcript = "
        C: MAIL FROM:<a@b.c> SIZE=9
        C: RCPT TO:<x@y.z>
        S: 550 5.1.7 Bad sender
        S: 503 5.5.2 Need mail command
        = Reset, refused, Mail: 550 5.1.7 Bad sender";
    transaction(&one, &extensions(&[]), STALE, transcript);
    // One refused recipient is enough: nobody gets it.
    for (first, second, about) in [
        ("250 OK", "550 5.1.1 No", "v@w.z: 550 5.1.1 No"),
        ("451 4.7.0 Later", "550 5.1.1 No", "v@w.z: 550 5.1.1 No"),
        ("550 5.1.1 No", "451 4.7.0 Later", "x@y.z: 550 5.1.1 No"),
        ("550 5.1.1 No", "554 5.7.1 Never", "x@y.z: 550 5.1.1 No"),
        ("451 4.7.0 Later", "452 4.5.3 Many", "x@y.z: 451 4.7.0 Later"),
    ] {
        for without in [&[][..], &["CHUNKING"]] {
            let transcript = format!(
                "C: MAIL FROM:<a@b.c> SIZE=9\nC: RCPT TO:<x@y.z>\nC: RCPT TO:<v@w.z>\nS: 250 OK\nS: {first}\nS: {second}\n\
                 = Reset, refused, Rcpt about {about}"
            );
            transaction(&two, &extensions(without), SMALL, &transcript);
        }
    }
    let transcript = "
        C: MAIL FROM:<a@b.c> SIZE=9
        C: RCPT TO:<x@y.z>
        C: RCPT TO:<v@w.z>
        S: 250 OK
        S: 250 OK
        S: 250 OK
        C: DATA
        S: 451 4.3.0 Not now
        = Reset, refused, Content: 451 4.3.0 Not now";
    transaction(&two, &extensions(&["CHUNKING"]), SMALL, transcript);
}

#[test]
fn a_421_ends_it_wherever_it_comes() {
    let one = envelope(&["x@y.z"]);
    let stages = ["Mail", "Rcpt about x@y.z", "Verdict"];
    for (at, stage) in stages.iter().enumerate() {
        let mut transcript =
            String::from("C: MAIL FROM:<a@b.c> SIZE=9\nC: RCPT TO:<x@y.z>\nC: (BDAT LAST)\n");
        transcript.push_str(&"S: 250 OK\n".repeat(at));
        write!(transcript, "S: 421 4.3.2 Bye\n= Close, refused, {stage}: 421 4.3.2 Bye").unwrap();
        transaction(&one, &extensions(&[]), SMALL, &transcript);
    }
    let transcript = "
        C: MAIL FROM:<a@b.c> SIZE=9
        S: 421 4.3.2 Bye
        = Close, refused, Mail: 421 4.3.2 Bye";
    transaction(&one, &extensions(&["PIPELINING"]), SMALL, transcript);
    // What was refused before stays the verdict, though the connection goes.
    let transcript = "
        C: MAIL FROM:<a@b.c> SIZE=9
        C: RCPT TO:<x@y.z>
        C: (BDAT LAST)
        S: 250 OK
        S: 550 5.1.1 No
        S: 421 4.3.2 Bye
        = Close, refused, Rcpt about x@y.z: 550 5.1.1 No";
    transaction(&one, &extensions(&[]), SMALL, transcript);
}

#[test]
fn a_reply_out_of_place_is_no_verdict() {
    let one = envelope(&["x@y.z"]);
    let transcript = "
        C: MAIL FROM:<a@b.c> SIZE=9
        C: RCPT TO:<x@y.z>
        S: 250 OK
        S: 250 OK
        C: (BDAT LAST)
        S: 354 What
        = Close, unknown, Verdict: 354 What";
    transaction(&one, &extensions(&[]), STALE, transcript);
    let transcript = "
        C: MAIL FROM:<a@b.c> SIZE=9
        C: RCPT TO:<x@y.z>
        C: DATA
        S: 250 OK
        S: 250 OK
        S: 250 What
        = Close, refused, Content: 250 What";
    transaction(&one, &extensions(&["CHUNKING"]), SMALL, transcript);
}

#[test]
fn parameters_go_only_where_they_are_offered() {
    let mut envelope = envelope(&["x@y.z"]);
    envelope.mail.ret = Some("HDRS".into());
    envelope.mail.envid = Some("id+2B1".into());
    envelope.recipients[0].notify = Some("SUCCESS,FAILURE".into());
    envelope.recipients[0].orcpt = Some("rfc822;x@y.z".into());
    let eight_bit = Plan { eight_bit: true, ..SMALL };
    for (without, mail, rcpt) in [
        (
            &[][..],
            " SIZE=9 BODY=8BITMIME RET=HDRS ENVID=id+2B1",
            " NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x@y.z",
        ),
        (&["DSN"], " SIZE=9 BODY=8BITMIME", ""),
        (&["DSN", "SIZE"], " BODY=8BITMIME", ""),
        (&["DSN", "SIZE", "8BITMIME"], "", ""),
    ] {
        let transcript = format!(
            "C: MAIL FROM:<a@b.c>{mail}\nC: RCPT TO:<x@y.z>{rcpt}\nC: (BDAT LAST)\nS: 250 2.1.0 OK\nS: 250 2.1.5 OK\nS: 250 2.6.0 OK\n\
             = Keep, accepted, 250 2.6.0 OK"
        );
        transaction(&envelope, &extensions(without), eight_bit, &transcript);
    }
    envelope.mail.reverse_path = None;
    let transcript = "
        C: MAIL FROM:<>
        C: RCPT TO:<x@y.z>
        C: (BDAT LAST)
        S: 250 2.1.0 OK
        S: 250 2.1.0 OK
        S: 250 2.6.0 OK
        = Keep, accepted, 250 2.6.0 OK";
    transaction(&envelope, &extensions(&["DSN", "SIZE"]), SMALL, transcript);
}

#[test]
fn an_address_that_is_not_ascii_needs_smtputf8() {
    let utf8 = envelope(&["jürgen@y.z"]);
    let transcript = "
        C: MAIL FROM:<a@b.c> SIZE=9 SMTPUTF8
        C: RCPT TO:<jürgen@y.z>
        C: (BDAT LAST)
        S: 250 2.1.0 OK
        S: 250 2.1.0 OK
        S: 250 2.6.0 OK
        = Keep, accepted, 250 2.6.0 OK";
    transaction(&utf8, &extensions(&[]), SMALL, transcript);
    let impossible = "= impossible, Mail: ExtensionMissing(\"SMTPUTF8\")";
    transaction(&utf8, &extensions(&["SMTPUTF8"]), SMALL, impossible);
}

#[test]
fn five_hundred_recipients_go_in_bounded_flights() {
    let names: Vec<String> = (0..500).map(|n| format!("recipient-number-{n}@example.com")).collect();
    let envelope = envelope(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let extensions = extensions(&[]);
    let mut transaction = Transaction::new(&envelope, &extensions, SMALL).unwrap();
    let (mut flight, mut largest, mut flights, mut replies) = (0, 0, 0, 0);
    loop {
        match transaction.step() {
            Step::Write(line) => flight += line.wire().len(),
            Step::Read(_) => {
                flights += usize::from(flight > 0);
                largest = largest.max(flight);
                flight = 0;
                replies += 1;
                transaction.reply(&reply(if replies < 502 { "250 2.1.5 OK" } else { "250 2.6.0 OK" }));
            }
            Step::Content(_) => {}
            Step::Done(verdict, _) => {
                assert_eq!(verdict, Verdict::Accepted(reply("250 2.6.0 OK")));
                break;
            }
        }
    }
    assert_eq!(replies, 502);
    assert!(largest <= 8 * 1024 + 60, "{largest}");
    assert!(flights <= 4, "{flights}");
}

#[test]
fn chunks_owe_replies_before_the_verdict() {
    let (envelope, extensions) = (envelope(&["x@y.z"]), extensions(&[]));
    let streamed = Plan { whole: None, ..SMALL };
    let out_of_step = |late: &str| {
        let cause = Cause::Refused(reply(late));
        Verdict::Contradiction(Fault::new(Stage::Verdict, cause))
    };
    // The replies to two chunks and the last, and to the goodbye: one chunk's reply may have been another's. Where it leads.
    let done = ["250 2.6.0 CHUNK", "250 2.6.0 CHUNK", "250 2.0.0 Done"];
    let with = |goodbye| done.into_iter().chain([goodbye]).collect::<Vec<_>>();
    for (replies, verdict) in [
        (with("221 2.0.0 Bye"), Verdict::Accepted(reply("250 2.0.0 Done"))),
        (with("250 2.0.0 Queued"), out_of_step("250 2.0.0 Queued")),
        (with("554 5.2.0 Never"), out_of_step("554 5.2.0 Never")),
        (with("421 4.3.2 Bye"), out_of_step("421 4.3.2 Bye")),
        (vec!["250 OK", "552 5.3.4 Big", "503 5.5.1 No"], {
            let cause = Cause::Refused(reply("552 5.3.4 Big"));
            Verdict::Refused(Fault::new(Stage::Content, cause))
        }),
        (vec!["250 OK", "552 5.3.4 Big", "250 2.0.0 Done"], {
            let cause = Cause::Refused(reply("552 5.3.4 Big"));
            Verdict::Contradiction(Fault::new(Stage::Content, cause))
        }),
    ] {
        let mut transaction = Transaction::new(&envelope, &extensions, streamed).unwrap();
        let mut left = ["250 OK", "250 OK"].into_iter().chain(replies);
        loop {
            match transaction.step() {
                Step::Write(_) => {}
                Step::Content(_) => (0..2).for_each(|_| transaction.chunk_written()),
                Step::Read(_) => transaction.reply(&reply(left.next().expect("a reply for every command"))),
                Step::Done(was, _) => {
                    assert_eq!(was, verdict);
                    break;
                }
            }
        }
        assert_eq!(left.next(), None);
    }
}

#[test]
fn content_that_was_cut_gets_no_verdict() {
    let (envelope, extensions) = (envelope(&["x@y.z"]), extensions(&[]));
    let streamed = Plan { whole: None, ..SMALL };
    let mut transaction = Transaction::new(&envelope, &extensions, streamed).unwrap();
    let mut left = ["250 OK", "250 OK", "552 5.3.4 Big", "503 5.5.1 No"].into_iter();
    loop {
        match transaction.step() {
            Step::Write(_) => {}
            Step::Content(_) => {
                transaction.chunk_written();
                transaction.chunk_written();
                transaction.reply(&reply(left.next().unwrap()));
                assert!(transaction.is_refused() && transaction.owes_chunk());
                transaction.content_cut();
            }
            Step::Read(_) => transaction.reply(&reply(left.next().unwrap())),
            Step::Done(verdict, after) => {
                assert!(matches!(verdict, Verdict::Refused(_)), "{verdict:?}");
                assert_eq!(after, mailshim::testing::upstream::transaction::After::Reset);
                break;
            }
        }
    }
    assert_eq!(left.next(), None);
}
