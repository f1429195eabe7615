//! Does mail go out, and if not why, since when, for whom? One snapshot answers, in three renderings: JSON here, the
//! text of [`screen`](super::screen), the [`page`](super::page).
//!
//! | part | of several mailboxes (`MAILSHIM_LOGIN_AS_SENDER`) |
//! |---|---|
//! | `ready`, `since`, `reason`, `fix` | of the configured mailbox's sign-in, and of what all share: network, token service |
//! | `breaker`, `pauses` | one entry for each thing that keeps mail back, with its mailbox: the configured one's first, 20 in all |
//! | `per_minute`, `connections`, `waiting`, `refusals`, `queue` | all mailboxes together |
//! | `limit`, `connections.limit` | each mailbox's own |
//!
//! Whoever asks over a network hears counts and draws the plot: no address, no sentence.

use std::time::{Duration, SystemTime};

use prometheus_client::metrics::gauge::Gauge;
use serde_json::{Value, json};

use super::addresses::{masked_address, shown};
use super::history::{self, MINUTES, Refusal};
use super::line::{shortened, to_the_second};
use super::mail::in_words;
use super::metrics::metrics;
use super::readiness::{NotReady, readiness_since};
use crate::outcome::Fault;

/// Things that keep mail back that are told of at once.
const MOST_OBSTACLES: usize = 20;

/// A refusal that is not older says something about mail that comes now.
const LATELY: Duration = Duration::from_secs(600);

/// Octets that are told of a text that others wrote.
const LONGEST: usize = 400;

/// Something that keeps mail back.
#[derive(Debug)]
pub struct Obstacle {
    /// Of the breaker on sign-ins `open` or `half_open`; of pauses `throttled`, `refused`, `paced` or `used_up`.
    pub kind: &'static str,
    /// Whose mail.
    pub mailbox: String,
    /// All that Exchange judges the one sender by whose mail it is; `None` for all of the mailbox.
    pub sender: Option<String>,
    /// Since when, where that is known.
    pub since: Option<SystemTime>,
    /// When mail is let go, or tried again.
    pub until: SystemTime,
    /// Why.
    pub fault: Fault,
}

/// What the snapshot is made of besides what telemetry knows itself: values that the rooms above hand in.
pub struct Sources {
    /// The configured mailbox.
    pub mailbox: String,
    /// When the process began.
    pub started: SystemTime,
    /// `MAILSHIM_MESSAGES_PER_MINUTE`, 0 for no limit.
    pub limit: usize,
    /// `MAILSHIM_MAX_CONNECTIONS`.
    pub connections: usize,
    /// Mail is answered for by a spool.
    pub spool: bool,
    /// The limits are a fleet's.
    pub fleet: bool,
    /// What keeps mail back now, at most so much of it.
    pub obstacles: Box<dyn Fn(usize) -> Vec<Obstacle> + Send + Sync>,
}

/// What is said of an [`Obstacle`].
#[derive(Debug)]
pub(super) struct Told {
    pub kind: &'static str,
    /// It keeps all mail of the configured mailbox back.
    stops: bool,
    pub since: Option<SystemTime>,
    pub until: SystemTime,
    /// Nothing of this is for a network.
    pub words: Option<Words>,
}

/// Whose mail an obstacle keeps back, and why; harmless and masked.
#[derive(Debug)]
pub(super) struct Words {
    pub mailbox: String,
    pub sender: Option<String>,
    pub reason: String,
    pub fix: Option<String>,
}

impl Told {
    pub(super) fn is_breaker(&self) -> bool {
        matches!(self.kind, "open" | "half_open")
    }

    /// What it is, in words.
    pub(super) fn title(&self) -> &'static str {
        match self.kind {
            "open" => "Sign-ins are refused, and held back",
            "half_open" => "Sign-ins were refused, one is being tried",
            "throttled" => "Office 365 throttles the mailbox",
            "refused" => "Office 365 refused this, and is not asked again for a while",
            "paced" => "Mail waits for its turn: MAILSHIM_MESSAGES_PER_MINUTE",
            _ => "Today's recipients are used up: MAILSHIM_RECIPIENTS_PER_DAY",
        }
    }
}

