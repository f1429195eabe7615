//! Everything the program tells: each event is one function here, so that its words, its level and its fields have
//! one place. Nothing here may hold a secret, content or a subject.

/// A warning of which identical ones are counted, not repeated.
macro_rules! once_a_minute {
    ($($line:tt)+) => {{
        let line = format!($($line)+);
        if let Some(repeated) = $crate::telemetry::repeats::due(&line) {
            tracing::warn!(repeated = $crate::telemetry::some(repeated), "{line}");
        }
    }};
}

mod addresses;
mod alerts;
mod exposition;
mod filter;
pub mod http;
pub mod metrics;
mod readiness;
mod history;
mod status;
mod screen;
mod page;
mod repeats;
mod setup;
mod mail;
mod fleet;
mod fleet_metrics;
mod spool;
mod spool_metrics;
mod line;
mod writer;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::gauge::Gauge;
use tracing::{debug, error, info, trace, warn};

use addresses::{masked, shown};
use mail::in_words;
use metrics::metrics;

use crate::message::MessageId;
use crate::outcome::{Context, Fault, Stage, judge};
use crate::redact::printable;

pub use addresses::AddressDetail;
pub use alerts::{Alert, alert, alert_failed, alert_sent, alerts_are_wanted, next_alert};
pub use filter::LogFilter;
pub use fleet::{fleet_differs, fleet_not_reached, fleet_reached, fleet_slot_lost, fleet_stands};
pub use mail::{Mail, abandoned, message, repeated};
use readiness::NotReady;
pub use setup::{LogConfig, LogFormat, before_the_log, init, raise_level};
pub use spool::{
    spool_dead_letter_discarded, spool_delivery_not_recorded, spool_dropped, spool_file_damaged,
    spool_file_of_another_version, spool_file_unreadable, spool_full, spool_given_up, spool_holds,
    spool_keeps, spool_may_keep, spool_not_recorded, spool_not_reported, spool_not_used, spool_opened,
    spool_operated, spool_reported, spool_request_refused, spool_sends_again, spool_stays, spool_synced,
    spool_tried, spool_unusable, spool_usable, spool_waits_for_lock,
};
pub use status::{Obstacle, Sources};
pub use writer::flush;

