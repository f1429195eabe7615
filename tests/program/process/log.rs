//! The log: the fields of a message's line are those of docs/reference.md, and no secret is in any line.

use std::collections::BTreeSet;

use base64::prelude::{BASE64_STANDARD, Engine};
use office365::{Fault, Office365, Settings, Stage, Times};
use support::client::RECIPIENT;
use support::close_idle;
use support::program::{Program, event};

use super::MAIL;

const LINE: &str = "\"message\":\"mail ";

/// The names in the reference's table of a message's fields.
fn documented() -> BTreeSet<String> {
    let reference = include_str!("../../../docs/reference.md");
    let (_, section) = reference.split_once("\n## The log\n").expect("a section");
    let section = section.split("\n## ").next().expect("its text");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    rows.map(|(name, _)| name.to_string()).collect()
}

fn keys(line: &serde_json::Value) -> BTreeSet<String> {
    line.as_object().expect("an object").keys().cloned().collect()
}

fn without(names: &[&str]) -> BTreeSet<String> {
    let mut rest = documented();
    for name in names {
        assert!(rest.remove(*name), "{name} is not documented");
    }
    rest
}

#[test]
fn a_messages_line_has_the_documented_fields() {
    let office365 = Office365::start(Settings::default());
    let mut shim = Program::start(&office365, &[]);
    let mut app = shim.client();

    let answer = app.mail(MAIL);
    let line = event(&shim.wait_for(LINE));
    assert_eq!(
        keys(&line),
        without(&["about", "reason", "was", "app_heard", "upstream", "first_id", "possible_duplicate"])
    );
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["outcome"], "accepted");
    assert_eq!(line["stage"], "verdict");
    assert_eq!(line["message_id"], "<1@erp>");
    assert_eq!(line["changes"], "date_added");
    assert_eq!(line["from"], "app@contoso.com");
    assert_eq!((&line["recipients"], &line["attempts"]), (&1.into(), &1.into()));
    // Received and Date are added.
    assert!(line["octets"].as_u64().is_some_and(|octets| octets > MAIL.len() as u64), "{line}");
    assert_eq!(line["reply"], *answer);
    assert!(answer.contains("[Hostname="), "{answer}");
    assert_eq!(line["message"], "mail accepted");
    assert_eq!(line["to"], serde_json::json!(["ann@fabrikam.com"]));
    for phase in ["receive_ms", "wait_ms", "connect_ms", "send_ms", "total_ms"] {
        assert!(line[phase].as_f64().is_some_and(|time| time >= 0.0), "{phase}: {line}");
    }

    let unknown = "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found";
    office365.fault(Fault::ReplyAt(Stage::Rcpt, unknown.into()), Times::Once);
    let answer = app.mail(MAIL);
    assert!(answer.starts_with("550 5.1.10 Office 365 about <ann@fabrikam.com>: "), "{answer}");
    let line = event(&shim.wait_for(LINE));
    assert_eq!(keys(&line), without(&["reason", "was", "app_heard", "first_id", "possible_duplicate"]));
    assert_eq!(line["level"], "WARN");
    assert_eq!((&line["outcome"], &line["stage"]), (&"refused".into(), &"rcpt".into()));
    assert_eq!((&line["about"], &line["reply"]), (&"ann@fabrikam.com".into(), &(*answer).into()));
    assert!(line["upstream"].as_str().is_some_and(|upstream| upstream.contains(unknown)), "{line}");

    app.begin(&[RECIPIENT]);
    app.send("Subject: given up");
    drop(app);
    let line = event(&shim.wait_for(LINE));
    let parts = [
        "stage",
        "about",
        "receive_ms",
        "wait_ms",
        "connect_ms",
        "send_ms",
        "reply",
        "upstream",
        "message_id",
        "changes",
        "was",
        "app_heard",
        "first_id",
        "possible_duplicate",
    ];
    assert_eq!(keys(&line), without(&parts));
    assert_eq!((&line["level"], &line["outcome"]), (&"WARN".into(), &"abandoned".into()));
}

#[test]
fn no_secret_and_no_content_is_logged_even_at_trace_level() {
    let settings = Settings { client_secret: "c4n4ry-client".into(), ..Settings::default() };
    let office365 = Office365::start(settings);
    let variables = [
        ("MAILSHIM_LOG", "trace,hyper=trace,rustls=trace,tokio=trace,mio=trace"),
        ("MAILSHIM_APP_USERNAME", "erp"),
        ("MAILSHIM_APP_PASSWORD", "c4n4ry-app"),
    ];
    let mut shim = Program::start(&office365, &variables);
    let mut app = shim.client();
    let encoded = |text: &str| BASE64_STANDARD.encode(text);
    assert!(app.command(&format!("AUTH PLAIN {}", encoded("\0erp\0c4n4ry-wrong"))).starts_with("535 "));
    assert!(app.command(&format!("AUTH PLAIN {}", encoded("\0erp\0c4n4ry-app"))).starts_with("235 "));
    app.begin(&[RECIPIENT]);
    app.send("From: app@contoso.com\r\nSubject: c4n4ry-subject\r\n\r\nc4n4ry-body\r\n");
    let answer = app.command(".");
    assert!(answer.starts_with("250 "), "{answer}");
    // The sign-in is refused, and the token service: their words are logged, and must not say anything back.
    office365.revoke_tokens();
    office365.set_client_secret("another");
    close_idle(&office365);
    let answer = app.mail(MAIL);
    assert!(answer.starts_with("45"), "{answer}");
    shim.signal("TERM");
    assert_eq!(shim.wait().code(), Some(0));
    let log = shim.log.join("\n");
    assert!(log.contains("AUTH XOAUTH2 [redacted]") && log.contains("AADSTS"), "the trace is on:\n{log}");
    // A token begins so, plain and as base64 inside of XOAUTH2's response.
    let token = ["eyJ0", "dXNlcj"];
    let base64 = ["c4n4ry-app", "\0erp\0c4n4ry-wrong", "c4n4ry-client"].map(encoded);
    for secret in token.iter().copied().chain(base64.iter().map(String::as_str)).chain(["c4n4ry"]) {
        let line = shim.log.iter().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}