/// What goes on, at one moment.
pub(super) struct Snapshot {
    pub now: SystemTime,
    pub started: SystemTime,
    pub mailbox: Option<String>,
    pub ready: bool,
    pub since: Option<SystemTime>,
    pub reason: Option<String>,
    pub fix: Option<String>,
    pub obstacles: Vec<Told>,
    pub token_expires: Option<String>,
    pub certificate_expires: Option<String>,
    pub per_minute: [u32; MINUTES],
    pub limit: Option<usize>,
    pub refusals: Vec<Refusal>,
    /// A mail was not accepted within [`LATELY`].
    refused_lately: bool,
    /// In use, idle, `MAILSHIM_MAX_CONNECTIONS`, and the app's.
    pub connections: [i64; 4],
    /// Mails in hand, and the octets that are held of them.
    pub waiting: [i64; 2],
    /// Mails, octets, the seconds of the oldest, and dead letters.
    pub queue: Option<[i64; 4]>,
    /// Whether the fleet's engine answers (1), replicas seen last, and connections that this one holds.
    pub fleet: Option<[i64; 3]>,
}

/// Whether mail goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Flows,
    Slowed,
    Stopped,
}

impl Snapshot {
    /// What goes on now. `held` is the content in memory, in octets; `within` says that both ends of the connection are
    /// loopback.
    pub(super) fn take(sources: &Sources, held: usize, within: bool) -> Self {
        let metrics = metrics();
        let (result, since) = readiness_since();
        let (reason, fix) = match result {
            Ok(()) => (None, None),
            Err(why) => (Some(why.reason), why.fix),
        };
        let obstacles = (sources.obstacles)(MOST_OBSTACLES);
        let obstacles = obstacles.into_iter().map(|obstacle| told(obstacle, sources, within)).collect();
        let mailbox = shown(&sources.mailbox);
        let count = |gauge: &Gauge| gauge.get();
        let now = SystemTime::now();
        let refusals = history::refusals();
        let is_late = |refusal: &Refusal| now.duration_since(refusal.at).unwrap_or_default() < LATELY;
        Self {
            now,
            refused_lately: refusals.first().is_some_and(is_late),
            started: sources.started,
            ready: reason.is_none(),
            since,
            mailbox: within.then_some(mailbox),
            reason: reason.filter(|_| within),
            fix: fix.filter(|_| within),
            obstacles,
            token_expires: since_1970(metrics.token_ends.get()),
            certificate_expires: since_1970(metrics.certificate_ends.get()),
            per_minute: history::per_minute(),
            limit: (sources.limit > 0).then_some(sources.limit),
            refusals: if within { refusals } else { Vec::new() },
            connections: [
                count(&metrics.connections_in_use),
                count(&metrics.connections_idle),
                whole(sources.connections),
                count(&metrics.sessions),
            ],
            waiting: [count(&metrics.in_hand), whole(held)],
            queue: sources.spool.then(|| {
                let spool = &metrics.spool;
                #[expect(clippy::cast_possible_truncation, reason = "seconds")]
                let oldest = spool.oldest.get() as i64;
                [count(&spool.messages), count(&spool.octets), oldest, count(&spool.dead_letters)]
            }),
            fleet: sources.fleet.then(|| {
                let fleet = &metrics.fleet;
                [count(&fleet.reached), count(&fleet.replicas), count(&fleet.slots)]
            }),
        }
    }

    pub(super) fn verdict(&self) -> Verdict {
        match self.ready && !self.obstacles.iter().any(|told| told.stops) {
            false => Verdict::Stopped,
            true if self.obstacles.is_empty() && !self.refused_lately => Verdict::Flows,
            true => Verdict::Slowed,
        }
    }

