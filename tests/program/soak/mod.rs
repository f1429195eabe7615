//! Fourteen kinds of app at once against an upstream that misbehaves, and every mail accounted for by its Message-ID:
//! acknowledged is arrived, once; refused is not arrived; only where nobody knows may either be. Meanwhile memory and
//! descriptors stay flat. Seconds here; `SOAK_SECONDS=600` for the long form.

mod apps;
mod upstream;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use office365::{Office365, Settings};
use support::client::Reply;
use support::program::Program;

/// Descriptors beyond those at the start, all apps gone: idle connections, and what is being closed.
const MAX_LEFT: usize = 8;
/// Anonymous memory, in octets: what DESIGN.md allows in the worst case.
const MAX_MEMORY: usize = 16 << 20;
/// By how much its highest of the last third may exceed that of the first, where that is long enough to tell a leak from
/// buffers that are being filled.
const MAX_GROWTH: usize = 2 << 20;
const LONG: Duration = Duration::from_secs(60);

/// What an app heard of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Told {
    /// 250.
    Accepted,
    /// 4xx or 5xx: it is not there.
    Refused,
    /// 451, and that it may be there.
    Unknown,
    /// The app went before it could hear.
    Unheard,
    /// The app never sent the end.
    NeverEnded,
}

impl Told {
    /// What this answer says.
    pub fn by(reply: &Reply) -> Self {
        match reply.code {
            250 => Self::Accepted,
            0 => Self::Unheard,
            _ if reply.text.contains("may deliver it twice") => Self::Unknown,
            400..600 => Self::Refused,
            _ => panic!("an answer to content: {reply}"),
        }
    }

    const fn allows(self, copies: usize) -> bool {
        match self {
            Self::Accepted => copies == 1,
            Self::Refused | Self::NeverEnded => copies == 0,
            Self::Unknown | Self::Unheard => copies <= 1,
        }
    }
}

/// Every mail, and what is known of it.
pub struct Ledger {
    number: AtomicU64,
    told: Mutex<BTreeMap<String, (Told, String)>>,
    over: AtomicBool,
}

impl Ledger {
    /// Whether the apps go on.
    pub fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }

    /// A Message-ID of an app's that nobody had before.
    pub fn id(&self, app: &str) -> String {
        format!("<{app}-{}@contoso.com>", self.number.fetch_add(1, Ordering::Relaxed))
    }

    /// Writes down what an app heard.
    pub fn heard(&self, id: String, told: Told, words: &str) {
        self.told.lock().unwrap().insert(id, (told, words.to_string()));
    }
}

fn message_id(content: &[u8]) -> String {
    let text = String::from_utf8_lossy(content);
    let value = text.lines().find_map(|line| line.strip_prefix("Message-ID: "));
    value.expect("every mail has one").trim_end().to_string()
}

/// Anonymous memory and descriptors (proc_pid_smaps(5)).
fn taken_by(pid: u32) -> (usize, usize) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("it runs");
    let line = text.lines().find_map(|line| line.strip_prefix("Anonymous:")).expect("a field of proc(5)");
    let kilobytes: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").count();
    (kilobytes * 1024, descriptors)
}

fn seconds() -> u64 {
    std::env::var("SOAK_SECONDS").map_or(8, |text| text.parse().expect("SOAK_SECONDS is a number"))
}

