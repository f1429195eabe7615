//! One cell: one fault, once, at one stage, for one form of mail; then a mail without a fault.

use std::fmt;
use std::time::{Duration, Instant};

use office365::{Fault, Stage, Times};
use support::client::Reply;
use support::mails::{large, small};
use support::thread::{Setup, plan};

/// What ends within the cell: a machine under load does everything else in less.
const DEADLINE: Duration = Duration::from_millis(1200);
/// More than any cell may take from the mail to its answer: two deadlines, two pauses, and a machine under load.
const BOUND: Duration = Duration::from_secs(20);
/// How long a closed port stays closed: less than the first pause before another attempt.
const CLOSED: Duration = Duration::from_millis(250);

const SMALL: usize = 1;
const NEXT: usize = 2;
const FIRST: usize = 3;

/// Where it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The token exchange.
    Token,
    /// A stage of the SMTP dialogue.
    At(Stage),
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    Refuse,
    Busy421,
    Temporary,
    Permanent,
    Garbage,
    HalfReply,
    Silence,
    Drip,
    Reset,
    HalfClose,
    Close,
    /// One reply too many.
    Extra,
    /// The same, and the mail is refused after its content.
    ExtraThenRefused,
}

/// The form of the mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// A mail has gone over the connection before.
    pub reused: bool,
    /// More than is held in memory.
    pub streamed: bool,
    pub recipients: usize,
}

/// One cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    pub place: Place,
    /// With CHUNKING; otherwise DATA.
    pub chunking: bool,
    pub trouble: Trouble,
    pub form: Form,
}

/// Over which connection the next mail went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Kept,
    New,
    /// It was not accepted.
    Not(u16),
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub code: u16,
    pub text: String,
    pub copies: usize,
    /// How often MAIL was said for it.
    pub attempts: usize,
    pub next: Next,
    took: Duration,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, chunking, trouble, form } = self;
        let framing = if *chunking { "BDAT" } else { "DATA" };
        write!(f, "{place:?} {trouble:?} {framing} {form:?}")
    }
}

impl Cell {
    /// The fault; `None` where it cannot be (a refused connection is no reply, what is no reply has none too many).
    pub fn fault(&self) -> Option<Fault> {
        let Place::At(stage) = self.place else { return self.token_fault() };
        // At these nothing is replied.
        let no_reply = matches!(stage, Stage::Connect | Stage::Handshake | Stage::Content);
        let reply = |text: &str| Some(Fault::ReplyAt(stage, text.into()));
        match self.trouble {
            // The closed port is no fault of the dialogue: see `run`.
            Trouble::Refuse => (stage == Stage::Connect).then_some(Fault::DropAt(stage)),
            Trouble::Silence => Some(Fault::StallAt(stage)),
            Trouble::Reset => Some(Fault::ResetAt(stage)),
            Trouble::HalfClose => Some(Fault::HalfCloseAt(stage)),
            Trouble::Close => Some(Fault::DropAt(stage)),
            Trouble::Garbage if stage == Stage::Handshake => Some(Fault::TlsGarbage),
            _ if no_reply => None,
            // A mail that is taken has been answered well, or not at all.
            Trouble::Busy421 | Trouble::Temporary | Trouble::Permanent if stage == Stage::Accepted => None,
            Trouble::Busy421 => reply("421 4.3.2 Service not available"),
            Trouble::Temporary => reply("451 4.7.0 Temporary server error. Please try again later. PRX2"),
            Trouble::Permanent => reply("550 5.7.1 Not you, not ever"),
            Trouble::Garbage => Some(Fault::GarbageAt(stage)),
            Trouble::HalfReply => Some(Fault::HalfReplyAt(stage)),
            Trouble::Drip => Some(Fault::DripAt(stage)),
            Trouble::Extra => Some(Fault::ExtraReplyAt(stage)),
            // Behind a refused end nothing else could be refused.
            Trouble::ExtraThenRefused => {
                (!matches!(stage, Stage::Dot | Stage::Accepted | Stage::Rset | Stage::Quit))
                    .then_some(Fault::ExtraReplyAt(stage))
            }
        }
    }

