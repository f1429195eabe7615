//! Every fault, its class and the app's reply, against `tests/golden/replies.txt`: a document to be reviewed as one.
//! `UPDATE_GOLDEN=1 cargo test --test pure replies` writes it anew.

mod cases;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use mailshim::testing::message::refusal::Refusal;
use mailshim::testing::outcome::{
    Alert, Cause, Class, Context, Fault, Judgement, Outcome, ProxyFault, ProxyReason, Retry, Scope,
    SpoolFault, Stage, TlsFault, TlsReason, TokenFault, judge,
};
use mailshim::testing::secret::Looks;
use mailshim::testing::smtp::reply::{BrokenReply, Flaw, Reply};

const APP: Context<'_> = Context { from_is_ours: false, mailbox: "app@contoso.com", spool: false };
const OURS: Context<'_> = Context { from_is_ours: true, ..APP };
const SPOOL: Context<'_> = Context { spool: true, ..APP };
const RECIPIENT: &str = "nobody@fabrikam.com";

fn reply(line: &str) -> Reply {
    let (code, text) = line.split_once(' ').expect("code and text");
    Reply::new(code.parse().expect("a code"), text)
}

fn fault(stage: Stage, cause: Cause) -> Fault {
    Fault::new(stage, cause).about((stage == Stage::Rcpt).then(|| RECIPIENT.to_string()))
}

fn refused(stage: Stage, line: &str) -> Fault {
    fault(stage, Cause::Refused(reply(&cases::as_it_comes(stage, line))))
}

fn token(error: &str, code: u32) -> Fault {
    token_of(error, code, None)
}

fn token_of(error: &str, code: u32, secret: Option<Looks>) -> Fault {
    let description = format!(
        "AADSTS{code}: Entra's words. Trace ID: 6f1b Correlation ID: 77aa Timestamp: 2026-11-23 08:00:00Z"
    );
    let refused =
        TokenFault::Refused { status: 400, error: error.into(), description, codes: vec![code], secret };
    fault(Stage::Token, Cause::Token(refused))
}

fn broken(flaw: Flaw, line: &str) -> Cause {
    Cause::BrokenReply(BrokenReply { flaw, line: line.into() })
}

fn handshake(reason: TlsReason) -> Cause {
    Cause::Tls(TlsFault::Handshake { host: "smtp.office365.com".into(), reason })
}

fn proxy(reason: ProxyReason) -> ProxyFault {
    ProxyFault { proxy: "proxy.example:3128".into(), reason }
}

