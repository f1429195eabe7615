//! What is counted. The labels are bounded: whatever Office 365 or an app writes, the list of series has an end.

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::fleet_metrics::FleetMetrics;
use super::line::LEVELS;
use super::spool_metrics::SpoolMetrics;

/// What becomes of a message. A counter that is born with its first event has not risen, for whoever looks at how it
/// rises: each is there from the start.
const OUTCOMES: [&str; 7] = ["accepted", "queued", "refused", "deferred", "unknown", "expired", "abandoned"];
/// How a sign-in ends.
const SIGN_INS: [&str; 2] = ["accepted", "failed"];

/// Where an attempt fails that another one follows.
const STAGES: [&str; 12] = [
    "token",
    "resolve",
    "connect",
    "greeting",
    "ehlo",
    "start_tls",
    "tls",
    "auth",
    "mail",
    "rcpt",
    "content",
    "verdict",
];
/// Parts of a message's time.
const PHASES: [&str; 4] = ["receive", "wait", "connect", "send"];
/// How a connection of the app ends.
const ENDINGS: [&str; 11] = [
    "quit",
    "hung_up",
    "http",
    "tls_hello",
    "too_many_errors",
    "out_of_step",
    "idle",
    "cut",
    "made_room",
    "no_place",
    "shutting_down",
];
/// How an alert ends.
const ALERTS: [&str; 2] = ["sent", "failed"];

/// Distinct enhanced codes that get a series of their own; the rest is `other`.
const MAX_CODES: usize = 64;

/// From a mail on a warm connection to the longest hold, in seconds.
const PHASE_BUCKETS: [f64; 11] = [0.001, 0.005, 0.02, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 45.0, 300.0];

type Labels<const N: usize> = [(&'static str, String); N];
type Seconds = Gauge<f64, AtomicU64>;

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    messages: Family<Labels<2>, Counter>,
    octets: Counter,
    recipients: Counter,
    attempts_failed: Family<Labels<1>, Counter>,
    phases: Family<Labels<1>, Histogram>,
    /// Sessions of the app that are open.
    pub sessions: Gauge,
    /// Mails of the app that are not answered yet.
    pub in_hand: Gauge,
    sessions_ended: Family<Labels<1>, Counter>,
    sessions_refused: Counter,
    repeats_answered: Counter,
    /// Connections to Office 365 that carry a mail, or wait for one.
    pub connections_in_use: Gauge,
    /// Connections to Office 365 that are open and unused.
    pub connections_idle: Gauge,
    connections_opened: Counter,
    sign_ins: Family<Labels<1>, Counter>,
    /// Mailboxes whose sign-ins are not tried because the last ones were refused.
    pub breaker_open: Gauge,
    token_obtained: Seconds,
    /// When the token in use is no longer used, as seconds since 1970; 0 without one.
    pub token_ends: Seconds,
    /// When the certificate that signs in ends, as seconds since 1970.
    pub certificate_ends: Seconds,
    /// 1 while the last sign-in was fine.
    pub ready: Gauge,
    alerts: Family<Labels<1>, Counter>,
    panics: Counter,
    log_lines_dropped: Family<Labels<1>, Counter>,
    held: Gauge,
    /// The fleet's.
    pub fleet: FleetMetrics,
    /// The spool's.
    pub spool: SpoolMetrics,
    codes: Mutex<HashSet<String>>,
}

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// The one set of counters of this process.
pub fn metrics() -> &'static Metrics {
    &METRICS
}

impl Metrics {
    fn new() -> Self {
        let phase: fn() -> Histogram = || Histogram::new(PHASE_BUCKETS);
        let mut metrics = Self {
            registry: Registry::with_prefix("mailshim"),
            messages: Family::default(),
            octets: Counter::default(),
            recipients: Counter::default(),
            attempts_failed: Family::default(),
            phases: Family::new_with_constructor(phase),
            sessions: Gauge::default(),
            in_hand: Gauge::default(),
            sessions_ended: Family::default(),
            sessions_refused: Counter::default(),
            repeats_answered: Counter::default(),
            connections_in_use: Gauge::default(),
            connections_idle: Gauge::default(),
            connections_opened: Counter::default(),
            sign_ins: Family::default(),
            breaker_open: Gauge::default(),
            token_obtained: Gauge::default(),
            token_ends: Gauge::default(),
            certificate_ends: Gauge::default(),
            ready: Gauge::default(),
            alerts: Family::default(),
            panics: Counter::default(),
            log_lines_dropped: Family::default(),
            held: Gauge::default(),
            fleet: FleetMetrics::default(),
            spool: SpoolMetrics::default(),
            codes: Mutex::default(),
        };
        metrics.register();
        metrics.bear();
        metrics
    }

