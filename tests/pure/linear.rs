//! Twice the octets cost twice the work, in every parser of what others write: an app's commands and content, a mail's
//! header fields, Office 365's replies, the token service's answers. One field that cost a look for each of its octets
//! stopped the process for a minute, since all of it runs in one thread.
//!
//! Measured as this thread's own time on a processor, never by a clock on a wall: eight times the octets may cost
//! twenty-four times the time, where a square would cost sixty-four. The parsers that count their own work have tests
//! beside them (`message/tokens.rs`, `smtp/reply.rs`).

use std::collections::BTreeMap;
use std::hint::black_box;

use bytes::BytesMut;
use mailshim::testing::identity::grant::client_secret;
use mailshim::testing::message::sender::AddressList;
use mailshim::testing::outcome::{Cause, Context, Fault, Outcome, Stage};
use mailshim::testing::redact::{Redactor, printable};
use mailshim::testing::secret::Secret;
use mailshim::testing::smtp::data::{ContentReader, DotStuffer};
use mailshim::testing::smtp::extension::Extensions;
use mailshim::testing::smtp::path::Address;
use mailshim::testing::smtp::reply::Reply;
use mailshim::testing::smtp::{command, path, sasl};
use mailshim::testing::transport::http::Answer;

use super::headers;

const SHORT: usize = 1 << 11;
const LONG: usize = 1 << 14;
/// Where a square would cost seconds.
const NOTHING: u64 = 2_000_000;

/// Nanoseconds of a processor that this thread has used.
fn used() -> u64 {
    // The kernel brings its count up to date when the thread offers its place.
    std::thread::yield_now();
    let counts = std::fs::read_to_string("/proc/thread-self/schedstat").expect("the kernel counts");
    counts.split(' ').next().unwrap().parse().unwrap()
}

fn cost(input: &str, parse: &dyn Fn(&str)) -> u64 {
    let before = used();
    parse(black_box(input));
    used() - before
}

/// Whether the work grows with the text and no faster. The least of some measurements counts: others only add to it.
fn is_linear(text: &dyn Fn(usize) -> String, parse: &dyn Fn(&str)) -> Result<(), String> {
    let (short, long) = (text(SHORT), text(LONG));
    let (mut least, mut most) = (u64::MAX, u64::MAX);
    for _ in 0..5 {
        most = most.min(cost(&long, parse));
        if most <= NOTHING {
            return Ok(());
        }
        least = least.min(cost(&short, parse));
        if most <= 24 * least {
            return Ok(());
        }
    }
    Err(format!("{least} ns for {SHORT} octets, {most} ns for {LONG}"))
}

const SHAPES: [&str; 40] = [
    "x",
    "ü",
    " ",
    "\t",
    "x ",
    "<",
    ">",
    "<a@b.c>",
    "a@b.c,",
    "a@b.c ",
    "\"",
    "\\",
    "\\\"",
    "(",
    ")",
    "(()",
    "[",
    "]",
    "[a b]",
    "[a.b 1T2Z c] ",
    "[BeginDiagnosticData]",
    " Trace ID:",
    "command '",
    "'",
    "=",
    "=?",
    "=?u?q?x?=",
    "@",
    ",",
    ";",
    ":",
    ".",
    "%25",
    "&#",
    "\\u005c",
    "eyJ",
    "eyJ.",
    "dXNlcj",
    "; Failed to process message due to",
    "a=b ",
];

#[track_caller]
fn all_are_linear(what: &str, prefix: &str, parse: &dyn Fn(&str)) {
    for shape in SHAPES {
        let text = |octets: usize| prefix.to_string() + &shape.repeat(octets / shape.len());
        if let Err(problem) = is_linear(&text, parse) {
            panic!("{what}, {prefix}{shape}...: {problem}");
        }
    }
}

#[test]
fn a_square_is_found() {
    let square = |text: &str| {
        let octets = text.as_bytes();
        let pairs =
            (0..octets.len()).step_by(4).map(|at| octets[at..].iter().filter(|o| **o == b'x').count());
        black_box(pairs.sum::<usize>());
    };
    assert!(is_linear(&|octets| "x".repeat(octets), &square).is_err());
}

#[test]
fn commands_and_paths() {
    for prefix in [
        "",
        "MAIL FROM:",
        "MAIL FROM:<a@b> ",
        "RCPT TO:<",
        "RCPT TO:\"",
        "RCPT TO:<a@b> ORCPT=",
        "AUTH PLAIN ",
        "BDAT 1",
    ] {
        all_are_linear("a command", prefix, &|line| drop(black_box(command::parse(line.as_bytes()))));
    }
    all_are_linear("a path", "<", &|text| {
        black_box((path::split(text), path::split_named(text), Address::parse(text), path::is_xtext(text)));
        black_box(path::parameters(text).count());
    });
    all_are_linear("a response", "", &|text| {
        black_box((sasl::decode(text.as_bytes()), sasl::plain(text.as_bytes())));
    });
}