/// Counted in a gauge for as long as it lives.
pub struct Counted(&'static Gauge);

impl Counted {
    fn new(gauge: &'static Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

// --- the process ---

/// The start: what is in force.
pub fn started(mailbox: &str, upstream: &str, sign_in: &str) {
    info!(
        version = env!("CARGO_PKG_VERSION"),
        mailbox = shown(mailbox),
        upstream,
        sign_in,
        "mailshim starts"
    );
}

/// A doubt about the configuration.
pub fn configuration_warning(warning: &str) {
    warn!("{}", masked(warning));
}

/// The limit on open files leaves room for fewer sessions than are wanted.
pub fn few_descriptors(sessions: usize, wanted: usize) {
    warn!(
        sessions,
        wanted,
        "the limit on open files leaves room for fewer sessions than MAILSHIM_MAX_SESSIONS: raise it (docker run \
         --ulimit nofile=1024, LimitNOFILE= in systemd)"
    );
}

/// A bound address.
pub fn listening(address: SocketAddr) {
    info!(%address, "listening");
}

/// Where `/livez`, `/readyz` and `/metrics` are.
pub fn probes_listening(address: SocketAddr) {
    info!(%address, "probes and metrics are served");
}

/// The kernel lets other programs of the same user read our memory.
pub fn not_hardened(error: &io::Error) {
    warn!(%error, "other programs of the same user may be able to read mailshim's secrets: the kernel refused to hide them");
}

/// It cannot start.
pub fn start_failed(problem: &str) {
    error!("{problem}");
}

/// The first signal.
pub fn shutting_down(delay: Duration, grace: Duration) {
    info!(
        ?delay,
        ?grace,
        "shutting down: new connections are taken for the delay, then what is in hand is finished"
    );
}

/// The grace is over; so many sessions, if any, are cut off.
pub fn grace_ended(cut: Option<usize>) {
    if let Some(sessions) = cut {
        warn!(
            sessions,
            "the grace has ended: these sessions are cut off, and mail that they still had in hand was not acknowledged \
             (MAILSHIM_SHUTDOWN_GRACE)"
        );
    }
}

/// The end.
pub fn stopped() {
    info!("stopped");
}

// --- the app ---

/// A peer that is not loopback.
pub fn peer_refused(peer: SocketAddr) {
    warn!(%peer, "refused a connection that does not come from loopback");
}

/// More connections than allowed.
pub fn too_many_sessions() {
    metrics().session_refused();
    once_a_minute!("refused a connection of the app: MAILSHIM_MAX_SESSIONS are open already");
}

/// The socket could not accept.
pub fn accept_failed(error: &io::Error) {
    once_a_minute!("a connection could not be accepted: {error}");
}

/// The file of MAILSHIM_APP_PASSWORD.
pub fn app_password_unreadable(problem: &str) {
    error!("the app's sign-in is refused: {problem} (MAILSHIM_APP_PASSWORD_FILE)");
}

/// The app asked for STARTTLS.
pub fn starttls_asked() {
    once_a_minute!(
        "the app asked for STARTTLS, which is not offered on loopback: set its encryption to \"none\"; mailshim does \
         TLS to Office 365"
    );
}

/// The app ended its content with other line ends than CRLF around the dot, and waited for a reply.
pub fn end_not_seen() {
    once_a_minute!(
        "the app ended its mail with LF.LF and waited in vain: only CRLF.CRLF is the end of a mail (RFC 5321 section \
         4.1.1.4); set the app's line ends to CRLF, or hand the mail to mailshim sendmail"
    );
}

/// A session of the app is open.
pub fn session_open() -> Counted {
    Counted::new(&metrics().sessions)
}

/// A mail of the app is in hand: its content comes, it waits, or it is sent.
pub fn message_in_hand() -> Counted {
    Counted::new(&metrics().in_hand)
}

/// A session of the app ended, by this word of how.
pub fn session_ended(ending: &'static str) {
    metrics().session_ended(ending);
    debug!(ending, "session ended");
}

/// An HTTP request came where SMTP is spoken.
pub fn http_request_came() {
    once_a_minute!(
        "an HTTP request came to the SMTP port and was cut off: point the app's mail settings, not a browser or a \
         health check, at this port"
    );
}

/// A TLS hello came where SMTP is spoken.
pub fn tls_hello_came() {
    once_a_minute!(
        "a TLS hello came to the SMTP port and was cut off: set the app's encryption to \"none\" (not SMTPS, SSL or \
         port 465); mailshim does TLS to Office 365"
    );
}

/// The app did not stop sending what is refused.
pub fn too_many_refused_commands() {
    once_a_minute!("a session was ended after too many refused commands");
}

/// A BDAT command was lost, and with it where its content ends.
pub fn bdat_unreadable() {
    once_a_minute!("a session was ended: its BDAT command could not be read");
}

/// Apps hang up after the same time, again and again, while their mail waits.
pub fn apps_are_impatient(time_out: Duration) {
    let seconds = time_out.as_secs().max(2);
    warn!(
        "apps keep hanging up after about {seconds} s while their mail waits: raise their time-out (to 60 s or more), or set \
         MAILSHIM_HOLD={}s, so that they hear 451 before and try again",
        seconds - 1
    );
}

// --- a message ---

/// One attempt failed, another follows. The message's own line tells the last fault; this one is for those before.
pub fn attempt_failed(id: MessageId, attempt: u32, fault: &Fault, pause: Duration) {
    metrics().attempt_failed(fault.stage().name());
    let rule = fault.rule();
    if let Some(repeated) = repeats::due(&format!("attempt {} {rule}", fault.stage().name())) {
        let stage = fault.stage().name();
        let fault = shown(&fault.to_string());
        warn!(%id, attempt, stage, again_in = ?pause, repeated = some(repeated), "{fault}");
    }
}

// --- upstream ---

/// A connection carries a mail, or is being opened for one.
pub fn connection_in_use() -> Counted {
    Counted::new(&metrics().connections_in_use)
}

/// A connection waits for a mail.
pub fn connection_idle() -> Counted {
    Counted::new(&metrics().connections_idle)
}

/// Whether the dialogue with Office 365 is logged now.
pub fn dialogue_is_logged() -> bool {
    tracing::enabled!(tracing::Level::TRACE)
}

/// A line of the dialogue with Office 365; secrets are redacted by their types, and once more here.
pub fn wire(side: char, line: &impl fmt::Display) {
    if dialogue_is_logged() {
        trace!("{side}: {}", shown(&line.to_string()));
    }
}

/// The token was renewed in the background: how long the new one is handed out, and when it will be renewed.
pub fn token_renewed(good_for: Duration, renew_in: Duration) {
    info!(good_for_s = good_for.as_secs(), renew_in_s = renew_in.as_secs(), "a token was obtained");
}

/// The token could not be renewed in the background: when that is tried again, and how long the old one is still handed
/// out, if there is one.
pub fn token_not_renewed(mailbox: &str, fault: &Fault, again_in: Duration, still_good_for: Option<Duration>) {
    let Some(still_good_for) = still_good_for else {
        // No sign-in was made that could be counted: that is told by whoever waits for the token to make one.
        return not_ready(mailbox, fault, Some(again_in));
    };
    if let Some(repeated) = repeats::due(&format!("renewal {}", fault.rule())) {
        let hint = judge(fault, &Context { mailbox, ..Context::default() }).hint;
        let hint = hint.map(|hint| format!(" | Fix: {hint}")).unwrap_or_default();
        warn!(
            again_in_s = again_in.as_secs(),
            still_good_for_s = still_good_for.as_secs(),
            repeated = some(repeated),
            "no token could be obtained: {}",
            shown(&format!("{fault}{hint}"))
        );
    }
}

/// A connection was opened and signed in.
pub fn signed_in(mailbox: &str) {
    metrics().sign_in("accepted");
    let is_news = !readiness::is_signed_in();
    match readiness::signed_in() {
        Some(after) => {
            info!("ready: signed in after {}", in_words(after));
            readiness::tell_ready(mailbox, after);
        }
        None if is_news => info!("signed in to Office 365"),
        None => {}
    }
}

/// No connection could be opened and signed in; the next try comes in this time, or with the next mail.
pub fn sign_in_failed(mailbox: &str, fault: &Fault, next: Option<Duration>) {
    metrics().sign_in("failed");
    not_ready(mailbox, fault, next);
}

/// Nothing fails in silence: the first line says what is wrong and how to mend it, and so does each change of that; the
/// same again is counted, and said now and then.
fn not_ready(mailbox: &str, fault: &Fault, next: Option<Duration>) {
    let why = NotReady::of(mailbox, fault);
    let cause = format!("{} {}", fault.stage().name(), fault.rule());
    let next = next.map_or_else(
        || "with the next mail".to_string(),
        |next| format!("in {}", in_words(next.max(Duration::from_secs(1)))),
    );
    match readiness::failed(why.clone(), &cause) {
        Some((_, 1)) => {
            warn!("not ready, mail will wait or fail: {why} | next try {next}");
            alert("not_ready", mailbox, &why.reason, why.fix.as_deref());
        }
        Some((since, times)) => {
            let since = in_words(since);
            warn!("not ready for {since}, {times} tries, mail waits or fails: {why} | next try {next}");
        }
        None => {}
    }
}

/// A mailbox whose sign-ins are held back, since the last ones were refused.
pub fn breaker_open() -> Counted {
    Counted::new(&metrics().breaker_open)
}

/// A token was obtained, in the background or for a mail, and is handed out for this long; the certificate that it was
/// asked for with, if one was, ends then.
pub fn token_obtained(good_for: Duration, certificate_ends: Option<SystemTime>) {
    metrics().token(good_for);
    if let Some(ends) = certificate_ends {
        let since_1970 = ends.duration_since(UNIX_EPOCH).unwrap_or_default();
        metrics().certificate_ends.set(since_1970.as_secs_f64());
    }
}

/// This keeps all mail of a mailbox back for longer than minutes. Each mail's line says so in the log; a refused sign-in
/// is told by [`sign_in_failed`].
pub fn mailbox_held(mailbox: &str, fault: &Fault) {
    if !matches!(fault.stage(), Stage::Auth | Stage::Token) {
        let why = NotReady::of(mailbox, fault);
        alert("held", mailbox, &why.reason, why.fix.as_deref());
    }
}

/// A sender of `MAILSHIM_LOGIN_AS_SENDER` may not sign in; the others' mail goes on.
pub fn sender_refused() {
    metrics().sign_in("failed");
}

/// For a field that is left out where nothing was held back.
fn some(repeated: u64) -> Option<u64> {
    (repeated > 0).then_some(repeated)
}

/// The file of MAILSHIM_REFRESH_TOKEN_FILE could not be rewritten; mail goes on.
pub fn refresh_token_not_kept(problem: &str) {
    warn!(
        "the new refresh token could not be kept ({problem}): the old one goes on, but ends 90 days after it was given; \
         put MAILSHIM_REFRESH_TOKEN_FILE on a volume that can be written"
    );
}
