//! Secrets, content and subjects appear nowhere: the program itself at trace level, in both formats, through successes
//! and every kind of failure, with everything grepped that it printed and that the app was told.

use office365::{Fault, Office365, Settings, Stage, Times, wording};
use support::client::Client;
use support::mails::large;
use support::program::Program;

const CLIENT_SECRET: &str = "Canary~client+secret/7=zK&pq%41";
const APP_PASSWORD: &str = "canary-app-password-9Xw";
const MAILBOX_PASSWORD: &str = "canary mailbox password 5Tg";
const SUBJECT: &str = "canary-subject-4Rf";
const BODY: &str = "canary-body-8Yh";

/// A shim at trace level with its log in this format.
fn start(office365: &Office365, format: &str, more: &[(&str, &str)]) -> Program {
    let ours = [
        ("MAILSHIM_LOG", "trace"),
        ("MAILSHIM_LOG_FORMAT", format),
        ("MAILSHIM_APP_USERNAME", "canary-app-user"),
        ("MAILSHIM_APP_PASSWORD", APP_PASSWORD),
        ("MAILSHIM_HOLD", "2s"),
        ("MAILSHIM_SHUTDOWN_GRACE", "3s"),
    ];
    Program::start(office365, &[&ours, more].concat())
}

/// Everything it printed, to its end.
fn end(mut shim: Program) -> String {
    shim.signal("TERM");
    let status = shim.wait();
    let printed = format!("{}{}", shim.output().rest(), shim.printed());
    assert!(status.success(), "{printed}");
    printed
}

fn base64(octets: &[u8]) -> String {
    mailshim::testing::smtp::sasl::encode(octets)
}

/// The text as it is, and every way that part of it shows in base64, whatever stands before it.
fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_string()];
    for before in 0..3 {
        let encoded = base64(&[&b"xxx"[..before], secret.as_bytes()].concat());
        // The characters that depend on the neighbours are left out.
        let inner = encoded.trim_end_matches('=');
        forms.push(inner[4.min(inner.len())..inner.len() - 1].to_string());
    }
    forms
}

#[track_caller]
fn holds_none(printed: &str, secrets: &[String]) {
    for secret in secrets {
        for form in forms(secret) {
            let at = printed.find(&form);
            let around =
                at.map(|at| &printed[at.saturating_sub(200)..(at + form.len() + 50).min(printed.len())]);
            assert_eq!(around, None, "'{form}' of '{secret}' was printed");
        }
    }
}

/// Mails through every kind of trouble; what the app was told.
fn provoke(office365: &Office365, address: std::net::SocketAddr, faults: &[Fault]) -> String {
    let mut told = String::new();
    let content = |size| {
        let mut content = format!("From: App <app@contoso.com>\r\nSubject: {SUBJECT}\r\nMessage-ID: <1@contoso.com>\r\n\r\n{BODY}\r\n")
            .into_bytes();
        content.extend_from_slice(&large(0, size));
        content
    };
    for fault in std::iter::once(None).chain(faults.iter().map(Some)) {
        office365.clear_faults();
        office365.close_idle();
        if let Some(fault) = fault {
            if fault.is_token() {
                office365.revoke_tokens();
            }
            office365.fault(fault.clone(), Times::Always);
        }
        let mut client = Client::connect(address);
        told.push_str(&client.command("EHLO app").text);
        // A wrong one first: it is a secret too.
        let wrong = base64(format!("\0canary-app-user\0{APP_PASSWORD}x").as_bytes());
        told.push_str(&client.command(&format!("AUTH PLAIN {wrong}")).is(535).text);
        let right = base64(format!("\0canary-app-user\0{APP_PASSWORD}").as_bytes());
        told.push_str(&client.command(&format!("AUTH PLAIN {right}")).is(235).text);
        // Secrets in the wrong place.
        told.push_str(&client.command(&format!("AUTH {right}")).text);
        for size in [0, 300_000] {
            told.push_str(&client.mail(&content(size)).text);
            told.push('\n');
        }
        told.push_str(&client.command("QUIT").text);
    }
    told
}