/// Everything that is no reply of Office 365.
fn others() -> Vec<Fault> {
    let second = Duration::from_secs;
    let network = |stage| {
        let reset = "connection reset by peer".to_string();
        [Cause::TimedOut(second(30)), Cause::Closed, Cause::Io(reset)].map(|cause| fault(stage, cause))
    };
    let mut all: Vec<Fault> = [
        Stage::Resolve,
        Stage::Connect,
        Stage::Greeting,
        Stage::Ehlo,
        Stage::StartTls,
        Stage::Tls,
        Stage::Auth,
        Stage::Mail,
        Stage::Rcpt,
        Stage::Content,
        Stage::Verdict,
    ]
    .into_iter()
    .flat_map(network)
    .collect();
    for stage in [Stage::Greeting, Stage::Mail, Stage::Verdict] {
        all.push(fault(stage, broken(Flaw::CodesDiffer, "550 b")));
        all.push(fault(stage, Cause::Refused(reply("354 Start mail input"))));
    }
    let alert = |name: &str, is_about_our_certificate| {
        Cause::Tls(TlsFault::Alert(Alert { name: name.into(), is_about_our_certificate }))
    };
    let day = second(86_400);
    for reason in [
        TlsReason::UnknownIssuer,
        TlsReason::WrongName { names: vec!["a.example".into(), "b.example".into()], and_more: true },
        TlsReason::WrongName { names: Vec::new(), and_more: false },
        TlsReason::Expired { ago: day * 40 },
        TlsReason::NotYetValid { wait: day },
        TlsReason::Certificate("invalid peer certificate: Revoked".into()),
        TlsReason::NoName,
        TlsReason::TooOld,
        TlsReason::NotTls("received corrupt message of type InvalidContentType".into()),
        TlsReason::Alert(Alert { name: "HandshakeFailure".into(), is_about_our_certificate: false }),
        TlsReason::Alert(Alert { name: "BadCertificate".into(), is_about_our_certificate: true }),
        TlsReason::Other("peer misbehaved".into()),
    ] {
        all.push(fault(Stage::Tls, handshake(reason)));
    }
    all.push(fault(Stage::Tls, alert("HandshakeFailure", false)));
    all.push(fault(Stage::Ehlo, alert("UnknownCA", true)));
    all.push(fault(Stage::StartTls, Cause::StartTlsMissing));
    all.push(fault(Stage::StartTls, Cause::BytesAfterStartTls));
    all.push(refused(Stage::StartTls, "500 5.3.3 Unrecognized command 'XXXXXXXX'"));
    all.push(refused(Stage::StartTls, "454 TLS not available due to a temporary reason"));
    // Refused for whoever sends to a name that only the app's machine could know.
    for recipient in ["root", "www-data@web-7f9c"] {
        let refused = refused(Stage::Rcpt, "501 5.1.3 Invalid address");
        all.push(refused.about(recipient.to_string()));
    }
    all.push(fault(Stage::Auth, Cause::NoUsableAuth("NTLM GSSAPI".into())));
    all.push(fault(Stage::Auth, Cause::NoUsableAuth(String::new())));
    all.push(fault(Stage::Mail, Cause::ExtensionMissing("SMTPUTF8")));
    all.push(fault(Stage::Mail, Cause::ExtensionMissing("8BITMIME")));
    for status in [302, 403, 404, 407, 410, 429, 503] {
        all.push(fault(Stage::Token, Cause::Token(TokenFault::Status { status, retry_after: None })));
    }
    all.push(fault(Stage::Token, Cause::Token(TokenFault::Unreachable("connection refused".into()))));
    all.push(fault(Stage::Token, Cause::Token(TokenFault::Proxy(proxy(ProxyReason::LoginWanted(407))))));
    all.push(fault(Stage::Token, Cause::Token(TokenFault::Garbage("no access_token".into()))));
    all.push(fault(Stage::Token, Cause::Token(TokenFault::TimedOut(Duration::from_millis(1500)))));
    all.push(fault(Stage::Token, Cause::SetUp("the secret file /run/secrets/client is empty".into())));
    let wrong_secret = token_of("invalid_client", 7_000_215, Some(Looks::of("\"8Q~x\"")));
    let secret_again = Cause::Remembered(Arc::new(wrong_secret.clone()), second(30));
    all.extend([wrong_secret, fault(Stage::Token, secret_again)]);
    let last = |fault| Some(Box::new(fault));
    all.push(fault(Stage::Wait, Cause::HoldEnded(second(45), None)));
    for cause in [
        refused(Stage::Verdict, "432 4.3.2 Concurrent connections limit exceeded."),
        refused(Stage::Verdict, "430 4.2.0 STOREDRV; mailbox logon failure; MapiExceptionLogonFailed"),
        refused(Stage::Verdict, "550 5.1.10 never tried again, so never the last"),
        fault(Stage::Connect, Cause::TimedOut(second(10))),
    ] {
        all.push(fault(Stage::Wait, Cause::HoldEnded(second(45), last(cause))));
    }
    for cause in [
        refused(
            Stage::Verdict,
            "554 5.2.252 SendAsDenied; a@contoso.com not allowed to send as b@contoso.com",
        ),
        refused(Stage::Verdict, "554 5.2.2 mailbox full; STOREDRV"),
        refused(Stage::Auth, "535 5.7.3 Authentication unsuccessful"),
    ] {
        all.push(fault(cause.stage(), Cause::Remembered(Arc::new(cause), second(59))));
    }
    all.push(fault(Stage::Content, Cause::AppTooSlow));
    all.push(fault(Stage::Content, Cause::NoRoom));
    for spool in [
        SpoolFault::Full,
        SpoolFault::NoSpace("No space left on device (os error 28)".into()),
        SpoolFault::Disk("Input/output error (os error 5)".into()),
        SpoolFault::Waiting,
    ] {
        all.push(fault(Stage::Spool, Cause::Spool(spool)));
    }
    all.push(fault(Stage::Wait, Cause::ShuttingDown));
    for refusal in [
        Refusal::HeaderTooLong,
        Refusal::TooManyHops(101),
        Refusal::Loop,
        Refusal::Partial,
        Refusal::SenderNotAllowed("From"),
        Refusal::BccShown,
        Refusal::SenderUnclear("Sender"),
        Refusal::NoSender,
        Refusal::SendersDiffer,
    ] {
        all.push(fault(Stage::Content, Cause::Unsendable(refusal)));
    }
    all
}