    fn bear(&self) {
        for outcome in OUTCOMES {
            drop(self.messages.get_or_create(&[("outcome", outcome.to_string()), ("code", String::new())]));
        }
        for result in SIGN_INS {
            drop(self.sign_ins.get_or_create(&[("result", result.to_string())]));
        }
        for stage in STAGES {
            drop(self.attempts_failed.get_or_create(&[("stage", stage.to_string())]));
        }
        for phase in PHASES {
            drop(self.phases.get_or_create(&[("phase", phase.to_string())]));
        }
        for ending in ENDINGS {
            drop(self.sessions_ended.get_or_create(&[("ending", ending.to_string())]));
        }
        for result in ALERTS {
            drop(self.alerts.get_or_create(&[("result", result.to_string())]));
        }
        for level in LEVELS {
            drop(self.log_lines_dropped.get_or_create(&[("level", level.to_string())]));
        }
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program", version);
        registry.register(
            "messages",
            "Messages by what became of them and the enhanced code that the app heard",
            self.messages.clone(),
        );
        registry.register_with_unit(
            "message_content",
            "Content of the messages that Office 365 took",
            Unit::Bytes,
            self.octets.clone(),
        );
        registry.register(
            "message_recipients",
            "Recipients of the messages that Office 365 took",
            self.recipients.clone(),
        );
        registry.register(
            "attempts_failed",
            "Attempts that failed and were followed by another, by stage",
            self.attempts_failed.clone(),
        );
        registry.register_with_unit(
            "message_phase",
            "Time of a message in each phase",
            Unit::Seconds,
            self.phases.clone(),
        );
        registry.register("app_sessions", "Connections of the app that are open", self.sessions.clone());
        registry.register(
            "messages_in_hand",
            "Messages of the app that are not answered yet",
            self.in_hand.clone(),
        );
        registry.register(
            "app_sessions_ended",
            "Connections of the app by how they ended",
            self.sessions_ended.clone(),
        );
        registry.register(
            "app_sessions_refused",
            "Connections of the app beyond MAILSHIM_MAX_SESSIONS",
            self.sessions_refused.clone(),
        );
        registry.register(
            "repeats_answered",
            "Messages that had been accepted while their app had gone, and were answered when they came again",
            self.repeats_answered.clone(),
        );
        registry.register(
            "upstream_connections_in_use",
            "Connections to Office 365 that carry a mail",
            self.connections_in_use.clone(),
        );
        registry.register(
            "upstream_connections_idle",
            "Connections to Office 365 that wait for a mail",
            self.connections_idle.clone(),
        );
        registry.register(
            "upstream_connections_opened",
            "Connections to Office 365 that were opened and signed in",
            self.connections_opened.clone(),
        );
        registry.register("sign_ins", "Sign-ins to Office 365 by result", self.sign_ins.clone());
        registry.register(
            "breaker_open",
            "Mailboxes whose sign-ins are not tried because the last ones were refused",
            self.breaker_open.clone(),
        );
        registry.register_with_unit(
            "token_obtained_timestamp",
            "When the token in use was obtained, since 1970; 0 without one",
            Unit::Seconds,
            self.token_obtained.clone(),
        );
        registry.register_with_unit(
            "token_expiry_timestamp",
            "When the token in use is no longer used, since 1970; 0 without one",
            Unit::Seconds,
            self.token_ends.clone(),
        );
        registry.register_with_unit(
            "certificate_expiry_timestamp",
            "When the certificate that signs in ends, since 1970; 0 without one",
            Unit::Seconds,
            self.certificate_ends.clone(),
        );
        registry.register(
            "ready",
            "1 while the last sign-in was fine and the spool's disk takes mail",
            self.ready.clone(),
        );
        registry.register("alerts", "Alerts to MAILSHIM_ALERT_URL by result", self.alerts.clone());
        registry.register(
            "panics",
            "Parts of the program that panicked; please report any",
            self.panics.clone(),
        );
        registry.register(
            "log_lines_dropped",
            "Lines of the log that were dropped because nobody read it, by level",
            self.log_lines_dropped.clone(),
        );
        registry.register_with_unit(
            "held_content",
            "Content that is held in memory",
            Unit::Bytes,
            self.held.clone(),
        );
        self.fleet.register(registry);
        self.spool.register(registry);
    }

