//! What readiness says of sign-ins. It is one for the whole process, so that these tests have one of their own.

#[path = "relay/ways/shim.rs"]
#[expect(dead_code, reason = "not all of it is needed here")]
mod shim;

use mailshim::telemetry::readiness;
use office365::{Office365, Settings};

use crate::shim::{Shim, WAIT, assert_says};

/// Else one wrong address of an app would look as if no mail went out.
#[test]
fn a_sender_that_may_not_sign_in_does_not_make_the_others_unready() {
    let office365 = Office365::start(Settings::default());
    let shim = Shim::start(&office365, &[("MAILSHIM_LOGIN_AS_SENDER", "*@contoso.com")]);
    assert_says(&shim.send("app@contoso.com"), "250 ", &[]);
    assert!(office365.wait(WAIT, |stats| stats.auth_ok > 0));
    assert_says(&shim.send("nobody@contoso.com"), "454 ", &[]);
    assert_eq!(readiness(), Ok(()));
    office365.set_mailboxes(&[]);
    office365.close_idle();
    assert!(office365.wait(WAIT, |stats| stats.connections_open == 0));
    assert_says(&shim.send("app@contoso.com"), "454 ", &[]);
    assert!(readiness().unwrap_err().0.contains("Authentication unsuccessful"));
}