/// Every token code with the `error` that it comes with.
fn tokens() -> Vec<(&'static str, u32)> {
    cases::TOKEN_CODES.iter().flat_map(|(error, codes)| codes.iter().map(|code| (*error, *code))).collect()
}

/// All faults of the document but the tokens', by section.
fn sections() -> Vec<(&'static str, Vec<Fault>)> {
    let mut sections: Vec<(&str, Vec<Fault>)> = Vec::new();
    for &(stages, line) in cases::REPLIES {
        match sections.last_mut() {
            Some((_, faults)) if !stages.is_empty() => {
                faults.extend(stages.iter().map(|s| refused(*s, line)))
            }
            _ => sections.push((line, Vec::new())),
        }
    }
    sections.push(("No reply of Office 365", others()));
    sections
}

fn entry(document: &mut String, fault: &Fault, context: &Context<'_>, who: &str) {
    let is = judge(fault, context);
    let upstream = match fault.cause() {
        Cause::Refused(reply) => reply.to_string(),
        _ => fault.to_string(),
    };
    let upstream = upstream.replace(cases::FRONT, " [...]").replace(cases::STORE, " [...]");
    let outcome = Outcome::Failed(fault.clone());
    let (stage, name, reply) = (fault.stage().name(), outcome.name(context), outcome.to_reply(context));
    let _ = writeln!(document, "{:<29} {stage:<9} {upstream}", is.rule);
    let (class, scope, retry) = (is.class.name(), is.scope.name(), is.retry.name());
    let _ = writeln!(document, "{:<29} {:<9} {class:<28} {scope:<11} {retry:<22} {name}{who}", "", "->");
    let _ = writeln!(document, "{:<29} {:<9} {reply}\n", "", "<-");
}

/// Codes that are judged alike stand together, with the reply to the first.
fn token_entries(document: &mut String) {
    let mut groups: Vec<(Judgement, &str, Vec<u32>)> = Vec::new();
    for (error, code) in tokens() {
        let is = judge(&token(error, code), &APP);
        match groups.iter_mut().find(|(other, with, _)| *other == is && *with == error) {
            Some((_, _, codes)) => codes.push(code),
            None => groups.push((is, error, vec![code])),
        }
    }
    for (is, error, codes) in groups {
        let reply = Outcome::Failed(token(error, codes[0])).to_reply(&APP);
        let codes = codes.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
        let (class, scope, retry) = (is.class.name(), is.scope.name(), is.retry.name());
        let _ = writeln!(document, "{:<29} token     {error}: {codes}", is.rule);
        let _ = writeln!(document, "{:<29} {:<9} {class:<28} {scope:<11} {retry:<22} deferred", "", "->");
        let _ = writeln!(document, "{:<29} {:<9} {reply}\n", "", "<-");
    }
}

fn document() -> String {
    let mut document = String::from(
        "What Office 365 says, what we make of it, what the app hears.\n\n\
         rule                          stage     Office 365's reply, or what happened; [...] is where its trace stood\n\
         \x20                             ->        class, scope, retry, outcome\n\
         \x20                             <-        our reply\n",
    );
    for (heading, faults) in sections() {
        let _ = writeln!(document, "\n{heading}\n{}\n", "=".repeat(heading.len()));
        for fault in &faults {
            entry(&mut document, fault, &APP, "");
            if judge(fault, &OURS) != judge(fault, &APP) {
                entry(&mut document, fault, &OURS, ", From is MAILSHIM_FROM");
            }
            if judge(fault, &SPOOL) != judge(fault, &APP) {
                entry(&mut document, fault, &SPOOL, ", spool");
            }
        }
    }
    document.push_str("\nThe token service's codes (AADSTS)\n==================================\n\n");
    token_entries(&mut document);
    document.push_str("\nAccepted, and not known\n=======================\n\n");
    let accepted =
        "250 2.0.0 OK <20261123080000.1@contoso.com> [Hostname=SYBP282MB2635.AUSP282.PROD.OUTLOOK.COM]";
    let queued = Outcome::Queued(reply("250 2.0.0 queued as 692600000000a"));
    let mut outcomes = vec![Outcome::Accepted(reply(accepted)), queued];
    for cause in [
        Cause::Closed,
        Cause::TimedOut(Duration::from_secs(300)),
        Cause::Io("broken pipe".into()),
        broken(Flaw::Code, "999 x"),
        Cause::Refused(reply("250 2.6.0 CHUNK received OK")),
    ] {
        outcomes.push(Outcome::Unknown(fault(Stage::Verdict, cause)));
    }
    for outcome in outcomes {
        let (name, reply) = (outcome.name(&APP), outcome.to_reply(&APP));
        let _ = writeln!(document, "{name:<34} {reply}");
    }
    document
}

