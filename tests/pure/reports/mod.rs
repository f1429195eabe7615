//! The reports about mail that was not delivered, against `tests/golden/reports/`: documents to be reviewed as a person
//! who has never heard of mailshim would read them. `UPDATE_GOLDEN=1 cargo test --test pure reports` writes them anew.
//! `tests/outside/reports` lets others read them.

use std::path::Path;
use std::time::Duration;

use mailshim::testing::delivery::settlement::{Moment, Verdicts};
use mailshim::testing::message::policy::Policy;
use mailshim::testing::message::sender::{AddressList, FromPolicy, Sender};
use mailshim::testing::outcome::{Cause, Context, Fault, Outcome, RecipientOutcome, Stage};
use mailshim::testing::queue::entry::{Entry, Head, Sent, StoredEnvelope, StoredRecipient};
use mailshim::testing::queue::report::{Listed, ReportOptions, Stamp, owed};
use mailshim::testing::smtp::path::Address;
use mailshim::testing::smtp::reply::Reply;
use mailshim::testing::spool::Then;

const ACCEPTED_AT: u64 = 1_764_118_800;
const LIFETIME: Duration = Duration::from_secs(432_000);
const HEADER: &str = "Received: from [127.0.0.1] by contoso.com with ESMTP id 6926d2a00e1f;\r\n \
    Wed, 26 Nov 2025 01:00:00 +0000\r\nFrom: Invoices <app@contoso.com>\r\nTo: nobody@fabrikam.com\r\n\
    Subject: Invoice 4711\r\nDate: Wed, 26 Nov 2025 01:00:00 +0000\r\nMessage-ID: <4711@contoso.com>\r\n";
/// Exchange's usual end of a reply.
const TRACE: &str =
    "[AM0PR01MB1234.eurprd01.prod.exchangelabs.com 2025-11-26T01:00:01.000Z 08DE2C1B7A9C0D11]";

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn options() -> ReportOptions {
    let policy = Policy {
        from_policy: FromPolicy::Repair,
        from: Sender { display: None, address: address("app@contoso.com") },
        null_sender_stays: false,
        allowed_senders: None,
        allowed_recipients: None,
        login_as_sender: None,
        local_to: None,
        redirect_to: None,
        hostname: "contoso.com".into(),
        domain: "contoso.com".into(),
    };
    ReportOptions {
        to: None,
        mailbox: address("app@contoso.com"),
        policy,
        upstream: "smtp.office365.com".into(),
    }
}

fn entry(sender: Option<&str>, recipients: &[&str]) -> Entry {
    let recipient =
        |address: &&str| StoredRecipient { address: (*address).into(), notify: None, orcpt: None };
    let envelope = StoredEnvelope {
        reverse_path: sender.map(Into::into),
        eight_bit: false,
        ret: None,
        envid: None,
        recipients: recipients.iter().map(recipient).collect(),
    };
    let sent = Sent {
        envelope: envelope.clone(),
        from_is_ours: false,
        was_null_sender: sender.is_none(),
        changes: Vec::new(),
    };
    let head = Head {
        id: "6926d2a00e1f".into(),
        created: ACCEPTED_AT,
        message_id: Some("<4711@contoso.com>".into()),
        app: envelope,
        header: HEADER.into(),
        sent,
        report: false,
    };
    Entry { head, content_at: 0, length: 0, attempts: Vec::new() }
}

fn failed(stage: Stage, cause: Cause) -> RecipientOutcome {
    RecipientOutcome::Settled(Outcome::Failed(Fault::new(stage, cause)))
}

fn refused(stage: Stage, line: &str) -> RecipientOutcome {
    let (code, text) = line.split_once(' ').unwrap();
    failed(stage, Cause::Refused(Reply::new(code.parse().unwrap(), format!("{text} {TRACE}"))))
}

