//! The token service's trouble: a clear fault for the app, and one request whatever the number of waiting mails.

use std::time::Duration;

use office365::{Fault, Times};
use support::SOON;
use support::files::TempFile;
use support::mails::small;
use support::thread::plan;

fn refusal(code: u32, error: &str, description: &str) -> Fault {
    Fault::TokenError { status: 401, error: error.into(), code, description: description.into() }
}

#[test]
fn what_an_administrator_must_mend_is_said_at_once_with_the_fix() {
    for (fault, words) in [
        (refusal(7_000_215, "invalid_client", "Invalid client secret provided."), "MAILSHIM_CLIENT_SECRET"),
        (
            refusal(7_000_222, "invalid_client", "The provided client secret keys are expired."),
            "MAILSHIM_CLIENT_SECRET",
        ),
        (refusal(700_016, "unauthorized_client", "Application not found in the directory."), "MAILSHIM_"),
    ] {
        let setup = plan().fault(fault.clone(), Times::Always).start();
        let reply = setup.send(&small(1));
        assert!(reply.code == 454 && reply.text.contains(words), "{fault:?}: {reply:?}");
        reply.says("4.7.0").says("Fix:");
        assert_eq!(
            setup.office365.stats().connections_opened,
            0,
            "no connection is kept waiting for a token"
        );
    }
}

#[test]
fn what_may_pass_is_waited_for() {
    for fault in [
        Fault::TokenRetryAfter { status: 429, seconds: 1 },
        Fault::TokenRetryAfter { status: 503, seconds: 1 },
        Fault::Token5xx(500),
        Fault::Token5xx(503),
        Fault::TokenDrop,
    ] {
        let setup = plan().fault(fault.clone(), Times::Once).start();
        let reply = setup.send(&small(1));
        assert_eq!(reply.code, 250, "{fault:?}: {reply:?}");
        setup.took(&[&small(1)]);
    }
}

#[test]
fn nonsense_is_told_from_a_token() {
    for (fault, words) in [
        (Fault::TokenGarbage, "no token"),
        (Fault::TokenMissing, "no token"),
        (Fault::TokenEndless, "token"),
        (Fault::TokenHugeHeader, "token"),
        (Fault::TokenRedirect, "302"),
        (Fault::TokenStall, "no answer from the token service"),
        (Fault::Token5xx(502), "502"),
        (Fault::TokenRetryAfter { status: 429, seconds: 30 }, "token service"),
    ] {
        let setup = plan()
            .env("MAILSHIM_HOLD", "2s")
            .deadlines(|deadlines| deadlines.token = SOON)
            .fault(fault.clone(), Times::Always)
            .start();
        let reply = setup.send(&small(1));
        assert!(reply.code / 100 == 4 && reply.text.contains(words), "{fault:?}: {reply:?}");
        assert_eq!(setup.office365.stats().connections_opened, 0);
    }
}

#[test]
fn fifty_mails_wait_for_one_request() {
    let setup = plan().fault(Fault::TokenDelay(Duration::from_millis(500)), Times::Once).start();
    std::thread::scope(|scope| {
        for number in 0..50 {
            let setup = &setup;
            scope.spawn(move || setup.send(&small(number)).is(250).code);
        }
    });
    let stats = setup.office365.stats();
    assert_eq!((stats.token_requests, stats.messages), (1, 50));
}

#[test]
fn fifty_mails_share_one_refusal() {
    let fault = refusal(7_000_215, "invalid_client", "Invalid client secret provided.");
    let setup = plan().fault(fault, Times::Always).start();
    std::thread::scope(|scope| {
        for number in 0..50 {
            let setup = &setup;
            scope.spawn(move || setup.send(&small(number)).is(454).code);
        }
    });
    // A refusal is remembered for ten seconds.
    assert!(setup.office365.stats().token_requests <= 3, "{}", setup.office365.stats().token_requests);
}

#[test]
fn a_certificate_that_is_not_the_authoritys() {
    let setup = plan()
        .settings(|settings| settings.https_tls = office365::TlsSetup::WrongName)
        .env("MAILSHIM_HOLD", "2s")
        .start();
    setup.send(&small(1)).is(451).says("for other names");
    assert_eq!(setup.office365.stats().token_requests, 0);
}

#[test]
fn a_rotated_secret_file_is_read_again() {
    let file = TempFile::new("the-old-one\n");
    let setup = plan()
        .env("MAILSHIM_CLIENT_SECRET", "")
        .env("MAILSHIM_CLIENT_SECRET_FILE", file.path())
        .fault(refusal(7_000_215, "invalid_client", "Invalid client secret provided."), Times::Once)
        .start();
    setup.send(&small(1)).is(454);
    let env = setup.office365.env();
    let secret =
        env.iter().find(|(name, _)| name == "MAILSHIM_CLIENT_SECRET").map(|(_, value)| value.clone());
    file.write(secret.unwrap() + "\n");
    // A refusal is remembered for ten seconds, but not against another secret.
    setup.send(&small(2)).is(250);
}
