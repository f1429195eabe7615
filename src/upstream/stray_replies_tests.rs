//! Servers that give replies nobody asked for, made up at random: whatever comes, and whenever, a mail is taken for
//! accepted only where the server's own record has it.
//!
//! What cannot be told is left out, and only that: a stray 2xx that comes once the end of the content has left and before
//! the verdict, where no goodbye is asked for.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, sleep, sleep_until};

use super::*;
use crate::deadlines::Deadlines;
use crate::message::{Awaited, Budget, Source};
use crate::secret::Secret;
use crate::smtp::command::{Body, Mail, Recipient};
use crate::smtp::path::Address;

/// Numbers from a seed (splitmix64): a failure names its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (number ^ (number >> 31)) % sides
    }

    fn one_of<T: Copy>(&mut self, these: &[T]) -> T {
        these[usize::try_from(self.roll(these.len() as u64)).unwrap()]
    }

    fn delay(&mut self) -> Duration {
        Duration::from_millis(self.one_of(&[0, 0, 0, 1, 20, 700, 5000]))
    }
}

/// How a server words its replies to MAIL, RCPT, a chunk and the end.
type Words = [&'static str; 4];
const WORDS: [Words; 4] = [
    // As Exchange.
    [
        "250 2.1.0 Sender OK",
        "250 2.1.5 Recipient OK",
        "250 2.6.0 CHUNK received OK",
        "250 2.6.0 <1@x> Queued mail for delivery",
    ],
    ["250 OK", "250 OK", "250 OK", "250 OK"],
    ["250 2.1.0 OK", "250 2.1.5 OK", "250 2.0.0 OK", "250 2.0.0 OK"],
    // With codes that say nothing.
    ["250 2.0.0 OK", "250 2.0.0 OK", "250 2.0.0 OK", "250 2.0.0 OK"],
];
const STRAYS: [&str; 9] = [
    "250 OK",
    "250 OK",
    "250 2.0.0 OK",
    "250 2.1.0 Sender OK",
    "250 2.1.5 Recipient OK",
    "250 2.6.0 CHUNK received OK",
    "250 2.6.0 <2@x> Queued mail for delivery",
    "354 Go",
    "554 5.2.0 Never",
];

struct Script {
    words: Words,
    dice: Dice,
    /// Strays beside the replies with these numbers: before, or behind it.
    beside: HashMap<u64, (bool, &'static str)>,
    /// Strays at these times.
    at: Vec<(Instant, &'static str)>,
    accepts: [bool; 2],
}

/// The server's record of one mail.
#[derive(Clone, Copy, Debug, Default)]
struct Recorded {
    accepted: bool,
    /// A stray 2xx was said between the end of the content and the verdict.
    stray_behind_the_end: bool,
}

#[derive(Debug, Default)]
struct Record {
    mails: HashMap<u8, Recorded>,
    strays: usize,
    goodbyes: usize,
}

struct Server {
    wire: DuplexStream,
    script: Script,
    record: Arc<Mutex<Record>>,
    input: Vec<u8>,
    /// What waits to be said; the verdict on a mail has its mark.
    queue: VecDeque<(Instant, String, Option<u8>)>,
    said: u64,
    /// In DATA.
    data: bool,
    content: Vec<u8>,
    /// The mail whose end has come and whose verdict has not been said.
    ended: Option<u8>,
}

impl Server {
    async fn serve(mut self) -> Option<()> {
        let mut octets = vec![0; 64 * 1024];
        loop {
            while self.understood() {}
            // What has come is read before anything is said: what is said next is then known to come behind it.
            let due = [self.queue.front().map(|(due, ..)| *due), self.script.at.first().map(|(due, _)| *due)];
            let due = due.into_iter().flatten().min();
            let wake = async {
                match due {
                    Some(due) if due > Instant::now() => sleep_until(due).await,
                    Some(_) => {}
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                read = unconstrained(self.wire.read(&mut octets)) => {
                    let count = read.ok().filter(|count| *count > 0)?;
                    self.input.extend_from_slice(&octets[..count]);
                }
                () = wake => self.say().await?,
            }
        }
    }

    async fn say(&mut self) -> Option<()> {
        let now = Instant::now();
        if self.script.at.first().is_some_and(|(due, _)| *due <= now) {
            let (_, stray) = self.script.at.remove(0);
            self.stray(stray);
            return self.write(stray).await;
        }
        let (_, reply, of) = self.queue.pop_front_if(|(due, ..)| *due <= now)?;
        match of {
            Some(STRAY) => self.stray(&reply),
            Some(mark) if self.ended == Some(mark) => self.ended = None,
            _ => {}
        }
        self.write(&reply).await
    }

    fn stray(&self, stray: &str) {
        let mut record = self.record.lock().unwrap();
        record.strays += 1;
        if let Some(mark) = self.ended.filter(|_| stray.starts_with('2')) {
            record.mails.entry(mark).or_default().stray_behind_the_end = true;
        }
    }

    async fn write(&mut self, reply: &str) -> Option<()> {
        // Without a pause, in which the end of the content could come unnoticed.
        unconstrained(self.wire.write_all(format!("{reply}\r\n").as_bytes())).await.ok()
    }

    fn reply(&mut self, reply: &str, of: Option<u8>) {
        let delay = self.script.dice.delay();
        self.push(delay, reply, of);
    }

    fn push(&mut self, delay: Duration, reply: &str, of: Option<u8>) {
        let stray = self.script.beside.get(&self.said).copied();
        self.said += 1;
        let due = Instant::now() + delay;
        let due = self.queue.back().map_or(due, |(last, ..)| due.max(*last));
        if let Some((true, stray)) = stray {
            self.queue.push_back((due, stray.into(), Some(STRAY)));
        }
        self.queue.push_back((due, reply.into(), of));
        if let Some((false, stray)) = stray {
            let late = self.script.dice.delay();
            self.queue.push_back((due + late, stray.into(), Some(STRAY)));
        }
    }

    /// Takes one command, or the rest of the content, out of what has come.
    fn understood(&mut self) -> bool {
        let end = self.input.windows(2).position(|pair| pair == b"\r\n");
        let Some(end) = end else { return false };
        let line = String::from_utf8_lossy(&self.input[..end]).into_owned();
        if self.data {
            self.input.drain(..end + 2);
            if line == "." {
                self.data = false;
                self.end();
            } else {
                self.content.extend_from_slice(line.as_bytes());
            }
            return true;
        }
        let mut size = 0;
        let [mail, rcpt, chunk, _] = self.script.words;
        match line.split(' ').next().unwrap() {
            "MAIL" => {
                self.content.clear();
                self.reply(mail, None);
            }
            "RCPT" => self.reply(rcpt, None),
            "DATA" => {
                self.data = true;
                self.reply("354 Go", None);
            }
            "BDAT" => {
                size = line.split(' ').nth(1).unwrap().parse().unwrap();
                if self.input.len() < end + 2 + size {
                    return false;
                }
                self.content.extend_from_slice(&self.input[end + 2..end + 2 + size]);
                if line.ends_with("LAST") { self.end() } else { self.reply(chunk, None) }
            }
            "RSET" => self.reply("250 2.0.0 Resetting", None),
            "QUIT" => {
                self.record.lock().unwrap().goodbyes += 1;
                self.reply("221 2.0.0 Bye", None);
            }
            other => panic!("{other}"),
        }
        self.input.drain(..end + 2 + size);
        true
    }

    /// The content is whole: it is judged now, and the verdict is said when it is due.
    fn end(&mut self) {
        let mark = self.content[0] - b'0';
        self.ended = Some(mark);
        let accepted = self.script.accepts[usize::from(mark)];
        self.record.lock().unwrap().mails.entry(mark).or_default().accepted = accepted;
        let verdict = if accepted { self.script.words[3] } else { "554 5.2.0 Never" };
        self.reply(verdict, Some(mark));
    }
}

/// The mark of what is no reply.
const STRAY: u8 = u8::MAX;

/// An app that writes at its own pace; its content begins with its mark.
struct App(VecDeque<(Duration, Bytes)>);

impl Source for App {
    fn next(&mut self) -> Awaited<'_, Piece> {
        Box::pin(async {
            let Some((pause, piece)) = self.0.pop_front() else { return Piece::End };
            sleep(pause).await;
            Piece::Chunk(piece)
        })
    }

    fn gone(&mut self) -> Awaited<'_, Abandoned> {
        Box::pin(std::future::pending())
    }
}

fn content(mark: u8, dice: &mut Dice) -> HeldContent<'static> {
    let begin = Bytes::from(format!("{mark}\r\nA: b\r\n\r\n"));
    let piece = || Bytes::from(b"thirteen char\r\n".repeat(1024));
    match dice.roll(4) {
        0 => HeldContent::in_memory([begin]),
        1 => HeldContent::in_memory([begin].into_iter().chain((0..9).map(|_| piece()))),
        _ => {
            let pieces = 1 + dice.roll(24);
            let rest = (0..pieces).map(|_| (dice.one_of(&[0, 0, 1, 900]), piece()));
            let rest = rest.map(|(pause, piece)| (Duration::from_millis(pause), piece));
            HeldContent::new(
                App([(Duration::ZERO, begin)].into_iter().chain(rest).collect()),
                Budget::default(),
            )
        }
    }
}

fn script(dice: &mut Dice) -> Script {
    let strays = dice.roll(4);
    let (mut beside, mut at) = (HashMap::new(), Vec::new());
    for _ in 0..strays {
        let stray = dice.one_of(&STRAYS);
        if dice.roll(3) == 0 {
            at.push((Instant::now() + Duration::from_millis(dice.roll(3000)), stray));
        } else {
            beside.insert(dice.roll(12), (dice.roll(2) == 0, stray));
        }
    }
    at.sort_by_key(|(due, _)| *due);
    let accepts = [0, 1].map(|_| dice.roll(2) == 0);
    Script { words: dice.one_of(&WORDS), dice: Dice(dice.roll(u64::MAX)), beside, at, accepts }
}

/// How one script went: accepted, not known, failed.
async fn run(seed: u64) -> [usize; 4] {
    let mut dice = Dice(seed);
    let script = script(&mut dice);
    let (is_exchange, accepts) = (script.words[0].starts_with("250 2"), script.accepts);
    let record = Arc::new(Mutex::new(Record::default()));
    let (wire, theirs) = duplex(4 * 1024 * 1024);
    let server = Server {
        wire: theirs,
        script,
        record: Arc::clone(&record),
        input: Vec::new(),
        queue: VecDeque::new(),
        said: 0,
        data: false,
        content: Vec::new(),
        ended: None,
    };
    tokio::spawn(server.serve());
    let extensions = Extensions {
        chunking: dice.roll(4) > 0,
        pipelining: dice.roll(4) > 0,
        enhanced_codes: is_exchange,
        ..Extensions::default()
    };
    let credential = Credential::Login { user: "a@b.c".into(), password: Secret::new("open sesame".into()) };
    let link = Link::new(Box::new(wire), Arc::new(Deadlines::default()));
    let mut connection = Connection::new(link, extensions.clone(), credential);
    let address = Address::parse("a@b.c").unwrap();
    let mail = Mail {
        reverse_path: Some(address.clone()),
        size: None,
        body: Body::SevenBit,
        ret: None,
        envid: None,
    };
    let recipient = Recipient { address, notify: None, orcpt: None };
    let envelope = Envelope { mail, recipients: vec![recipient; 1 + usize::from(dice.roll(3) == 0)] };
    let mut counts = [0; 4];
    for mark in 0..2 {
        if !connection.is_reusable() {
            break;
        }
        let mut content = content(mark, &mut dice);
        let (goodbyes, strays) = {
            let record = record.lock().unwrap();
            (record.goodbyes, record.strays)
        };
        let outcome = connection.send(&envelope, &mut content).await.unwrap();
        // The server comes to its end with the mail, whatever we believe by now.
        sleep(Duration::from_secs(60)).await;
        let record = record.lock().unwrap();
        let recorded = record.mails.get(&mark).copied().unwrap_or_default();
        let said_goodbye = record.goodbyes > goodbyes;
        let case = || format!("seed {seed}, mail {mark}: {outcome:?}, {recorded:?}, {extensions:?}");
        match &outcome {
            Outcome::Accepted(_) | Outcome::Queued(_) => {
                counts[0] += 1;
                let is_told_apart = said_goodbye || !recorded.stray_behind_the_end;
                assert!(recorded.accepted || !is_told_apart, "{}", case());
            }
            Outcome::Unknown(_) => counts[1] += 1,
            Outcome::Failed(_) => counts[2] += 1,
        }
        counts[3] += usize::from(said_goodbye);
        if record.strays == 0 && strays == 0 {
            let is_accepted = matches!(outcome, Outcome::Accepted(_));
            assert_eq!(is_accepted, accepts[usize::from(mark)], "without a stray: {}", case());
        }
    }
    counts
}

#[tokio::test(start_paused = true)]
async fn never_is_accepted_what_the_servers_record_does_not_have() {
    // From the last failure's seed on, where one is to be looked at again: `STRAY_SCRIPTS=1 STRAY_SEED=...`.
    let number = |name| std::env::var(name).ok().and_then(|number| number.parse().ok());
    let (first, times) = (number("STRAY_SEED").unwrap_or(0), number("STRAY_SCRIPTS").unwrap_or(1000));
    let mut counts = [0; 4];
    // Large content whose last octets left before its end was known, and a stray in the next mail.
    let found = [34_153];
    for seed in found.into_iter().chain(first..first + times) {
        let more = run(seed).await;
        counts = std::array::from_fn(|count| counts[count] + more[count]);
    }
    let [accepted, unknown, failed, goodbyes] =
        counts.map(|count| count * 100 / usize::try_from(times).unwrap());
    assert!(times < 100 || accepted > 10 && unknown > 5 && failed > 30 && goodbyes > 10, "{counts:?}");
}
