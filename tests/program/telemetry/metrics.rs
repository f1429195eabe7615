//! Gauges and counters that follow what happens, read as a scraper reads them. That the text is OpenMetrics is judged by
//! Prometheus' own parser, in `tests/outside/metrics/check.py`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use office365::{AppCertificate, Fault, Office365, Settings, Stage, Times};
use support::files::TempFile;
use support::{PATIENCE, close_idle};

use crate::process::MAIL;

use super::http::{Answer, Probes, start, start_without_secret};

/// The value of a series.
fn value(answer: &Answer, series: &str) -> Option<f64> {
    let line = answer.body.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map(|value| value.parse().expect("a number"))
}

#[track_caller]
fn becomes(probes: Probes, series: &str, wanted: f64) {
    probes.until("/metrics", |answer| value(answer, series) == Some(wanted));
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[test]
fn mails_are_counted_by_what_became_of_them() {
    let office365 = Office365::start(Settings::default());
    let (shim, probes) = start(&office365, "127.0.0.1:0", &[]);
    probes.until("/readyz", |answer| answer.status == 200);
    let mut app = shim.client();
    assert!(app.mail(MAIL).starts_with("250 "));
    let refusal = "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found";
    office365.fault(Fault::ReplyAt(Stage::Rcpt, refusal.into()), Times::Once);
    assert!(app.mail(MAIL).starts_with("550 "));
    let answer = probes.ask("GET", "/metrics");
    for (series, wanted) in [
        ("mailshim_messages_total{outcome=\"accepted\",code=\"2.0.0\"}", 1.0),
        ("mailshim_messages_total{outcome=\"refused\",code=\"5.1.10\"}", 1.0),
        ("mailshim_message_recipients_total", 1.0),
        ("mailshim_message_phase_seconds_count{phase=\"send\"}", 2.0),
        ("mailshim_app_sessions", 1.0),
        ("mailshim_ready", 1.0),
        ("mailshim_breaker_open", 0.0),
        ("mailshim_panics_total", 0.0),
        ("mailshim_certificate_expiry_timestamp_seconds", 0.0),
    ] {
        assert_eq!(value(&answer, series), Some(wanted), "{series}\n{}", answer.body);
    }
    // With the header fields that were added.
    let octets = value(&answer, "mailshim_message_content_bytes_total");
    assert!(octets.is_some_and(|octets| octets > MAIL.len() as f64), "{octets:?}");
    drop(app);
    becomes(probes, "mailshim_app_sessions", 0.0);
    becomes(probes, "mailshim_app_sessions_ended_total{ending=\"hung_up\"}", 1.0);
}

#[test]
fn the_breaker_and_the_secret_that_closes_it() {
    let office365 = Office365::start(Settings::default());
    let good =
        office365.env().into_iter().find(|(name, _)| name == "MAILSHIM_CLIENT_SECRET").expect("a secret").1;
    let file = TempFile::new("c4n4ry-wrong");
    let (shim, probes) = start_without_secret(&office365, &[("MAILSHIM_CLIENT_SECRET_FILE", file.path())]);
    becomes(probes, "mailshim_breaker_open", 1.0);
    becomes(probes, "mailshim_ready", 0.0);
    file.write(good);
    let mut app = shim.client();
    // The refusal is remembered for a moment by the token's cache.
    let until = std::time::Instant::now() + PATIENCE;
    while !app.mail(MAIL).starts_with("250 ") {
        assert!(std::time::Instant::now() < until, "the new secret is not tried");
        std::thread::sleep(Duration::from_millis(100));
    }
    becomes(probes, "mailshim_breaker_open", 0.0);
    becomes(probes, "mailshim_ready", 1.0);
}

/// Also where a mail renewed it: the background's own renewal has nothing to do then.
#[test]
fn a_token_that_a_mail_asked_for_is_told() {
    let office365 = Office365::start(Settings::default());
    let (shim, probes) = start(&office365, "127.0.0.1:0", &[]);
    probes.until("/readyz", |answer| answer.status == 200);
    const OBTAINED: &str = "mailshim_token_obtained_timestamp_seconds";
    let first = value(&probes.ask("GET", "/metrics"), OBTAINED).expect("a time");
    assert!(first > now() - 600.0 && first <= now(), "{first}");
    office365.revoke_tokens();
    close_idle(&office365);
    let answer = shim.client().mail(MAIL);
    assert!(answer.starts_with("250 "), "{answer}");
    let answer = probes.ask("GET", "/metrics");
    assert!(value(&answer, OBTAINED).is_some_and(|second| second > first), "{}", answer.body);
    let ends = value(&answer, "mailshim_token_expiry_timestamp_seconds").expect("a time");
    assert!(ends > now() + 3000.0 && ends < now() + 3600.0, "{ends}");
}

#[test]
fn the_certificates_end_is_told() {
    let certificate = AppCertificate::valid(-1, 90);
    let office365 =
        Office365::start(Settings { certificates: vec![certificate.der.clone()], ..Settings::default() });
    for (content, password) in
        [(certificate.pem().into_bytes(), ""), (certificate.pkcs12("pass word", &[]), "pass word")]
    {
        let file = TempFile::new(content);
        let variables = [
            ("MAILSHIM_CLIENT_CERTIFICATE_PATH", file.path()),
            ("MAILSHIM_CLIENT_CERTIFICATE_PASSWORD", password),
        ];
        let (_shim, probes) = start_without_secret(&office365, &variables);
        probes.until("/readyz", |answer| answer.status == 200);
        let ends = value(&probes.ask("GET", "/metrics"), "mailshim_certificate_expiry_timestamp_seconds")
            .expect("a time");
        let days = (ends - now()) / 86_400.0;
        assert!((89.0..=90.0).contains(&days), "{days}");
    }
}