/// Attempts, so many seconds after each other.
fn tried(mut entry: Entry, attempts: &[(u64, Vec<RecipientOutcome>)]) -> Entry {
    let context = Context { mailbox: "app@contoso.com", spool: true, from_is_ours: false };
    let mut now = ACCEPTED_AT;
    for (since, outcomes) in attempts {
        now += since;
        let mut verdicts = Verdicts::new(outcomes, &entry.waiting(), &context);
        let moment = Moment { now, since: *since, lifetime: LIFETIME, chance: 0.5 };
        let (attempt, then) = verdicts.settle(&entry, moment);
        assert!(then != Then::Remove, "{attempt:?}");
        entry.attempts.push(attempt);
    }
    entry
}

fn report(entry: &Entry, header: &str) -> String {
    let to = options().recipient(entry).expect("somebody to tell");
    assert!(!owed(entry).is_empty(), "there is something to tell");
    let last = entry.attempts.last().unwrap();
    let stamp = Stamp { now: last.at, id: "6926d3000001" };
    let report = options().report(entry, &owed(entry), &to, header.as_bytes(), stamp);
    assert!(report.content.starts_with(&report.header));
    String::from_utf8(report.content).expect("text")
}

#[track_caller]
fn compare(name: &str, report: &str) {
    for line in report.split("\r\n") {
        assert!(line.len() <= 998 && !line.contains(['\r', '\n']), "{line:?}");
    }
    assert!(report.is_ascii() || name.starts_with("non_ascii"), "{name} is not 7-bit");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/reports/{name}.eml"));
    let now = report.replace("\r\n", "\n");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    for (line, (now, golden)) in now.lines().zip(golden.lines()).enumerate() {
        assert_eq!(now, golden, "{name} line {}", line + 1);
    }
    assert_eq!(now.len(), golden.len(), "{name} ends elsewhere");
}

const UNKNOWN: &str = "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient nobody@fabrikam.com not found by SMTP address lookup";

fn one(stage: Stage, line: &str) -> String {
    let entry = entry(Some("app@contoso.com"), &["nobody@fabrikam.com"]);
    report(&tried(entry, &[(2, vec![refused(stage, line)])]), HEADER)
}

#[test]
fn each_class_of_refusal() {
    for (name, stage, line) in [
        ("unknown_recipient", Stage::Rcpt, UNKNOWN),
        (
            "send_as_denied",
            Stage::Verdict,
            "554 5.2.252 SendAsDenied; app@contoso.com not allowed to send as boss@contoso.com; \
             STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; Failed to process message due to a \
             permanent exception with message [BeginDiagnosticData]Cannot submit message. 0.35250:6F030000[EndDiagnosticData]",
        ),
        ("too_large", Stage::Verdict, "552 5.3.4 Message size exceeds fixed maximum message size"),
        (
            "policy",
            Stage::Verdict,
            "550 5.7.1 TRANSPORT.RULES.RejectMessage; the message was rejected by organization policy",
        ),
        ("rejected_by_recipient", Stage::Rcpt, "550 5.7.507 Access denied, rejected by recipient"),
    ] {
        compare(name, &one(stage, line));
    }
}

#[test]
fn what_was_given_up() {
    let silent = || failed(Stage::Connect, Cause::TimedOut(Duration::from_secs(30)));
    let set_up = || refused(Stage::Auth, "535 5.7.3 Authentication unsuccessful");
    let busy = || refused(Stage::Rcpt, "451 4.7.500 Access denied, please try again later (AS77712)");
    let entry = || entry(Some("app@contoso.com"), &["nobody@fabrikam.com"]);
    let days = 5 * 86_400;
    compare(
        "expired_network",
        &report(
            &tried(entry(), &[(2, vec![silent()]), (30, vec![silent()]), (days, vec![silent()])]),
            HEADER,
        ),
    );
    compare(
        "expired_throttled",
        &report(&tried(entry(), &[(2, vec![busy()]), (days, vec![busy()])]), HEADER),
    );
    // A week in which nobody could sign in is no part of its life.
    let after = tried(entry(), &[(2, vec![set_up()]), (7 * 86_400, vec![set_up()])]);
    assert_eq!(owed(&after), [0; 0]);
    let after = tried(entry(), &[(7 * 86_400, vec![set_up()]), (days, vec![silent()])]);
    compare("expired_after_set_up_fault", &report(&after, HEADER));
}

