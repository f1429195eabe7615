//! `mailshim status`, and the same over HTTP: does mail go out, and if not why, since when, for whom?

use std::process::Command;

use office365::{Fault, Office365, Settings, Stage, Times};
use serde_json::Value;
use support::files::Directory;
use support::program::{Ended, program, run};

use crate::telemetry::http::{Answer, Probes, start};

const MAIL: &str = "From: app@contoso.com\r\nSubject: c4n4ry\r\n\r\nc4n4ry\r\n";

/// `mailshim status`, which is told where to ask and nothing else.
fn status(http_listen: &str, flags: &[&str]) -> Ended {
    let mut command = Command::new(program());
    run(command.env_clear().env("MAILSHIM_HTTP_LISTEN", http_listen).arg("status").args(flags), b"")
}

#[track_caller]
fn json(probes: Probes) -> Value {
    let ended = status(&probes.0.to_string(), &["--json"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    serde_json::from_str(&ended.stdout).expect("JSON")
}

/// Both renderings for people say all of this, and nothing of a mail's content.
#[track_caller]
fn says(probes: Probes, words: &[&str]) {
    let ended = status(&probes.0.to_string(), &[]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    let page = probes.ask("GET", "/");
    assert_eq!(page.status, 200);
    assert!(page.head.contains("content-type: text/html") && page.head.contains("default-src 'none'"));
    for words in words {
        assert!(ended.stdout.contains(words), "{words}: {}", ended.stdout);
        assert!(page.body.contains(words), "{words}: {}", page.body);
    }
    assert!(!ended.stdout.contains("c4n4ry") && !page.body.contains("c4n4ry"), "{}", ended.stdout);
}

fn with_fault(at: Stage, reply: &str) -> Office365 {
    let office365 = Office365::start(Settings::default());
    office365.fault(Fault::ReplyAt(at, reply.to_string()), Times::Always);
    office365
}

#[test]
fn a_refused_sign_in() {
    let office365 = with_fault(Stage::Auth, "535 5.7.3 Authentication unsuccessful");
    let (shim, probes) = start(&office365, "127.0.0.1:0", &[]);
    probes.until("/readyz", |answer| answer.body.contains("535 5.7.3"));
    shim.client().mail(MAIL).is(454);
    let fix = "Run mailshim check: it says which is wrong, the credentials, app@contoso.com";
    let refusal = "535 5.7.3 Authentication unsuccessful";
    says(probes, &["Mail does not go out", refusal, fix, "since 20", "ann@fabrikam.com"]);
    let value = json(probes);
    assert_eq!((&value["ready"], &value["breaker"][0]["state"]), (&false.into(), &"open".into()));
    assert_eq!(value["breaker"][0]["mailbox"], "app@contoso.com");
    let refused = &value["refusals"][0];
    assert_eq!((&refused["outcome"], &refused["code"]), (&"deferred".into(), &"454 4.7.3".into()));
    assert_eq!((&refused["from"], &refused["to"]), (&"app@contoso.com".into(), &"ann@fabrikam.com".into()));
    for key in ["since", "reason", "fix"] {
        assert!(value[key].is_string() && refused["fix"].is_string(), "{key}: {value}");
    }
}

#[test]
fn a_throttled_mailbox_and_then_mail_that_goes_out() {
    let office365 =
        with_fault(Stage::Dot, "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; x");
    let (shim, probes) = start(&office365, "127.0.0.1:0", &[("MAILSHIM_HOLD", "1s")]);
    probes.until("/readyz", |answer| answer.status == 200);
    shim.client().mail(MAIL).is(451);
    says(
        probes,
        &["Mail does not go out for now", "Office 365 throttles the mailbox", "app@contoso.com", "until 20"],
    );
    let value = json(probes);
    assert_eq!((&value["ready"], &value["pauses"][0]["kind"]), (&true.into(), &"throttled".into()));
    assert_eq!(
        (&value["pauses"][0]["mailbox"], &value["pauses"][0]["sender"]),
        (&"app@contoso.com".into(), &Value::Null)
    );

    let office365 = Office365::start(Settings::default());
    let (shim, probes) = start(&office365, "127.0.0.1:0", &[]);
    probes.until("/readyz", |answer| answer.status == 200);
    for _ in 0..3 {
        shim.client().mail(MAIL).is(250);
    }
    says(probes, &["Mail goes out", "3 in the last hour"]);
    let value = json(probes);
    let minutes = value["per_minute"].as_array().expect("a list");
    assert_eq!((minutes.len(), minutes.iter().filter_map(Value::as_u64).sum()), (60, 3));
    assert_eq!((&value["limit"], &value["refusals"]), (&28.into(), &serde_json::json!([])));
    assert_eq!(
        (&value["reason"], &value["breaker"], &value["queue"]),
        (&Value::Null, &serde_json::json!([]), &Value::Null)
    );
    assert_eq!(probes.ask("HEAD", "/").body, "");
}

/// Whose mail is kept back is told, and the others' goes on.
#[test]
fn of_several_mailboxes_the_one_that_may_not_sign_in() {
    let office365 = Office365::start(Settings::default());
    let each_its_own = [("MAILSHIM_LOGIN_AS_SENDER", "*@contoso.com")];
    let (shim, probes) = start(&office365, "127.0.0.1:0", &each_its_own);
    shim.client().mail(MAIL).is(250);
    let theirs = MAIL.replace("app@", "nobody@");
    shim.client().mail_as("nobody@contoso.com", &theirs).is(454);
    says(
        probes,
        &["Some mail was not accepted in the last 10 minutes", "Sign-ins are refused", "nobody@contoso.com"],
    );
    let value = json(probes);
    assert_eq!(
        (&value["ready"], &value["breaker"][0]["mailbox"]),
        (&true.into(), &"nobody@contoso.com".into())
    );
    assert_eq!(value["breaker"].as_array().map(Vec::len), Some(1));
}

#[test]
fn addresses_are_shown_as_far_as_the_log_shows_them() {
    let office365 = with_fault(Stage::Dot, "554 5.7.1 ann@fabrikam.com may not hear from app@contoso.com");
    let (shim, probes) = start(&office365, "127.0.0.1:0", &[("MAILSHIM_LOG_ADDRESSES", "none")]);
    shim.client().mail(MAIL);
    let ended = status(&probes.0.to_string(), &["--json"]);
    let page = probes.ask("GET", "/").body;
    for text in [&ended.stdout, &page] {
        assert!(text.contains("may not hear from"), "{text}");
        assert!(!text.contains("contoso") && !text.contains("fabrikam"), "{text}");
    }
}

#[test]
fn what_waits_in_the_spool() {
    let (directory, office365) = (Directory::new(), with_fault(Stage::Dot, "451 4.7.0 not now"));
    let (shim, probes) = start(&office365, "127.0.0.1:0", &[("MAILSHIM_SPOOL_DIR", &directory.path(""))]);
    shim.client().mail(MAIL).is(250);
    let waits =
        |answer: &Answer| answer.body.contains("1 mails") && answer.body.contains("451 4.7.0 not now");
    probes.until("/", waits);
    let value = json(probes);
    assert_eq!((&value["queue"]["mails"], &value["refusals"][0]["outcome"]), (&1.into(), &"deferred".into()));
}

#[test]
fn nobody_to_ask_is_1_and_a_mistake_is_64() {
    let off = status("off", &[]);
    assert_eq!(off.code, 1);
    assert!(off.stderr.contains("MAILSHIM_HTTP_LISTEN is off"), "{}", off.stderr);
    let nobody = status("127.0.0.1:1", &["--json"]);
    assert_eq!((nobody.code, nobody.stdout.as_str()), (1, ""));
    assert!(nobody.stderr.contains("does not answer"), "{}", nobody.stderr);
    assert_eq!(status("nowhere", &[]).code, 64);
    assert_eq!(status("off", &["--jason"]).code, 64);
}