    /// The answer, in one line.
    pub(super) fn headline(&self) -> &'static str {
        match self.verdict() {
            Verdict::Flows => "Mail goes out",
            Verdict::Slowed if self.refused_lately => "Some mail was not accepted in the last 10 minutes",
            Verdict::Slowed if self.obstacles.iter().all(|told| told.kind == "paced") => {
                "Mail goes out, at the pace that is set"
            }
            Verdict::Slowed => "Some mail does not go out now",
            Verdict::Stopped if self.ready => "Mail does not go out for now",
            Verdict::Stopped => "Mail does not go out",
        }
    }

    /// Since when the headline is true, as far as that is known.
    pub(super) fn since(&self) -> Option<SystemTime> {
        let stopped = self.obstacles.iter().filter(|told| self.ready && told.stops);
        stopped.filter_map(|told| told.since).min().or(self.since)
    }

    /// Why, where it is not what stands at the top already.
    pub(super) fn why<'a>(&self, words: &'a Words) -> Option<(&'a str, Option<&'a str>)> {
        let is_known = self.reason.as_deref() == Some(&words.reason);
        (!is_known).then_some((&words.reason, words.fix.as_deref()))
    }

    /// The plot, in words.
    pub(super) fn plot_words(&self) -> String {
        let hour: u64 = self.per_minute.iter().map(|count| u64::from(*count)).sum();
        let now = self.per_minute[MINUTES - 1];
        let peak = self.per_minute.iter().max().copied().unwrap_or_default();
        let limit = self.limit.map_or("no limit".to_string(), |limit| format!("limit {limit} for a mailbox"));
        format!("{hour} in the last hour, {now} in this minute, {peak} at most in one; {limit}")
    }

    /// Names and values of the plain facts.
    pub(super) fn facts(&self) -> Vec<(&'static str, String)> {
        let [in_use, idle, most, app] = self.connections;
        let [mails, octets] = self.waiting;
        let mut facts = vec![
            ("In hand", format!("{mails} mails, {octets} octets held")),
            ("Connections", format!("{in_use} in use, {idle} idle, {most} allowed; {app} of the app")),
        ];
        if let Some([mails, octets, oldest, dead]) = self.queue {
            let spool = format!("{mails} mails, {octets} octets, the oldest {oldest} s old");
            facts.push(("Spool", spool));
            facts.push(("Given up", format!("{dead} mails, kept in dead/")));
        }
        if let Some([reached, replicas, connections]) = self.fleet {
            let fleet = match reached {
                1 => format!("{replicas} replicas, {connections} connections are this one's"),
                _ => format!("PostgreSQL is not reached; {replicas} replicas were seen last"),
            };
            facts.push(("Fleet", fleet));
        }
        facts.extend(self.token_expires.clone().map(|at| ("Token until", at)));
        facts.extend(self.certificate_expires.clone().map(|at| ("Certificate until", at)));
        facts.push(("Since start", to_the_second(self.started)));
        facts
    }

    /// `since 2026-11-26T01:04:07Z (12 min), until …`.
    pub(super) fn span(&self, since: Option<SystemTime>, until: Option<SystemTime>) -> String {
        let since = since.map(|since| {
            let ago = self.now.duration_since(since).unwrap_or_default();
            format!("since {} ({})", to_the_second(since), in_words(ago))
        });
        let until = until.map(|until| match until.duration_since(self.now) {
            Ok(_) => format!("until {}", to_the_second(until)),
            Err(_) => "until the next sign-in that passes".to_string(),
        });
        since.into_iter().chain(until).collect::<Vec<_>>().join(", ")
    }

    /// For programs. Keys are added and never renamed.
    pub(super) fn to_json(&self) -> String {
        let time = |at: SystemTime| to_the_second(at);
        let obstacle = |told: &Told| {
            let words = told.words.as_ref();
            json!({
                (if told.is_breaker() { "state" } else { "kind" }): told.kind,
                "mailbox": words.map(|words| &words.mailbox),
                "sender": words.and_then(|words| words.sender.as_ref()),
                "since": told.since.map(time),
                "until": time(told.until),
                "reason": words.map(|words| &words.reason),
                "fix": words.and_then(|words| words.fix.as_ref()),
            })
        };
        let those = |breaker: bool| -> Vec<Value> {
            self.obstacles.iter().filter(|told| told.is_breaker() == breaker).map(obstacle).collect()
        };
        let refusal = |refusal: &Refusal| {
            json!({
                "at": time(refusal.at), "id": refusal.id, "outcome": refusal.outcome, "code": refusal.code,
                "from": refusal.from, "to": refusal.to, "recipients": refusal.recipients,
                "reason": refusal.reason, "fix": refusal.fix,
            })
        };
        let [in_use, idle, most, app] = self.connections;
        let [mails, held] = self.waiting;
        let queue = self.queue.map(
            |[mails, octets, oldest, dead]| json!({ "mails": mails, "octets": octets, "oldest_seconds": oldest, "dead_letters": dead }),
        );
        let fleet = self.fleet.map(|[reached, replicas, connections]| {
            json!({ "reached": reached == 1, "replicas": replicas, "connections": connections })
        });
        let mut text = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "started": time(self.started),
            "mailbox": self.mailbox,
            "ready": self.ready,
            "since": self.since.map(time),
            "reason": self.reason,
            "fix": self.fix,
            "breaker": those(true),
            "pauses": those(false),
            "token_expires": self.token_expires,
            "certificate_expires": self.certificate_expires,
            "connections": { "in_use": in_use, "idle": idle, "limit": most, "app": app },
            "per_minute": self.per_minute.to_vec(),
            "limit": self.limit,
            "refusals": self.refusals.iter().map(refusal).collect::<Vec<_>>(),
            "waiting": { "mails": mails, "octets": held },
            "queue": queue,
            "fleet": fleet,
        })
        .to_string();
        text.push('\n');
        text
    }

    /// The fix of a refusal, said once where many have the same.
    pub(super) fn fix_of(&self, index: usize) -> Option<&str> {
        let fix = self.refusals[index].fix.as_deref()?;
        let mut before = self.refusals[..index].iter().map(|refusal| &refusal.fix).chain([&self.fix]);
        Some(if before.any(|before| before.as_deref() == Some(fix)) { "as above" } else { fix })
    }

    /// What the plot goes up to.
    pub(super) fn top(&self) -> usize {
        let peak = self.per_minute.iter().max().copied().unwrap_or_default() as usize;
        peak.max(self.limit.unwrap_or_default()).max(1)
    }
}