    fn token_fault(&self) -> Option<Fault> {
        let error = |status, error: &str, code, description: &str| {
            Some(Fault::TokenError { status, error: error.into(), code, description: description.into() })
        };
        match self.trouble {
            Trouble::Refuse => Some(Fault::TokenDrop),
            Trouble::Busy421 => Some(Fault::TokenRetryAfter { status: 429, seconds: 1 }),
            Trouble::Temporary => Some(Fault::Token5xx(503)),
            Trouble::Permanent => {
                error(401, "invalid_client", 7_000_215, "AADSTS7000215: Invalid client secret provided.")
            }
            Trouble::Garbage => Some(Fault::TokenGarbage),
            Trouble::HalfReply => Some(Fault::TokenMissing),
            Trouble::Silence => Some(Fault::TokenStall),
            Trouble::Drip => Some(Fault::TokenDrip),
            Trouble::Reset => Some(Fault::TokenReset),
            Trouble::HalfClose => Some(Fault::TokenEndless),
            Trouble::Close => Some(Fault::TokenDrop),
            Trouble::Extra => Some(Fault::TokenTwice),
            Trouble::ExtraThenRefused => None,
        }
    }

    /// Whether this form meets the stage at all.
    pub fn is_met(&self) -> bool {
        let Place::At(stage) = self.place else { return !self.form.reused && self.fault().is_some() };
        let meets = match stage {
            Stage::Data354 => !self.chunking,
            Stage::Chunk => self.chunking && self.form.streamed,
            Stage::Content => self.form.streamed,
            Stage::Connect
            | Stage::Greeting
            | Stage::Ehlo
            | Stage::StartTls
            | Stage::Handshake
            | Stage::Ehlo2
            | Stage::Auth => !self.form.reused,
            _ => true,
        };
        meets && self.fault().is_some()
    }

    fn is_at(&self, stage: Stage) -> bool {
        self.place == Place::At(stage)
    }

    fn mail(&self, setup: &Setup, number: usize, streamed: bool, recipients: usize) -> Reply {
        let content = if streamed { large(number, 400 * 1024) } else { small(number) };
        let names: Vec<String> = (0..recipients).map(|n| format!("r{n}@example.com")).collect();
        let mut app = setup.client();
        app.command("EHLO app").is(250);
        app.submit(&names.iter().map(String::as_str).collect::<Vec<_>>(), &content);
        app.reply()
    }

    fn start(&self) -> Setup {
        let slow = matches!(self.trouble, Trouble::Silence | Trouble::Drip);
        plan()
            .env("MAILSHIM_MAX_CONNECTIONS", "1")
            .settings(|settings| {
                settings.chunking = self.chunking;
                // The first token is asked for at the start.
                settings.token_port_closed = self.place == Place::Token && self.trouble == Trouble::Refuse;
            })
            .deadlines(|deadlines| {
                deadlines.quit = Duration::from_millis(300);
                if self.is_at(Stage::Quit) {
                    deadlines.idle = Duration::from_millis(300);
                }
                if !slow {
                    return;
                }
                match self.place {
                    Place::Token => deadlines.token = DEADLINE,
                    // An accepted mail must not become unknown because the machine is slow.
                    Place::At(Stage::Content | Stage::Dot | Stage::Accepted) => {
                        (deadlines.verdict, deadlines.chunk) = (DEADLINE, DEADLINE);
                    }
                    Place::At(Stage::Connect | Stage::Greeting) => deadlines.greeting = DEADLINE,
                    Place::At(Stage::Handshake) => deadlines.tls = DEADLINE,
                    Place::At(_) => deadlines.command = DEADLINE,
                }
            })
            .fault(self.fault().expect("only cells that can be are run"), self.armed_before())
            .start()
    }

    /// The first token is asked for at the start; every other fault is armed when its mail comes.
    const fn armed_before(&self) -> Times {
        match (self.place, self.trouble) {
            (Place::Token, Trouble::Refuse) => Times::Times(0),
            (Place::Token, _) => Times::Once,
            _ => Times::Times(0),
        }
    }

