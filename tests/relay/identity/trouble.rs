//! The token service is away, busy, or says that a sign-in is over.

use std::time::Duration;

use office365::{Fault, Office365, Settings, Times};
use support::files::TempFile;
use support::thread::{Shim, assert_lawful};

use super::{MAIL, start};

fn by_secret(office365: &Office365, hold: &str) -> Shim {
    let secret = Settings::default().client_secret;
    start(office365, &[("MAILSHIM_CLIENT_SECRET", &secret), ("MAILSHIM_HOLD", hold)])
}

#[test]
fn mail_waits_while_the_token_service_is_away_for_a_moment() {
    for fault in [Fault::Token5xx(503), Fault::TokenDrop, Fault::TokenGarbage] {
        let office365 = Office365::start(Settings::default());
        office365.fault(fault, Times::Times(2));
        by_secret(&office365, "30s").send(MAIL).is(250);
        assert_lawful(&office365);
    }
}

#[test]
fn mail_is_put_off_when_it_stays_away_and_flows_when_it_is_back() {
    let office365 = Office365::start(Settings::default());
    office365.fault(Fault::Token5xx(503), Times::Always);
    let shim = by_secret(&office365, "1s");
    shim.send(MAIL).begins("45", &[" 4.", "503"]);
    let asked = office365.stats().token_requests;
    office365.clear_faults();
    // Without any mail: the renewal goes on by itself.
    assert!(
        office365.wait(Duration::from_secs(20), |stats| stats.tokens_issued == 1),
        "after {asked} requests"
    );
    shim.send(MAIL).is(250);
    assert_lawful(&office365);
}

#[test]
fn imds_is_asked_again_where_it_says_that_it_is_being_updated() {
    let office365 = Office365::start(Settings::default());
    for status in [404, 410] {
        let (error, description) = ("not_ready".to_string(), "The service is being updated".to_string());
        office365.fault(Fault::TokenError { status, error, code: 0, description }, Times::Once);
    }
    office365.fault(Fault::TokenRetryAfter { status: 429, seconds: 1 }, Times::Once);
    let imds = office365.imds();
    let more =
        [("AZURE_POD_IDENTITY_AUTHORITY_HOST", imds.as_str()), ("MAILSHIM_MANAGED_IDENTITY", "system")];
    let shim = start(&office365, &[&more[..], &[("MAILSHIM_HOLD", "30s")]].concat());
    shim.send(MAIL).is(250);
    assert_lawful(&office365);
}

#[test]
fn a_sign_in_that_is_over_says_what_to_run() {
    let office365 = Office365::start(Settings::default());
    let file = TempFile::new(office365.give_refresh_token());
    office365.put_refresh_clock_forward(Duration::from_secs(90 * 86_400));
    let shim = start(&office365, &[("MAILSHIM_REFRESH_TOKEN_FILE", file.path())]);
    shim.send(MAIL).begins("454 4.7.0 ", &["AADSTS700082", "Run mailshim login again"]);

    let file = TempFile::new(office365.give_refresh_token());
    office365.revoke_refresh_tokens();
    let shim = start(&office365, &[("MAILSHIM_REFRESH_TOKEN_FILE", file.path())]);
    shim.send(MAIL).begins("454 4.7.0 ", &["AADSTS50173", "Run mailshim login again"]);
    assert_lawful(&office365);
}