#[test]
fn content_both_ways() {
    for shape in ["x", "\r", "\n", "\r\n", ".", "\r\n.", "\n.\n", "\r\r\n", "\0"] {
        let text = |octets: usize| shape.repeat(octets / shape.len());
        let parse = |text: &str| {
            let (mut reader, mut input) = (ContentReader::data(), BytesMut::from(text));
            let (mut out, mut wire, mut stuffer) = (Vec::new(), Vec::new(), DotStuffer::new());
            loop {
                out.clear();
                let read = reader.read(&mut input, 1_000, &mut out, 1_000);
                stuffer.stuff(&out, &mut wire);
                if reader.ended() || read == 0 && out.is_empty() {
                    break;
                }
            }
            black_box(wire);
        };
        is_linear(&text, &parse).unwrap_or_else(|problem| panic!("{shape:?}: {problem}"));
    }
}

#[test]
fn what_office_365_says() {
    for prefix in [
        "5.2.0 STOREDRV.Submission.Exception:",
        "5.7.57 Client not authenticated to send mail. Error: 535 ",
        "",
    ] {
        all_are_linear("a refusal", prefix, &|text| {
            for stage in [Stage::Auth, Stage::Verdict] {
                let fault = Fault::new(stage, Cause::Refused(Reply::new(550, text)));
                black_box(fault.to_string());
                let reply = Outcome::Failed(fault.clone()).to_reply(&Context::default());
                black_box((reply, Outcome::Unknown(fault).to_reply(&Context::default())));
            }
        });
    }
    all_are_linear("an acceptance", "", &|text| {
        black_box(Outcome::Accepted(Reply::new(250, text)).to_reply(&Context::default()));
    });
    for prefix in ["AUTH ", "SIZE ", ""] {
        all_are_linear("an offer", prefix, &|text| {
            black_box(Extensions::from_ehlo(&Reply { code: 250, lines: vec![String::new(), text.into()] }));
        });
    }
    let lines = |octets: usize| "AUTH LOGIN XOAUTH2\n".repeat(octets / 20);
    let parse = |text: &str| {
        let lines = text.lines().map(str::to_string).collect();
        black_box(Extensions::from_ehlo(&Reply { code: 250, lines }));
    };
    is_linear(&lines, &parse).unwrap();
}

#[test]
fn what_is_said_back() {
    let mut redactor = Redactor::default();
    redactor.add(&"eyJ0.x-_~+/=".repeat(300));
    redactor.add("hunter2~%25");
    all_are_linear("an echo", "", &|text| {
        black_box((redactor.redact(text), printable(text)));
    });
}

#[test]
fn what_the_token_service_says() {
    let request = client_secret("contoso.com", "id", &Secret::new("a&b=c+d %~Qlonger".into()), "scope");
    let answer = |status, body: String| Answer { status, retry_after: None, body: body.into_bytes() };
    for status in [200, 400] {
        all_are_linear("a field of an answer", "", &|text| {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\t', " ");
            let body = format!(
                r#"{{"error":"x","error_description":"{text}","trace_id":"{text}","access_token":"{text}"}}"#
            );
            black_box(request.interpret(&answer(status, body)).is_ok());
        });
        for shape in ["[", "{\"a\":", "{\"error\":\"x\",", "1,", "\"", "<a>"] {
            let text = |octets: usize| shape.repeat(octets / shape.len());
            let parse = |text: &str| {
                black_box(request.interpret(&answer(status, text.to_string())).is_ok());
            };
            is_linear(&text, &parse).unwrap_or_else(|problem| panic!("{shape}: {problem}"));
        }
    }
}

#[test]
fn lists_of_the_operator() {
    all_are_linear("a list", "a@b.c,", &|text| drop(black_box(AddressList::parse(text))));
}

/// Each field that is looked at, once and long, and many times and short, through the policy and the guard.
#[test]
fn header_fields() {
    const NAMES: [&str; 14] = [
        "From",
        "Sender",
        "Reply-To",
        "Resent-From",
        "Resent-Sender",
        "Bcc",
        "Received",
        "DKIM-Signature",
        "Content-Type",
        "Date",
        "Message-ID",
        "MIME-Version",
        "Auto-Submitted",
        "X",
    ];
    let settings = BTreeMap::from([("allowed senders", "*@b.c"), ("mail", "a@b.c")]);
    for from_policy in ["repair", "force"] {
        let (envelope, policy) = (headers::envelope(&settings), headers::policy(&settings, from_policy));
        let parse = |text: &str| drop(black_box(headers::send(&envelope, text.as_bytes(), &policy)));
        // What the policies differ in are the first three.
        for name in if from_policy == "force" { &NAMES[..] } else { &NAMES[..3] } {
            for shape in ["x", "a@b.c,", "<a@b.c>", "\"", "(", "=?", "h=a:", ";", "\r\n ", "=?u?q?x?= "] {
                let line = |octets: usize| format!("{name}: {}\r\n\r\n", shape.repeat(octets / shape.len()));
                is_linear(&line, &parse).unwrap_or_else(|problem| panic!("{name}: {shape}...: {problem}"));
            }
            let field = format!("{name}: a@b.c\r\n");
            let fields = |octets: usize| field.repeat(octets / field.len()) + "\r\n";
            is_linear(&fields, &parse).unwrap_or_else(|problem| panic!("many {name}: {problem}"));
        }
    }
}