#[test]
fn every_mail_is_accounted_for() {
    let office365 = Office365::start(Settings { record_dialogue: false, ..Settings::default() });
    let mut shim = Program::start(
        &office365,
        &[("MAILSHIM_MESSAGES_PER_MINUTE", "0"), ("MAILSHIM_HOLD", "5s"), ("MAILSHIM_LOG_FORMAT", "text")],
    );
    let ledger =
        Ledger { number: AtomicU64::new(1), told: Mutex::new(BTreeMap::new()), over: AtomicBool::new(false) };
    let (pid, address) = (shim.pid(), shim.address);
    let (_, descriptors) = taken_by(pid);
    let lasts = Duration::from_secs(seconds());
    let mut copies: BTreeMap<String, usize> = BTreeMap::new();
    let mut count = |office365: &Office365| {
        for taken in office365.drain_taken() {
            *copies.entry(message_id(&taken.content)).or_default() += 1;
        }
    };
    let mut memory = Vec::new();
    std::thread::scope(|scope| {
        let apps: Vec<_> = apps::APPS
            .iter()
            .map(|(name, app)| {
                let ledger = &ledger;
                scope.spawn(move || app(name, address, ledger))
            })
            .collect();
        let trouble = scope.spawn(|| upstream::misbehave(&office365, &ledger));
        let begun = Instant::now();
        while begun.elapsed() < lasts && apps.iter().all(|app| !app.is_finished()) {
            std::thread::sleep(Duration::from_millis(100));
            memory.push(taken_by(pid).0);
            count(&office365);
        }
        ledger.over.store(true, Ordering::Relaxed);
        trouble.join().expect("the upstream's trouble");
        for app in apps {
            app.join().expect("an app");
        }
    });
    // The trouble is over: mail passes, and over every connection.
    office365.clear_faults();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let id = ledger.id("after");
                let reply = apps::submit(&mut apps::greeted(address), &apps::mail(&id, "the last\r\n"));
                assert_eq!(reply.code, 250, "after the trouble: {reply}");
                ledger.heard(id, Told::Accepted, "");
            });
        }
    });
    support::process::until("few descriptors", || taken_by(pid).1 <= descriptors + MAX_LEFT);
    shim.signal("TERM");
    assert!(shim.wait().success(), "{}", shim.printed());
    count(&office365);
    judge(&ledger, &copies);
    assert_eq!(office365.violations(), Vec::<String>::new());
    let third = memory.len() / 3;
    let highest = |part: &[usize]| part.iter().copied().max().unwrap_or_default();
    let (first, last) = (highest(&memory[..third]), highest(&memory[2 * third..]));
    println!("anonymous memory: {} KiB at most in the first third, {} in the last", first >> 10, last >> 10);
    assert!(last <= MAX_MEMORY, "{last} octets");
    assert!(lasts < LONG || last <= first + MAX_GROWTH, "memory grows: {first} -> {last}");
}

/// Each mail has as many copies as its answer allows, and nothing arrived that nobody sent.
fn judge(ledger: &Ledger, copies: &BTreeMap<String, usize>) {
    let told = ledger.told.lock().unwrap();
    let mut wrong = Vec::new();
    let mut sums: BTreeMap<(Told, usize), usize> = BTreeMap::new();
    for (id, (what, words)) in told.iter() {
        let copies = copies.get(id).copied().unwrap_or_default();
        *sums.entry((*what, copies)).or_default() += 1;
        if !what.allows(copies) {
            wrong.push(format!("{id}: {what:?}, {copies} copies: {words}"));
        }
    }
    wrong.extend(copies.keys().filter(|id| !told.contains_key(*id)).map(|id| format!("{id}: nobody's")));
    for ((what, copies), mails) in &sums {
        println!("{mails:>6} mails {what:?}, {copies} copies");
    }
    assert!(wrong.is_empty(), "{} of {} mails\n{}", wrong.len(), told.len(), wrong.join("\n"));
    let kinds = |kind: Told| {
        sums.iter().filter(|((what, _), _)| *what == kind).map(|(_, mails)| mails).sum::<usize>()
    };
    // A soak in which nothing goes wrong, or nothing well, shows nothing.
    assert!(
        kinds(Told::Accepted) > 50 && kinds(Told::Refused) > 0 && kinds(Told::NeverEnded) > 3,
        "{sums:?}"
    );
    for (name, _) in apps::APPS {
        let mails = told.keys().filter(|id| id.starts_with(&format!("<{name}-"))).count();
        assert!(mails > 0, "{name} sent nothing");
    }
}