#[test]
fn tokens_and_their_client_secret() {
    for format in ["json", "text"] {
        let settings = Settings { client_secret: CLIENT_SECRET.into(), ..Settings::default() };
        let office365 = Office365::start(settings);
        let running = start(&office365, format, &[]);
        let reply = |stage, text: &str| Fault::ReplyAt(stage, text.into());
        let faults = [
            reply(Stage::Dot, wording::TEMPORARY),
            reply(Stage::Dot, wording::MAILBOX_FULL),
            reply(Stage::Dot, wording::LOGON_FAILURE),
            reply(Stage::Auth, "535 5.7.3 Authentication unsuccessful"),
            Fault::XoauthChallenge,
            Fault::GarbageAt(Stage::Auth),
            Fault::BigReplyAt(Stage::Mail),
            Fault::DropAt(Stage::Rcpt),
            Fault::DropAt(Stage::Accepted),
            Fault::StartTlsAbsent,
            Fault::TokenMissing,
            Fault::TokenError {
                status: 401,
                error: "invalid_client".into(),
                code: 7_000_215,
                description: "Invalid client secret provided.".into(),
            },
        ];
        let told = provoke(&office365, running.address, &faults);
        let printed = end(running);
        assert!(printed.contains("AUTH XOAUTH2 [redacted]"), "the trace was on:\n{printed}");
        let mut secrets = [CLIENT_SECRET, APP_PASSWORD, SUBJECT, BODY].map(String::from).to_vec();
        secrets.extend(office365.tokens());
        holds_none(&printed, &secrets);
        holds_none(&told, &secrets);
        assert_eq!(office365.violations(), Vec::<String>::new());
    }
}

#[test]
fn a_password_and_what_a_server_says_back() {
    let encoded = base64(MAILBOX_PASSWORD.as_bytes());
    let reply = |text: String| Fault::ReplyAt(Stage::Auth, text);
    // Each for itself: once a sign-in is refused, the breaker keeps the next one from being made.
    let faults = [
        vec![reply(wording::BASIC_DISABLED.into())],
        // Office 365's own way of saying a line back, others' ways, and one cut off.
        vec![reply(format!("500 5.3.3 Unrecognized command '{encoded}'"))],
        vec![reply(format!("502 unknown: {encoded}"))],
        vec![reply(format!("535-5.7.8 {encoded}\n535 5.7.8 that was it"))],
        vec![reply(format!("501 5.5.2 syntax error at {}...", &encoded[..20]))],
        // An echo is no reply at all.
        vec![reply(encoded.clone())],
        // A server that is content says it back, too.
        vec![
            Fault::ReplyAt(Stage::Mail, format!("250 2.1.0 hello {encoded}")),
            Fault::ReplyAt(Stage::Rcpt, format!("250 2.1.5 {MAILBOX_PASSWORD}")),
            Fault::ReplyAt(Stage::Accepted, format!("250 2.6.0 taken, {encoded}")),
        ],
    ];
    for (number, faults) in faults.iter().enumerate() {
        let settings = Settings { password: MAILBOX_PASSWORD.into(), ..Settings::default() };
        let office365 = Office365::start(settings);
        let without =
            ["MAILSHIM_TENANT_ID", "MAILSHIM_CLIENT_ID", "MAILSHIM_CLIENT_SECRET", "AZURE_AUTHORITY_HOST"];
        let mut extra: Vec<(&str, &str)> = without.map(|name| (name, "")).to_vec();
        extra.push(("MAILSHIM_PASSWORD", MAILBOX_PASSWORD));
        let running = start(&office365, ["json", "text"][number % 2], &extra);
        let told = provoke(&office365, running.address, faults);
        let printed = end(running);
        assert!(printed.contains("C: AUTH LOGIN"), "the trace was on:\n{printed}");
        if faults.len() > 1 {
            assert!(told.contains("2.6.0 taken, "), "it was said:\n{told}");
        }
        let mut secrets = [APP_PASSWORD, SUBJECT, BODY, MAILBOX_PASSWORD].map(String::from).to_vec();
        holds_none(&printed, &secrets);
        holds_none(&told, &secrets);
        secrets = vec![encoded[..20].to_string()];
        for text in [&printed, &told] {
            assert!(!text.contains(&secrets[0]), "a part of the password was printed");
        }
    }
}
