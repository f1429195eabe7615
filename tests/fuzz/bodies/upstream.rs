//! The dialogue with a hostile server: no credential before TLS, well-formed lines, and accepted only what a 2xx to the
//! content accepted, with a 2xx to MAIL and to each recipient before it.

use std::time::Duration;

use mailshim::testing::credential::Credential;
use mailshim::testing::message::Envelope;
use mailshim::testing::outcome::Stage;
use mailshim::testing::secret::Secret;
use mailshim::testing::smtp::command::{Mail, Recipient};
use mailshim::testing::smtp::extension::Extensions;
use mailshim::testing::smtp::path::Address;
use mailshim::testing::smtp::reply::{Reply, ReplyReader};
use mailshim::testing::upstream::line::Line;
use mailshim::testing::upstream::opening::{Opening, OpeningStep};
use mailshim::testing::upstream::transaction::{
    After, Framing, Plan, Recipients, Step, Transaction, Verdict,
};
use tokio::time::Instant;

use super::{Choices, cut, is_canonical};

/// The first octet: how we sign in; the second: the form of the mail; the third: the pieces; then the server's octets.
pub fn fuzz(input: &[u8]) {
    let mut choices = Choices(input);
    let (how, form, seed) = (choices.octet(), choices.octet(), choices.octet());
    let mut server = Server::new(choices.rest(), seed);
    let Some(extensions) = open(&mut server, &credential(how)) else { return };
    submit(&mut server, &extensions, form);
}

struct Server<'a> {
    pieces: std::vec::IntoIter<&'a [u8]>,
    reader: ReplyReader,
}

impl<'a> Server<'a> {
    fn new(octets: &'a [u8], seed: u8) -> Self {
        Self { pieces: cut(octets, seed).into_iter(), reader: ReplyReader::default() }
    }

    /// The next reply; `None` where there is none, or none that is one.
    fn reply(&mut self) -> Option<Reply> {
        loop {
            match self.reader.next() {
                Ok(Some(reply)) => {
                    assert!((200..600).contains(&reply.code) && !reply.lines.is_empty());
                    return Some(reply);
                }
                Err(broken) => {
                    assert!(!broken.to_string().contains(|c: char| c.is_control()), "{broken:?}");
                    return None;
                }
                Ok(None) => self.reader.received(self.pieces.next()?),
            }
        }
    }
}

fn credential(how: u8) -> Credential {
    let user = "app@contoso.com".to_string();
    match how % 3 {
        0 => Credential::Xoauth2 {
            user,
            token: Secret::new("the-token".into()),
            generation: 1,
            good_until: Instant::now() + Duration::from_secs(3600),
            fresh: true,
        },
        1 => Credential::Login { user, password: Secret::new("open sesame".into()) },
        _ => Credential::Nobody,
    }
}

fn well_formed(line: &Line) -> &[u8] {
    let wire = line.wire();
    assert!(wire.ends_with(b"\r\n") && is_canonical(wire), "{}", wire.escape_ascii());
    assert_eq!(wire.iter().filter(|octet| **octet == b'\n').count(), 1, "{}", wire.escape_ascii());
    assert!(wire.len() <= 12_290 && !wire.contains(&0), "{}", wire.escape_ascii());
    wire
}

fn open(server: &mut Server<'_>, credential: &Credential) -> Option<Extensions> {
    let mut opening = Opening::new("mail.contoso.com", Some(credential));
    let (mut secured, mut signed_in) = (false, matches!(credential, Credential::Nobody));
    // Greeting, EHLO, STARTTLS, EHLO, AUTH and at most three lines of it.
    for _ in 0..12 {
        let is_auth = match opening.step() {
            OpeningStep::Write(stage, line) => {
                let wire = well_formed(&line);
                let is_auth = stage == Stage::Auth;
                assert!(secured || !is_auth && !line.is_secret(), "in the clear: {}", wire.escape_ascii());
                assert!(secured || wire.starts_with(b"EHLO") || wire == b"STARTTLS\r\n");
                is_auth
            }
            OpeningStep::Read(_) => false,
            OpeningStep::Handshake => {
                assert!(!secured, "TLS in TLS");
                secured = true;
                opening.secured();
                continue;
            }
            OpeningStep::Ready(extensions) => {
                assert!(secured && signed_in, "ready without TLS and sign-in");
                return Some(extensions);
            }
        };
        let reply = server.reply()?;
        signed_in |= is_auth && reply.code == 235;
        opening.reply(&reply).ok()?;
    }
    panic!("the opening has no end")
}

fn submit(server: &mut Server<'_>, extensions: &Extensions, form: u8) {
    let count = 1 + usize::from(form & 1) * 2;
    let each = form & 2 != 0;
    let whole = (form & 4 == 0).then_some(if form & 8 == 0 { 100 } else { 100_000 });
    let recipient = |n: usize| Recipient {
        address: Address::parse(&format!("r{n}@example.com")).expect("an address"),
        notify: None,
        orcpt: None,
    };
    let envelope = Envelope { mail: Mail::default(), recipients: (0..count).map(recipient).collect() };
    let recipients = if each { Recipients::EachForItself } else { Recipients::AllOrNothing };
    let plan = Plan { recipients, whole, eight_bit: form & 16 != 0, fresh: form & 32 == 0 };
    let Ok(mut transaction) = Transaction::new(&envelope, extensions, plan) else { return };
    let (mut mail, mut rcpts, mut end, mut content) = (None, Vec::new(), None, false);
    let (mut goodbye, mut parted) = (false, false);
    loop {
        match transaction.step() {
            Step::Write(line) => {
                let wire = well_formed(&line);
                // A 2xx that may be meant for an earlier command is believed behind a goodbye alone.
                goodbye = wire == b"QUIT\r\n" && end.is_some_and(|code| code / 100 == 2);
                assert!(!content || goodbye, "a command behind the content: {}", wire.escape_ascii());
            }
            Step::Content(framing) => {
                assert!(!std::mem::replace(&mut content, true), "the content twice");
                let is_refused = mail.is_some_and(|code| code / 100 != 2)
                    || rcpts.iter().any(|code| code / 100 != 2) && !each;
                assert!(!is_refused, "content behind a refusal");
                assert!(framing == Framing::Bdat || !extensions.chunking);
                if whole.is_none() && framing == Framing::Bdat {
                    transaction.chunk_written();
                }
            }
            Step::Read(stage) => {
                // The driver makes `Unknown` or another attempt of this.
                let Some(reply) = server.reply() else { return };
                match stage {
                    Stage::Mail => mail = Some(reply.code),
                    Stage::Rcpt => rcpts.push(reply.code),
                    Stage::Wait => parted = reply.code == 221,
                    Stage::Verdict => {
                        assert!(content, "a verdict on nothing");
                        end = Some(reply.code);
                    }
                    _ => {}
                }
                transaction.reply(&reply);
            }
            Step::Done(verdict, after) => {
                if let Verdict::Accepted(reply) = verdict {
                    assert_eq!(Some(reply.code), end, "not the reply to the content");
                    assert!(reply.is_positive() && content, "{reply}");
                    assert_eq!(goodbye, parted, "no goodbye was said: {reply}");
                    assert!(mail.is_some_and(|code| code / 100 == 2), "MAIL was refused");
                    let taken = rcpts.iter().filter(|code| **code / 100 == 2).count();
                    assert!(if each { taken > 0 } else { taken == count }, "{taken} of {count} recipients");
                } else {
                    assert!(after != After::Keep || end.is_some(), "kept without a verdict");
                }
                return;
            }
        }
    }
}
