//! `/readyz`: whether mail would go out, and why not.

use office365::{Fault, Office365, Settings, Times};
use support::{PATIENCE, close_idle};

use crate::process::MAIL;

use super::http::start;

#[test]
fn not_before_the_first_sign_in() {
    let office365 = Office365::start(Settings::default());
    office365.fault(Fault::TokenStall, Times::Always);
    let (_shim, probes) = start(&office365, "127.0.0.1:0", &[]);
    let answer = probes.ask("GET", "/readyz");
    assert_eq!((answer.status, answer.body.as_str()), (503, "not ready: the first sign-in is under way\n"));
    assert_eq!(probes.ask("GET", "/livez").status, 200);
    assert_eq!(probes.ask("HEAD", "/readyz").status, 503);
}

/// The reason is for the operator of this namespace: both ends of the connection are loopback, whatever is bound. That
/// others hear none is a unit test's of `telemetry/http.rs`.
#[test]
fn the_reason_is_told_on_loopback() {
    for listen in ["127.0.0.1:0", "0.0.0.0:0"] {
        let office365 = Office365::start(Settings::default());
        let secret = [("MAILSHIM_CLIENT_SECRET", "c4n4ry-wrong")];
        let (_shim, probes) = start(&office365, listen, &secret);
        let answer =
            probes.until("/readyz", |answer| !answer.body.contains("under way") && has_failed(probes));
        assert_eq!(answer.status, 503);
        assert!(!answer.body.contains("c4n4ry"), "{}", answer.body);
        for part in ["AADSTS7000215", " | Fix: Set MAILSHIM_CLIENT_SECRET to the secret's Value"] {
            assert!(answer.body.contains(part), "{part}: {}", answer.body);
        }
    }
}

fn has_failed(probes: super::http::Probes) -> bool {
    let metrics = probes.ask("GET", "/metrics").body;
    let failed =
        metrics.lines().find_map(|line| line.strip_prefix("mailshim_sign_ins_total{result=\"failed\"} "));
    failed.is_some_and(|count| count != "0")
}

#[test]
fn it_comes_back_with_the_next_sign_in() {
    let office365 = Office365::start(Settings::default());
    let (shim, probes) = start(&office365, "127.0.0.1:0", &[]);
    probes.until("/readyz", |answer| answer.status == 200);
    office365.fault(Fault::StartTlsAbsent, Times::Once);
    close_idle(&office365);
    let mut app = shim.client();
    let answer = app.mail(MAIL);
    assert!(answer.starts_with("451 "), "{answer}");
    assert_eq!(probes.ask("GET", "/readyz").status, 503);
    let answer = app.mail(MAIL);
    assert!(answer.starts_with("250 "), "{answer}");
    assert_eq!(probes.ask("GET", "/readyz").status, 200);
}

/// Else one wrong address of an app would look as if no mail went out.
#[test]
fn a_sender_that_may_not_sign_in_does_not_make_the_others_unready() {
    let office365 = Office365::start(Settings::default());
    let each_its_own = [("MAILSHIM_LOGIN_AS_SENDER", "*@contoso.com")];
    let (shim, probes) = start(&office365, "127.0.0.1:0", &each_its_own);
    let send = |sender: &str| {
        let content = format!("From: {sender}\r\nSubject: x\r\n\r\ntext\r\n");
        shim.client().mail_as(sender, &content)
    };
    send("app@contoso.com").is(250);
    assert!(office365.wait(PATIENCE, |stats| stats.auth_ok > 0));
    send("nobody@contoso.com").is(454);
    let answer = probes.ask("GET", "/readyz");
    assert_eq!(answer.status, 200, "{}", answer.body);
    office365.set_mailboxes(&[]);
    close_idle(&office365);
    send("app@contoso.com").is(454);
    let answer = probes.ask("GET", "/readyz");
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("Authentication unsuccessful"), "{}", answer.body);
}
