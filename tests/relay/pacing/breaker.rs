//! A wrong secret: told at once, hardly tried, and forgotten as soon as another one is in its place.

use std::path::PathBuf;

use crate::setup::{Setup, plan, small};

/// A secret's file that goes with the test.
struct SecretFile(PathBuf);

impl SecretFile {
    fn new(name: &str, secret: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mailshim-pacing-{name}-{}", std::process::id()));
        std::fs::write(&path, secret).unwrap();
        Self(path)
    }

    fn write(&self, secret: &str) {
        std::fs::write(&self.0, secret).unwrap();
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn burst_of_twenty(setup: &Setup) {
    std::thread::scope(|scope| {
        for number in 0..20 {
            scope.spawn(move || setup.send(&small(number)).is(454).says("4.7.").says("Fix:").code);
        }
    });
}

#[test]
fn a_client_secret() {
    let file = SecretFile::new("secret", "wrong");
    let setup = plan()
        .env("MAILSHIM_CLIENT_SECRET", "")
        .env("MAILSHIM_CLIENT_SECRET_FILE", file.0.to_str().unwrap())
        .start();
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
    let file = SecretFile::new("password", "wrong");
    let setup = plan()
        .password()
        .env("MAILSHIM_PASSWORD", "")
        .env("MAILSHIM_PASSWORD_FILE", file.0.to_str().unwrap())
        .start();
    burst_of_twenty(&setup);
    assert!(setup.office365.stats().auth_refused <= 3, "{}", setup.office365.stats().auth_refused);
    file.write(&office365::Settings::default().password);
    setup.send(&small(21)).is(250);
    setup.took(&[&small(21)]);
}