#[test]
fn several_recipients() {
    let recipients = ["ann@fabrikam.com", "nobody@fabrikam.com", "closed@fabrikam.com", "bob@fabrikam.com"];
    let mut entry = entry(Some("app@contoso.com"), &recipients);
    entry.head.app.envid = Some("QQ314159+2B".into());
    entry.head.sent.envelope.recipients[1].orcpt = Some("rfc822;Nobody+2Bx@fabrikam.com".into());
    let accepted = RecipientOutcome::Settled(Outcome::Accepted(Reply::new(250, "2.0.0 OK")));
    let outcomes = vec![
        accepted,
        refused(Stage::Rcpt, UNKNOWN),
        refused(Stage::Rcpt, "550 5.7.507 Access denied, rejected by recipient"),
        refused(Stage::Rcpt, "451 4.7.500 Access denied, please try again later (AS77712)"),
    ];
    let entry = tried(entry, &[(2, outcomes)]);
    assert_eq!(owed(&entry), [1, 2]);
    let text = report(&entry, HEADER);
    assert!(!text.contains("ann@fabrikam.com") && !text.contains("bob@fabrikam.com"), "{text}");
    compare("mixed_recipients", &text);
    let all: Vec<String> = (0..12).map(|number| format!("r{number}@fabrikam.com")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let outcomes =
        vec![refused(Stage::Verdict, "552 5.3.4 Message size exceeds fixed maximum message size"); 12];
    let entry = tried(self::entry(Some("app@contoso.com"), &all), &[(2, outcomes)]);
    compare("many_recipients", &report(&entry, HEADER));
}

#[test]
fn many_mails() {
    let listed = |number: usize| {
        let mut entry = entry(Some("app@contoso.com"), &["nobody@fabrikam.com"]);
        entry.head.id = format!("6926d2a0{number:04x}");
        entry.head.message_id = Some(format!("<{number}@contoso.com>"));
        let entry = tried(entry, &[(2, vec![refused(Stage::Rcpt, UNKNOWN)])]);
        Listed::of(&entry, &owed(&entry)).unwrap()
    };
    let listed: Vec<Listed> = (0..5).map(listed).collect();
    let stamp = Stamp { now: ACCEPTED_AT + 3600, id: "6926d3000001" };
    let merged = |all| options().merged(&listed, all, &address("app@contoso.com"), stamp).content;
    compare("merged", &String::from_utf8(merged(5)).unwrap());
    let text = String::from_utf8(merged(321)).unwrap();
    assert!(text.contains("321 more mails") && text.contains("316 more are"), "{text}");
}

#[test]
fn addresses_and_headers_that_are_not_ascii() {
    let mut entry = entry(Some("app@contoso.com"), &["jörg+x@bücher.example"]);
    entry.head.app.reverse_path = Some("björn@contoso.com".into());
    entry.head.message_id = Some("<ü@contoso.com>".into());
    let header = "From: Jörg <app@contoso.com>\r\nSubject: =?utf-8?Q?Gr=C3=B6=C3=9Fe?=\r\n";
    let entry = tried(
        entry,
        &[(
            2,
            vec![refused(
                Stage::Rcpt,
                "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient jörg@bücher.example not found",
            )],
        )],
    );
    let text = report(&entry, header);
    assert!(text.contains("Final-Recipient: utf-8; j\\x{F6}rg\\x{2B}x@b\\x{FC}cher.example\r\n"), "{text}");
    // The one line that is not ASCII is the address that it goes to, which needs SMTPUTF8 anyway.
    let wide: Vec<&str> = text.lines().filter(|line| !line.is_ascii()).collect();
    assert_eq!(wide, ["To: <björn@contoso.com>"]);
    compare("non_ascii", &text);
}

#[test]
fn hostile_octets_begin_no_field_and_no_part() {
    let boundary = "--=_mailshim_6926d3000001";
    let header =
        format!("Subject: a\r\n {boundary}--\r\nX: \u{202e}\0\r\n{boundary}\r\nContent-Type: text/html\r\n");
    let mut entry = entry(Some("app@contoso.com"), &["nobody@fabrikam.com"]);
    entry.head.message_id = Some("<a\r\nBcc: x@y.z>".into());
    entry.head.app.envid = Some("a+0D+0ABcc:x@y.z".into());
    entry.head.sent.envelope.recipients[0].orcpt = Some("rfc822;a+0D+0ABcc: x@y.z".into());
    let evil = format!("550 5.1.10 no\r\nBcc: x@y.z\r\n{boundary}--\r\n{}", "x".repeat(3000));
    let text = report(&tried(entry, &[(2, vec![refused(Stage::Rcpt, &evil)])]), &header);
    assert!(!text.contains("\r\nBcc:") && !text.contains('\u{202e}'), "{text}");
    let (head, _) = text.split_once("\r\n\r\n").unwrap();
    let boundary = head.split_once("boundary=\"").unwrap().1.trim_end_matches('"');
    assert_eq!(text.matches(&format!("\r\n--{boundary}\r\n")).count(), 3);
    assert_eq!(text.matches(&format!("--{boundary}--")).count(), 1);
    compare("hostile", &text);
}

#[test]
fn who_hears_of_it() {
    let to = |options: &ReportOptions, sender: Option<&str>| {
        options.recipient(&entry(sender, &["x@fabrikam.com"])).map(|to| to.to_string())
    };
    let mut options = options();
    for (sender, hears) in [
        (Some("ann@contoso.com"), Some("ann@contoso.com")),
        (Some("ann@CONTOSO.com"), Some("ann@CONTOSO.com")),
        // No outsider, and nobody whom no world has.
        (Some("ann@customer.example"), Some("app@contoso.com")),
        (Some("ann@mail.contoso.com"), Some("app@contoso.com")),
        (Some("root@web-7f9c"), Some("app@contoso.com")),
        (Some("root"), Some("app@contoso.com")),
        (None, None),
    ] {
        assert_eq!(to(&options, sender).as_deref(), hears, "{sender:?}");
    }
    options.policy.from.address = address("news@fabrikam.com");
    assert_eq!(to(&options, Some("ann@fabrikam.com")).as_deref(), Some("ann@fabrikam.com"));
    // Whom the app may not write to gets no words of ours either.
    options.policy.allowed_recipients = Some(AddressList::parse("*@fabrikam.com").unwrap());
    assert_eq!(to(&options, Some("ann@contoso.com")).as_deref(), Some("app@contoso.com"));
    options.policy.redirect_to = Some(address("tests@contoso.com"));
    assert_eq!(to(&options, Some("ann@fabrikam.com")).as_deref(), Some("tests@contoso.com"));
    options.to = Some(address("ops@contoso.com"));
    assert_eq!(to(&options, Some("ann@fabrikam.com")).as_deref(), Some("ops@contoso.com"));
    assert_eq!(to(&options, None), None);
}

#[test]
fn a_report_and_an_answer_are_never_reported() {
    for header in [
        "Content-Type: multipart/report; report-type=delivery-status; boundary=x\r\n",
        "content-type:\r\n Multipart/Report;\r\n boundary=x\r\n",
        "Subject: x\r\nAuto-Submitted: auto-replied\r\n",
    ] {
        let mut entry = entry(Some("app@contoso.com"), &["x@fabrikam.com"]);
        entry.head.header = header.into();
        assert_eq!(options().recipient(&entry), None, "{header}");
    }
    let mut entry = entry(Some("app@contoso.com"), &["x@fabrikam.com"]);
    entry.head.header = "Auto-Submitted: auto-generated\r\nContent-Type: multipart/mixed\r\n".into();
    assert!(options().recipient(&entry).is_some(), "cron's mail is reported");
    entry.head.report = true;
    assert_eq!(options().recipient(&entry), None);
}

#[test]
fn notify_says_who_wants_a_report() {
    let mut entry = entry(Some("app@contoso.com"), &["a@b.com"; 6]);
    for (place, words) in ["NEVER", "SUCCESS", "DELAY", "success,Failure", "FAILURE"].into_iter().enumerate()
    {
        entry.head.sent.envelope.recipients[place].notify = Some(words.into());
    }
    let entry = tried(entry, &[(2, vec![refused(Stage::Rcpt, UNKNOWN); 6])]);
    assert_eq!(owed(&entry), [3, 4, 5]);
}