    /// A message was answered, or abandoned.
    pub fn message(&self, outcome: &'static str, enhanced: Option<String>) {
        let code = enhanced.map_or_else(String::new, |code| self.bounded(code));
        self.messages.get_or_create(&[("outcome", outcome.to_string()), ("code", code)]).inc();
    }

    /// Office 365 took a message.
    pub fn accepted(&self, octets: u64, recipients: usize) {
        self.octets.inc_by(octets);
        self.recipients.inc_by(recipients as u64);
    }

    /// How long one phase of a message took.
    pub fn phase(&self, phase: &'static str, time: Duration) {
        self.phases.get_or_create(&[("phase", phase.to_string())]).observe(time.as_secs_f64());
    }

    /// An attempt failed and another follows.
    pub fn attempt_failed(&self, stage: &'static str) {
        self.attempts_failed.get_or_create(&[("stage", stage.to_string())]).inc();
    }

    /// A session of the app ended.
    pub fn session_ended(&self, ending: &'static str) {
        self.sessions_ended.get_or_create(&[("ending", ending.to_string())]).inc();
    }

    /// A connection of the app was one too many.
    pub fn session_refused(&self) {
        self.sessions_refused.inc();
    }

    /// A message that came again was answered, not sent.
    pub fn repeat_answered(&self) {
        self.repeats_answered.inc();
    }

    /// A connection to Office 365 was opened and signed in, or not.
    pub fn sign_in(&self, result: &'static str) {
        if result == "accepted" {
            self.connections_opened.inc();
        }
        self.sign_ins.get_or_create(&[("result", result.to_string())]).inc();
    }

    /// A token was obtained that is used for this long.
    pub fn token(&self, good_for: Duration) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.token_obtained.set(now.as_secs_f64());
        self.token_ends.set((now + good_for).as_secs_f64());
    }

    /// An alert was sent, or given up.
    pub fn alert(&self, result: &'static str) {
        self.alerts.get_or_create(&[("result", result.to_string())]).inc();
    }

    /// A part of the program panicked.
    pub fn panicked(&self) {
        self.panics.inc();
    }

    /// A line of the log was dropped.
    pub fn log_line_dropped(&self, level: &'static str) {
        self.log_lines_dropped.get_or_create(&[("level", level.to_string())]).inc();
    }

    fn bounded(&self, code: String) -> String {
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        if codes.contains(&code) {
            return code;
        }
        if codes.len() >= MAX_CODES {
            return "other".to_string();
        }
        codes.insert(code.clone());
        code
    }

    /// The text that Prometheus reads, as OpenMetrics. `held` is the content that is held in memory, in octets.
    pub fn render(&self, held: usize) -> String {
        self.held.set(i64::try_from(held).unwrap_or(i64::MAX));
        let mut out = String::new();
        // Writing into a String does not fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_codes_come_the_series_have_an_end() {
        let metrics = Metrics::new();
        for detail in 0..1000 {
            metrics.message("refused", Some(format!("5.7.{detail}")));
        }
        let text = metrics.render(0);
        assert_eq!(
            text.lines().filter(|line| line.starts_with("mailshim_messages_total{")).count(),
            MAX_CODES + 1 + OUTCOMES.len()
        );
        assert!(text.contains("mailshim_messages_total{outcome=\"refused\",code=\"other\"} 936"), "{text}");
    }

    #[test]
    fn the_text_is_openmetrics() {
        let metrics = Metrics::new();
        metrics.accepted(10, 2);
        metrics.phase("send", Duration::from_millis(3));
        let text = metrics.render(7);
        for line in [
            "mailshim_message_content_bytes_total 10",
            "mailshim_message_recipients_total 2",
            "mailshim_message_phase_seconds_bucket{le=\"0.005\",phase=\"send\"} 1",
            "mailshim_held_content_bytes 7",
            concat!("mailshim_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ] {
            assert!(text.lines().any(|is| is == line), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
