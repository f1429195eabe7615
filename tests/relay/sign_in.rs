//! Sign-ins that are refused: what a new token may mend is tried once, and nothing else is.

use office365::{Fault, Stage, Times, wording};
use support::mails::small;
use support::thread::plan;

fn refused() -> Fault {
    Fault::ReplyAt(
        Stage::Auth,
        "535 5.7.3 Authentication unsuccessful [A.B.C 2026-11-23T08:00:00.000Z 08DD842467C8274D]".into(),
    )
}

#[test]
fn a_cached_token_is_renewed_once() {
    let setup = plan().start();
    // That the token was issued does not say that it has landed: one that is revoked on its way is a new one, refused. A mail
    // that went out with it says so.
    setup.send(&small(1)).is(250);
    setup.office365.close_idle();
    setup.office365.revoke_tokens();
    setup.send(&small(2)).is(250);
    let stats = setup.office365.stats();
    assert_eq!((stats.tokens_issued, stats.auth_refused, stats.auth_ok), (2, 1, 2));
    setup.took(&[&small(1), &small(2)]);
}

#[test]
fn a_second_refusal_is_the_answer() {
    let setup = plan().start();
    setup.wait(|stats| stats.tokens_issued == 1);
    setup.fault(refused(), Times::Always);
    setup.send(&small(1)).is(454).says("Fix:");
    let stats = setup.office365.stats();
    assert!(stats.auth_refused <= 2, "{}", stats.auth_refused);
    assert!(stats.tokens_issued <= 2, "{}", stats.tokens_issued);
    setup.took(&[]);
}

#[test]
fn a_challenge_behind_xoauth2_is_a_refusal() {
    let setup = plan().start();
    setup.send(&small(1)).is(250);
    setup.office365.close_idle();
    setup.fault(Fault::XoauthChallenge, Times::Once);
    setup.send(&small(2)).is(250);
    assert_eq!(setup.office365.stats().auth_refused, 1);
}

#[test]
fn a_wrong_password_is_tried_once_a_mail() {
    // Office 365 locks the account after some of them.
    let setup = plan().password().start();
    setup.fault(refused(), Times::Always);
    setup.send(&small(1)).is(454);
    assert_eq!(setup.office365.stats().auth_refused, 1);
    setup.office365.clear_faults();
    // Nor by the mails after it, until some time has passed or the password is another one.
    setup.send(&small(2)).is(454).says("not tried for another");
    assert_eq!(setup.office365.stats().auth_refused, 1);
    setup.took(&[]);
}

#[test]
fn a_logon_failure_after_the_dot_is_tried_once_with_a_new_token() {
    let setup = plan().start();
    setup.send(&small(1)).is(250);
    setup.fault(Fault::ReplyAt(Stage::Dot, wording::LOGON_FAILURE.into()), Times::Once);
    setup.send(&small(2)).is(250);
    let stats = setup.office365.stats();
    assert_eq!((stats.tokens_issued, stats.connections_opened), (2, 2));
    setup.took(&[&small(1), &small(2)]);

    let setup = plan().start();
    setup.fault(Fault::ReplyAt(Stage::Dot, wording::LOGON_FAILURE.into()), Times::Always);
    setup.send(&small(1)).is(451).says("mailshim check says which is missing");
    assert_eq!(setup.said("MAIL"), 2);
    setup.took(&[]);
}

#[test]
fn a_password_is_no_token() {
    let setup = plan().password().start();
    setup.fault(Fault::ReplyAt(Stage::Dot, wording::LOGON_FAILURE.into()), Times::Always);
    setup.send(&small(1)).is(451);
    assert_eq!(setup.said("MAIL"), 1);
}

#[test]
fn no_mechanism_that_can_be_used() {
    let setup = plan().settings(|settings| settings.auth = vec!["LOGIN"]).start();
    setup.send(&small(1)).is(454).says("only");
    let setup = plan().settings(|settings| settings.auth = vec!["XOAUTH2"]).password().start();
    setup.send(&small(1)).is(454).says("only");
    let setup = plan().password().start();
    setup.send(&small(1)).is(250);
}
