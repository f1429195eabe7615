//! A wrong secret: told at once, hardly tried, and forgotten as soon as another one is in its place.

use support::files::TempFile;
use support::mails::small;
use support::thread::{Setup, plan};

fn burst_of_twenty(setup: &Setup) {
    std::thread::scope(|scope| {
        for number in 0..20 {
            scope.spawn(move || setup.send(&small(number)).is(454).says("4.7.").says("Fix:").code);
        }
    });
}

#[test]
fn a_client_secret() {
    let file = TempFile::new("wrong");
    let setup =
        plan().env("MAILSHIM_CLIENT_SECRET", "").env("MAILSHIM_CLIENT_SECRET_FILE", file.path()).start();
    setup.send(&small(0)).is(454).says("AADSTS7000215").says("MAILSHIM_CLIENT_SECRET to the secret's Value");
    burst_of_twenty(&setup);
    let stats = setup.office365.stats();
    assert!(stats.token_requests <= 2, "{}", stats.token_requests);
    assert_eq!((stats.connections_opened, stats.auth_refused), (0, 0));
    file.write(&office365::Settings::default().client_secret);
    setup.send(&small(21)).is(250);
    setup.took(&[&small(21)]);
}

#[test]
fn a_password_is_not_tried_once_a_mail() {
    // Office 365 locks an account after ten.
    let file = TempFile::new("wrong");
    let setup =
        plan().password().env("MAILSHIM_PASSWORD", "").env("MAILSHIM_PASSWORD_FILE", file.path()).start();
    burst_of_twenty(&setup);
    assert!(setup.office365.stats().auth_refused <= 3, "{}", setup.office365.stats().auth_refused);
    file.write(&office365::Settings::default().password);
    setup.send(&small(21)).is(250);
    setup.took(&[&small(21)]);
}
