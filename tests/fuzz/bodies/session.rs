//! The session machine: the same dialogue however the octets are cut; a 2xx to content only where the driver accepted
//! it; each message that begins ends once; bounded input.

use mailshim::testing::session::machine::{Limits, Machine, Step};
use mailshim::testing::smtp::reply::Reply;

use super::{Choices, cut, is_canonical};

/// The longest command line, and the least that is kept of anything.
const MAX_UNREAD: usize = 12_290;

/// The first octet: the limits; the second: where the octets are cut; then the dialogue.
pub fn fuzz(input: &[u8]) {
    let mut choices = Choices(input);
    let (options, seed) = (choices.octet(), choices.octet());
    let octets = choices.rest();
    let limits = Limits {
        hostname: "mail.example".into(),
        max_message_size: if options & 1 == 0 { 400 } else { 100_000 },
        max_recipients: 3,
        login_required: options & 2 != 0,
    };
    let whole = told(&limits, options, &[octets]);
    let pieces = cut(octets, seed);
    assert_eq!(told(&limits, options, &pieces), whole, "another dialogue in pieces");
}

/// What the driver thinks of content: some of it is accepted.
fn verdict(content: &[u8]) -> Reply {
    match content.len() % 3 {
        0 => Reply::new(250, format!("2.6.0 accepted {} octets", content.len())),
        1 => Reply::new(451, "4.3.0 Later"),
        _ => Reply::new(554, "5.6.0 Never"),
    }
}

/// Where a session stands, as its own steps tell it.
#[derive(PartialEq)]
enum Standing {
    Commands,
    /// Between Begin and its end, and whether a 354 was said.
    Content {
        data: bool,
    },
    /// The content is not wanted: it is read to its end, and refused once.
    Refusing,
}

fn told(limits: &Limits, options: u8, pieces: &[&[u8]]) -> Vec<Step> {
    let limits = limits.clone();
    let mut machine =
        if options & 4 == 0 { Machine::new(limits.clone()) } else { Machine::newcomer(limits.clone()) };
    let (mut steps, mut content) = (Vec::new(), Vec::new());
    let mut standing = Standing::Commands;
    let mut pieces = pieces.iter();
    let mut ended = false;
    loop {
        let step = machine.step();
        match &step {
            Step::NeedInput => {
                match pieces.next() {
                    Some(piece) => {
                        assert!(machine.unread() <= MAX_UNREAD, "{} octets are kept", machine.unread());
                        machine.received(piece);
                    }
                    None if ended => panic!("more is wanted behind the end"),
                    None => {
                        machine.eof();
                        ended = true;
                    }
                }
                continue;
            }
            Step::Content(piece) => {
                assert!(!piece.is_empty() && piece.len() <= 16 * 1024 + 1);
                content.extend_from_slice(piece);
                continue;
            }
            Step::Begin(envelope) => {
                assert!(standing != (Standing::Content { data: true }), "a message in a message");
                assert!(
                    !envelope.recipients.is_empty() && envelope.recipients.len() <= limits.max_recipients
                );
                assert!(!limits.login_required || steps.iter().any(is_sign_in), "content without a sign-in");
                content.clear();
                standing = Standing::Content { data: false };
            }
            Step::End => {
                assert!(matches!(standing, Standing::Content { .. }), "an end without a beginning");
                assert!(is_canonical(&content), "{}", content.escape_ascii());
                assert!(content.len() as u64 <= limits.max_message_size, "more than SIZE");
                let verdict = verdict(&content);
                machine.answer(&verdict);
                steps.push(step);
                // The very next thing that the app hears is this and nothing else.
                let answer = machine.step();
                assert_eq!(answer, Step::Reply(verdict.encode()));
                steps.push(answer);
                standing = Standing::Commands;
                continue;
            }
            Step::Abandoned(_) => {
                assert!(matches!(standing, Standing::Content { .. }), "nothing to abandon");
                standing = Standing::Refusing;
            }
            Step::Reply(reply) => {
                assert!(reply.ends_with(b"\r\n") && is_canonical(reply), "{}", reply.escape_ascii());
                let is_2xx = reply.starts_with(b"2");
                match standing {
                    // Whatever is said before the verdict, it does not look like one.
                    Standing::Content { data: true } => panic!("a reply in DATA: {}", reply.escape_ascii()),
                    Standing::Content { data: false } if reply.starts_with(b"354") => {
                        standing = Standing::Content { data: true };
                    }
                    Standing::Content { data: false } => {
                        assert!(!reply.starts_with(b"250 2.6.0"), "a verdict before the end");
                    }
                    Standing::Refusing => {
                        // RSET, EHLO and QUIT abandon a message too, and are answered as always.
                        assert!(!is_2xx || !reply.starts_with(b"250 2.6.0"), "a false 250");
                        standing = Standing::Commands;
                    }
                    Standing::Commands => {
                        assert!(!reply.starts_with(b"250 2.6.0"), "a 250 that nobody gave");
                    }
                }
            }
            Step::SignIn(login) => machine.signed_in(login.username.expose() == b"a"),
            Step::TakePlace => {
                assert!(machine.is_newcomer(), "a second place");
                machine.seated(options & 8 == 0);
            }
            Step::Notice(_) => {}
            Step::Close(_) => {
                assert!(!matches!(standing, Standing::Content { .. }), "a message without an end");
                steps.push(step);
                return steps;
            }
        }
        steps.push(step);
    }
}

const fn is_sign_in(step: &Step) -> bool {
    matches!(step, Step::SignIn(_))
}