    /// Runs it.
    ///
    /// # Errors
    /// What must be so whatever the fault was not so.
    pub fn run(&self) -> Result<Seen, String> {
        let setup = self.start();
        if self.form.reused {
            let first = self.mail(&setup, FIRST, false, 1);
            if first.code != 250 {
                return Err(format!("the mail before the fault: {first}"));
            }
        }
        let before = (setup.office365.taken_count(), setup.said("MAIL"));
        let refuses = self.trouble == Trouble::Refuse;
        match (self.place, refuses) {
            (Place::At(_), false) => setup.fault(self.fault().expect("as above"), Times::Once),
            (Place::At(_), true) => setup.office365.refuse_connections(true),
            (Place::Token, _) => {}
        }
        if self.trouble == Trouble::ExtraThenRefused {
            setup.fault(Fault::ReplyAt(Stage::Dot, "554 5.6.0 Corrupt message content".into()), Times::Once);
        }
        if self.is_at(Stage::Rset) {
            setup.fault(Fault::ReplyAt(Stage::Rcpt, "550 5.1.1 No such user".into()), Times::Once);
        }
        let begun = Instant::now();
        let reply = std::thread::scope(|scope| {
            if refuses {
                scope.spawn(|| {
                    std::thread::sleep(CLOSED);
                    setup.office365.refuse_connections(false);
                    setup.office365.refuse_token_connections(false);
                });
            }
            self.mail(&setup, SMALL, self.form.streamed, self.form.recipients)
        });
        let took = begun.elapsed();
        if self.is_at(Stage::Quit) {
            let until = Instant::now() + BOUND;
            while setup.said("QUIT") == 0 {
                if Instant::now() > until {
                    return Err("no goodbye to an idle connection".into());
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let copies = setup.office365.taken_count() - before.0;
        let attempts = setup.said("MAIL") - before.1;
        let connections = setup.office365.stats().connections_opened;
        // What the mail did not come to is not the next one's.
        setup.office365.clear_faults();
        let next_begun = Instant::now();
        let next = self.mail(&setup, NEXT, false, 1);
        if next_begun.elapsed() > BOUND {
            return Err(format!("the next mail took {:?}", next_begun.elapsed()));
        }
        let next = match next.code {
            250 if setup.office365.stats().connections_opened > connections => Next::New,
            250 => Next::Kept,
            code => Next::Not(code),
        };
        // What arrived is what was sent, once it is known how often.
        let mut sent: Vec<Vec<u8>> = vec![small(FIRST); before.0];
        let content = if self.form.streamed { large(SMALL, 400 * 1024) } else { small(SMALL) };
        sent.extend(std::iter::repeat_n(content, copies));
        sent.extend((!matches!(next, Next::Not(_))).then(|| small(NEXT)));
        setup.took(&sent.iter().map(Vec::as_slice).collect::<Vec<_>>());
        Ok(Seen { code: reply.code, text: reply.text, copies, attempts, next, took })
    }

    const fn is_one_ahead(&self) -> bool {
        matches!(self.trouble, Trouble::Extra | Trouble::ExtraThenRefused)
    }

    /// Chunks go ahead of their replies: whether a reply too many is seen before LAST has left is chance.
    const fn copies_are_chance(&self) -> bool {
        matches!(self.place, Place::At(Stage::Chunk)) && self.is_one_ahead()
    }

    /// What was seen, as it stands in the table.
    pub fn shown(&self, seen: &Seen) -> String {
        let Seen { code, copies, attempts, next, .. } = seen;
        let copies = if self.copies_are_chance() { "?".to_string() } else { copies.to_string() };
        let next = match next {
            Next::Kept => "kept".to_string(),
            Next::New => "new".to_string(),
            Next::Not(next) => next.to_string(),
        };
        format!("{code} {copies}/{attempts} {next}")
    }

    /// What DESIGN.md promises and was not so.
    pub fn broken_promises(&self, seen: &Seen) -> Vec<String> {
        let mut broken = Vec::new();
        let mut promise = |holds: bool, what: &str| {
            if !holds {
                broken.push(format!("{what}: {} {}", self.shown(seen), seen.text));
            }
        };
        let is_told_5xx =
            matches!(self.trouble, Trouble::Permanent | Trouble::ExtraThenRefused) || self.is_at(Stage::Rset);
        let about_the_mail = matches!(
            self.place,
            Place::At(Stage::Mail | Stage::Rcpt | Stage::Data354 | Stage::Chunk | Stage::Dot | Stage::Rset)
        );
        let refused_at_the_end = self.trouble == Trouble::ExtraThenRefused;
        // A goodbye is asked for where the verdict may be an earlier reply: what is no goodbye may be the verdict then.
        let nobody_knows = matches!(self.place, Place::At(Stage::Accepted | Stage::Dot))
            || self.is_at(Stage::Quit) && self.form.streamed;
        promise(seen.code != 250 || seen.copies == 1, "false 250 (promise 3)");
        promise(
            seen.code / 100 != 5 || is_told_5xx && (about_the_mail || refused_at_the_end),
            "false 5xx (promise 4)",
        );
        promise(seen.copies <= 1, "a duplicate (promise 5)");
        // Where a server is one reply ahead, no 2xx is believed.
        let is_told = seen.text.contains("may deliver it twice") && (nobody_knows || self.is_one_ahead());
        promise(seen.copies == 0 || seen.code == 250 || is_told, "accepted, but not told so (promise 5)");
        promise(seen.code != 0 && seen.took < BOUND, "no answer in time (promise 8)");
        // After a refused sign-in the breaker is open.
        let opens_the_breaker =
            self.trouble == Trouble::Permanent && matches!(self.place, Place::Token | Place::At(Stage::Auth));
        promise(
            !matches!(seen.next, Next::Not(_)) || opens_the_breaker && seen.next == Next::Not(454),
            "the next mail does not pass (promise 8)",
        );
        broken
    }
}