#[test]
fn the_document_is_the_reviewed_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/replies.txt");
    let now = document();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &now).expect("writes the golden file");
    }
    let golden = std::fs::read_to_string(path).expect("reads the golden file");
    for (line, (now, golden)) in now.lines().zip(golden.lines()).enumerate() {
        assert_eq!(now, golden, "tests/golden/replies.txt line {}", line + 1);
    }
    assert_eq!(now.len(), golden.len(), "tests/golden/replies.txt ends elsewhere");
}

/// Each fault of the document in every context, its bytes also made hostile.
fn everything(mut each: impl FnMut(&Fault, &Context<'_>, &Reply)) {
    let long = format!("{}@contoso.com", "m".repeat(240));
    let strange = "x ".repeat(200)
        + &"y".repeat(119)
        + "\r\n250 2.0.0 OK \u{7}\u{202e}\u{e4}\u{1f4ee} [BeginDiagnosticData]";
    let tokens = tokens().into_iter().map(|(error, code)| token(error, code));
    for fault in sections().into_iter().flat_map(|(_, faults)| faults).chain(tokens) {
        let mut cause = fault.cause().clone();
        match &mut cause {
            Cause::Refused(reply) => reply.lines.extend([strange.clone(), strange.clone()]),
            Cause::Io(words) | Cause::BrokenReply(BrokenReply { line: words, .. }) => {
                words.push_str(&strange)
            }
            Cause::Tls(tls) => {
                *tls = TlsFault::Handshake { host: "x".into(), reason: TlsReason::Other(strange.clone()) }
            }
            _ => {}
        }
        let hostile = Fault::new(fault.stage(), cause).about(strange.clone());
        for fault in [fault, hostile] {
            for context in [APP, OURS, SPOOL, Context::default(), Context { mailbox: &long, ..APP }] {
                for outcome in [Outcome::Failed(fault.clone()), Outcome::Unknown(fault.clone())] {
                    each(&fault, &context, &outcome.to_reply(&context));
                }
            }
        }
    }
}

#[test]
fn a_reply_is_one_clean_line_with_codes_that_agree() {
    everything(|fault, _, reply| {
        let line = reply.to_string();
        assert_eq!(reply.lines.len(), 1);
        assert!(line.len() <= 510, "{} octets: {line}", line.len());
        assert!(line.bytes().all(|b| (b' '..=b'~').contains(&b)), "{line}");
        let enhanced = reply.enhanced().unwrap_or_else(|| panic!("no enhanced code: {line}"));
        assert_eq!(u16::from(enhanced.0), reply.code / 100, "{line}");
        let log = fault.to_string();
        assert!(!log.chars().any(|c| c.is_control() || c == '\u{202e}'), "{log}");
    });
}

#[test]
fn only_what_will_never_pass_is_5xx_and_the_hint_survives() {
    everything(|fault, context, reply| {
        let is = judge(fault, context);
        assert_eq!(is.code / 100 == 5, is.class == Class::Permanent, "{reply}");
        assert!(matches!(reply.code, 451 | 452 | 454 | 550..=554), "{reply}");
        // The mail finds no room here: of what Office 365 has no room for the app hears 451.
        assert!(
            reply.code != 452
                || matches!(is.rule, "no_room" | "spool_full" | "spool_no_space" | "spool_disk"),
            "{reply}"
        );
        assert!(reply.code < 500 || is.class == Class::Permanent, "{reply}");
        assert!(reply.code < 500 || !matches!(fault.cause(), Cause::Remembered(..)), "from memory: {reply}");
        let definite = matches!(fault.cause(), Cause::Refused(reply) if reply.code >= 500)
            || matches!(fault.cause(), Cause::Refused(_) if is.rule == "too_many_recipients")
            || matches!(fault.cause(), Cause::Unsendable(_))
            || is.rule == "smtputf8_missing";
        assert!(definite || reply.code < 500, "not a definite refusal: {reply}");
        if let (Some(hint), false) = (is.hint, reply.to_string().contains("may have this mail")) {
            assert!(reply.to_string().ends_with(&hint), "{reply}");
        }
    });
}

#[test]
fn nothing_is_tried_again_that_could_double_or_cannot_pass() {
    everything(|fault, context, _| {
        let (retry, class) = (fault.retry(), judge(fault, context).class);
        assert_eq!(retry, judge(fault, context).retry);
        assert!(class != Class::Permanent || retry == Retry::Never);
        let definite_4xx = matches!(fault.cause(), Cause::Refused(reply) if reply.code / 100 == 4);
        assert!(fault.stage() != Stage::Verdict || definite_4xx || retry == Retry::Never, "{fault}");
    });
}

#[test]
fn the_same_code_in_other_words_is_another_class() {
    let class = |line| judge(&refused(Stage::Verdict, line), &APP).class.name();
    assert_eq!(
        class("550 5.2.252 Sender throttled due to continuous send as denied errors"),
        "throttled_continuous_errors"
    );
    assert_eq!(class("554 5.2.252 SendAsDenied; a not allowed to send as b"), "permanent");
    assert_eq!(class("554 5.2.2 Submission quota exceeded"), "throttled_day");
    assert_eq!(class("554 5.2.2 mailbox full"), "set_up");
    assert_eq!(class("554 5.2.0 STOREDRV.Submission.Exception:OutboundSpamException;"), "set_up");
    assert_eq!(class("430 4.2.0 STOREDRV; mailbox logon failure"), "set_up");
    assert_eq!(class("430 4.2.0 STOREDRV; mailbox server is offline"), "transient");
}

#[test]
fn no_secret_is_said_back() {
    let secret = "dXNlcj1hcHBAY29udG9zby5jb20BYXV0aD1CZWFyZXIgZXlKMGVYQWlPaUpLVjFRaQ==";
    let jwt =
        "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJodHRwczovL291dGxvb2sub2ZmaWNlMzY1LmNvbSJ9.c2ln";
    let password = "cGFzc3dvcmQ=";
    for text in [
        format!("500 5.3.3 Unrecognized command 'AUTH XOAUTH2 {secret}' [id]"),
        format!("500 5.3.3 Unrecognized command '{password}'"),
        format!("501 5.5.2 Cannot decode {secret}"),
        format!("535 5.7.3 Bearer {jwt} refused"),
    ] {
        for words in [refused(Stage::Auth, &text).to_string(), {
            Outcome::Failed(refused(Stage::Auth, &text)).to_reply(&APP).to_string()
        }] {
            assert!(words.contains("[redacted]"), "{words}");
            assert!(![secret, jwt, password].iter().any(|it| words.contains(it)), "{words}");
        }
    }
}

#[test]
fn the_log_keeps_what_support_asks_for() {
    let fault = refused(Stage::Auth, "535 5.7.3 Authentication unsuccessful");
    assert_eq!(
        fault.to_string(),
        "Office 365 refused the sign-in: 535 5.7.3 Authentication unsuccessful \
         [SY5P282CA0097.AUSP282.PROD.OUTLOOK.COM 2025-11-23T11:12:25.781Z 08DE2A6028D26C22]"
    );
    let silence = self::fault(Stage::Greeting, Cause::TimedOut(Duration::from_secs(30)));
    assert_eq!(silence.to_string(), "no answer within 30 s while waiting for the greeting");
}

#[test]
fn words_for_metrics_differ() {
    let scopes = [Scope::Message, Scope::Recipient, Scope::Connection, Scope::Mailbox, Scope::Service];
    assert_eq!(scopes.map(Scope::name).iter().collect::<HashSet<_>>().len(), scopes.len());
}