/// ` +2`, for the recipients that are not named.
pub(super) fn others(recipients: usize) -> String {
    match recipients.saturating_sub(1) {
        0 => String::new(),
        others => format!(" +{others}"),
    }
}

fn told(obstacle: Obstacle, sources: &Sources, within: bool) -> Told {
    let Obstacle { kind, mailbox, sender, since, until, fault } = obstacle;
    let stops = kind != "paced" && sender.is_none() && mailbox == sources.mailbox;
    let words = within.then(|| {
        let cut = |text: &str| shortened(&shown(text), LONGEST).into_owned();
        let why = NotReady::of(&mailbox, &fault);
        Words {
            reason: cut(&why.reason),
            fix: why.fix.map(|fix| cut(&fix)),
            sender: sender.map(|sender| cut(&each_masked(&sender))),
            mailbox: cut(&mailbox),
        }
    });
    Told { kind, stops, since, until, words }
}

/// A sender is told by the words of several fields, and not each of them is an address by its looks.
fn each_masked(sender: &str) -> String {
    sender.split(' ').map(masked_address).collect::<Vec<_>>().join(" ")
}

fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A time that is told in seconds since 1970, 0 for none.
fn since_1970(seconds: f64) -> Option<String> {
    let since = Duration::try_from_secs_f64(seconds).ok().filter(|since| !since.is_zero())?;
    Some(SystemTime::UNIX_EPOCH.checked_add(since).map_or_else(|| "never".to_string(), to_the_second))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::outcome::{Cause, Stage};
    use crate::smtp::reply::Reply;

    /// What a browser, a terminal and a reader of JSON must not take for more than text.
    pub const HOSTILE: &str =
        "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>\u{1b}[2J\u{202e}\r\n";

    /// The sources of a mailbox that is throttled and held back by a breaker, in hostile words.
    pub fn hostile() -> Sources {
        let fault = || Fault::new(Stage::Auth, Cause::Refused(Reply::new(535, format!("5.7.3 {HOSTILE}"))));
        let obstacles = move |most| {
            let kinds = ["open", "throttled", "refused", "paced"].into_iter().cycle();
            let obstacle = |kind| Obstacle {
                kind,
                mailbox: format!("{HOSTILE}@contoso.com"),
                sender: Some(format!("{HOSTILE}@fabrikam.com")),
                since: Some(SystemTime::now()),
                until: SystemTime::now() + Duration::from_secs(9),
                fault: fault(),
            };
            kinds.take(most).map(obstacle).collect()
        };
        Sources {
            mailbox: format!("{HOSTILE}@contoso.com"),
            started: SystemTime::UNIX_EPOCH,
            limit: 28,
            connections: 3,
            spool: true,
            fleet: true,
            obstacles: Box::new(obstacles),
        }
    }

    fn refused() -> Refusal {
        Refusal {
            at: SystemTime::UNIX_EPOCH,
            id: "id".to_string(),
            outcome: "refused",
            code: "550 5.7.1".to_string(),
            from: shown(HOSTILE),
            to: shown(HOSTILE),
            recipients: 3,
            reason: shown(HOSTILE),
            fix: Some(shown(HOSTILE)),
        }
    }

    pub fn snapshot(within: bool) -> Snapshot {
        let mut snapshot = Snapshot::take(&hostile(), 7, within);
        snapshot.per_minute = std::array::from_fn(|minute| u32::try_from(minute).unwrap_or_default() / 2);
        snapshot.refusals = if within { vec![refused(); history::REFUSALS] } else { Vec::new() };
        snapshot
    }

    #[test]
    fn the_keys_are_added_to_and_never_renamed() {
        let value: Value = serde_json::from_str(&snapshot(true).to_json()).unwrap();
        for key in [
            "version",
            "started",
            "ready",
            "reason",
            "fix",
            "breaker",
            "pauses",
            "token_expires",
            "certificate_expires",
            "connections",
            "per_minute",
            "limit",
            "refusals",
            "waiting",
            "queue",
            "fleet",
        ] {
            assert!(value.get(key).is_some(), "{key} is gone");
        }
        assert!(value["fleet"]["reached"].is_boolean() && value["fleet"]["replicas"].is_i64(), "{value}");
        assert_eq!(value["per_minute"].as_array().map(Vec::len), Some(MINUTES));
        assert_eq!((&value["limit"], &value["per_minute"][59]), (&json!(28), &json!(29)));
        assert_eq!(
            (value["breaker"].as_array().map(Vec::len), &value["breaker"][0]["state"]),
            (Some(5), &json!("open"))
        );
        assert_eq!(
            (value["pauses"].as_array().map(Vec::len), &value["pauses"][0]["kind"]),
            (Some(15), &json!("throttled"))
        );
        assert_eq!(value["started"], "1970-01-01T00:00:00Z");
    }

    #[test]
    fn a_network_hears_counts_and_sees_the_plot() {
        let snapshot = snapshot(false);
        for text in [
            snapshot.to_json(),
            super::super::screen::render(&snapshot),
            super::super::page::render(&snapshot),
        ] {
            for word in ["contoso", "fabrikam", "script>", "5.7.3", "sign-in is under way"] {
                assert!(!text.contains(word), "{word}: {text}");
            }
        }
        let value: Value = serde_json::from_str(&snapshot.to_json()).unwrap();
        assert_eq!(value["breaker"].as_array().map(Vec::len), Some(5));
        assert_eq!(value["per_minute"][59], 29);
        assert!(super::super::page::render(&snapshot).contains("<rect "));
    }

    #[test]
    fn times_beyond_all_calendars_are_no_panic() {
        assert_eq!(since_1970(0.0), None);
        assert_eq!(since_1970(f64::NAN), None);
        assert_eq!(since_1970(1_700_000_000.0).as_deref(), Some("2023-11-14T22:13:20Z"));
        assert_eq!(since_1970(1e12).as_deref(), Some("9999-12-31T23:59:59Z"));
    }
}
