//! From the greeting to a signed-in connection.

use std::fmt::Write as _;

use mailshim::testing::credential::Credential;
use mailshim::testing::secret::Secret;
use mailshim::testing::upstream::opening::{Opening, OpeningStep};
use tokio::time::Instant;

use super::{reply, shown};

fn token() -> Credential {
    Credential::Xoauth2 {
        user: "app@contoso.com".into(),
        token: Secret::new("the-token".into()),
        generation: 1,
        good_until: Instant::now(),
        fresh: true,
    }
}

fn password() -> Credential {
    Credential::Login { user: "app@contoso.com".into(), password: Secret::new("open sesame".into()) }
}

/// Runs an opening likewise. `C:` lines show what goes over the wire, secrets and all.
#[track_caller]
fn opening(credential: Option<&Credential>, transcript: &str) {
    let expected: Vec<&str> = transcript.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut replies = expected.iter().filter_map(|line| line.strip_prefix("S: "));
    let mut opening = Opening::new("mail.contoso.com", credential);
    let mut said = String::new();
    let mut is_secure = false;
    loop {
        match opening.step() {
            OpeningStep::Write(_, line) => {
                let wire = std::str::from_utf8(line.wire()).unwrap();
                assert!(is_secure || !line.is_secret() && !wire.starts_with("AUTH"), "in the clear: {wire}");
                if line.is_secret() {
                    let word = wire.split_whitespace().next_back().unwrap();
                    assert!(!format!("{line} {line:?}").contains(word), "{line}");
                }
                writeln!(said, "C: {}", wire.strip_suffix("\r\n").unwrap()).unwrap();
            }
            OpeningStep::Read(_) => {}
            OpeningStep::Handshake => {
                said.push_str("(TLS)\n");
                is_secure = true;
                opening.secured();
                continue;
            }
            OpeningStep::Ready(extensions) => {
                writeln!(said, "= ready, chunking {}", extensions.chunking).unwrap();
                break;
            }
        }
        let line = replies.next().unwrap_or_else(|| panic!("no reply left:\n{said}"));
        writeln!(said, "S: {line}").unwrap();
        if let Err(fault) = opening.reply(&reply(line)) {
            writeln!(said, "= {}", shown(&fault)).unwrap();
            break;
        }
    }
    let lines: Vec<&str> = said.lines().map(str::trim_end).collect();
    assert_eq!(lines, expected);
}

const UNTIL_TLS: &str = "
    S: 220 outlook.office365.com ready
    C: EHLO mail.contoso.com
    S: 250 hello|SIZE 157286400|STARTTLS|CHUNKING
    C: STARTTLS
    S: 220 2.0.0 SMTP server ready
    (TLS)
    C: EHLO mail.contoso.com
";

#[test]
fn xoauth2_signs_in_with_one_line() {
    let rest = "
        S: 250 hello|AUTH LOGIN XOAUTH2|CHUNKING
        C: AUTH XOAUTH2 dXNlcj1hcHBAY29udG9zby5jb20BYXV0aD1CZWFyZXIgdGhlLXRva2VuAQE=
    ";
    let until = format!("{UNTIL_TLS}{rest}");
    opening(
        Some(&token()),
        &format!("{until}S: 235 2.7.0 Authentication successful\n= ready, chunking true"),
    );
    opening(Some(&token()), &format!("{until}S: 535 5.7.3 Unsuccessful\n= Auth: 535 5.7.3 Unsuccessful"));
    // The failure behind a challenge is asked for with an empty line; a 235 behind it would make no sense.
    let challenged = format!("{until}S: 334 eyJzdGF0dXMiOiI0MDEifQ==\nC:\n");
    opening(
        Some(&token()),
        &format!("{challenged}S: 535 5.7.3 Unsuccessful\n= Auth: 535 5.7.3 Unsuccessful"),
    );
    opening(Some(&token()), &format!("{challenged}S: 235 2.7.0 Fine\n= Auth: 235 2.7.0 Fine"));
}

#[test]
fn login_signs_in_with_three_lines() {
    let rest = "
        S: 250 hello|AUTH LOGIN XOAUTH2
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: YXBwQGNvbnRvc28uY29t
        S: 334 UGFzc3dvcmQ6
        C: b3BlbiBzZXNhbWU=
    ";
    let until = format!("{UNTIL_TLS}{rest}");
    opening(Some(&password()), &format!("{until}S: 235 2.7.0 Fine\n= ready, chunking false"));
    opening(Some(&password()), &format!("{until}S: 535 5.7.139 Off\n= Auth: 535 5.7.139 Off"));
    opening(Some(&password()), &format!("{until}S: 334 Again\n= Auth: 334 Again"));
}

#[test]
fn what_was_offered_in_the_clear_is_forgotten() {
    opening(None, &format!("{UNTIL_TLS}S: 250 hello|PIPELINING\n= ready, chunking false"));
}

#[test]
fn without_starttls_it_ends() {
    opening(
        Some(&token()),
        "S: 220 ready
         C: EHLO mail.contoso.com
         S: 250 hello|AUTH LOGIN XOAUTH2
         = StartTls: StartTlsMissing",
    );
    opening(
        Some(&token()),
        "S: 220 ready
         C: EHLO mail.contoso.com
         S: 250 hello|STARTTLS
         C: STARTTLS
         S: 454 4.7.0 Not now
         = StartTls: 454 4.7.0 Not now",
    );
}

#[test]
fn without_a_mechanism_that_we_can_use_it_ends() {
    opening(
        Some(&token()),
        &format!("{UNTIL_TLS}S: 250 hello|AUTH LOGIN\n= Auth: NoUsableAuth(\"AUTH LOGIN\")"),
    );
    opening(
        Some(&password()),
        &format!("{UNTIL_TLS}S: 250 hello|AUTH XOAUTH2\n= Auth: NoUsableAuth(\"AUTH XOAUTH2\")"),
    );
    opening(Some(&token()), &format!("{UNTIL_TLS}S: 250 hello\n= Auth: NoUsableAuth(\"\")"));
}

#[test]
fn a_refusal_names_its_stage() {
    opening(Some(&token()), "S: 421 4.3.2 Bye\n= Greeting: 421 4.3.2 Bye");
    opening(Some(&token()), "S: 554 5.7.1 No\n= Greeting: 554 5.7.1 No");
    opening(
        Some(&token()),
        "S: 220 ready\nC: EHLO mail.contoso.com\nS: 501 5.5.4 Bad name\n= Ehlo: 501 5.5.4 Bad name",
    );
    opening(Some(&token()), &format!("{UNTIL_TLS}S: 421 4.3.2 Bye\n= Ehlo: 421 4.3.2 Bye"));
}
