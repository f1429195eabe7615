//! What is given by file is read again when it is used next: nothing is restarted, and no mail is refused.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use office365::{AppCertificate, Office365, Settings};

use super::shim::{App, Shim, TempFile, assert_lawful, assert_says, assert_taken};

/// The next mail needs a new connection and a new token.
fn force_sign_in(office365: &Office365) {
    office365.revoke_tokens();
    office365.close_idle();
    // A mail that is written while its connection is being closed has no certain end: not what is tested here.
    assert!(office365.wait(Duration::from_secs(10), |stats| stats.connections_open == 0));
}

#[test]
fn a_client_secret() {
    let office365 = Office365::start(Settings::default());
    let file = TempFile::new(format!("{}\n", Settings::default().client_secret));
    let shim = Shim::start(&office365, &[("MAILSHIM_CLIENT_SECRET_FILE", file.path())]);
    assert_taken(&shim.send());
    office365.set_client_secret("another");
    file.write("another\n");
    force_sign_in(&office365);
    assert_taken(&shim.send());
    assert_lawful(&office365);
}

#[test]
fn a_password() {
    let office365 = Office365::start(Settings::default());
    let file = TempFile::new(Settings::default().password);
    let shim = Shim::start(&office365, &[("MAILSHIM_PASSWORD_FILE", file.path())]);
    assert_taken(&shim.send());
    office365.set_password("another");
    file.write("another\n");
    force_sign_in(&office365);
    assert_taken(&shim.send());
    assert_lawful(&office365);
}

#[test]
fn a_certificate() {
    let (old, new) = (AppCertificate::new(), AppCertificate::new());
    let office365 = Office365::start(Settings { certificates: vec![old.der.clone()], ..Settings::default() });
    let file = TempFile::new(old.pem());
    let shim = Shim::start(&office365, &[("MAILSHIM_CLIENT_CERTIFICATE_PATH", file.path())]);
    assert_taken(&shim.send());
    office365.set_certificates(std::slice::from_ref(&new.der));
    file.write(new.pkcs12("", &[]));
    force_sign_in(&office365);
    assert_taken(&shim.send());

    file.write(AppCertificate::valid(-9, -2).pem());
    force_sign_in(&office365);
    assert_says(&shim.send(), "45", &["expired 2 days ago"]);
    file.write(new.pem());
    assert_taken(&shim.send());
    assert_lawful(&office365);
}

#[test]
fn a_federated_token() {
    let credential = Settings::default().federated_credential;
    let office365 = Office365::start(Settings::default());
    let file = TempFile::new(office365.federated_token(&credential, 3600));
    let shim = Shim::start(&office365, &[("AZURE_FEDERATED_TOKEN_FILE", file.path())]);
    assert_taken(&shim.send());
    file.write(office365.federated_token(&credential, -60));
    force_sign_in(&office365);
    assert_says(&shim.send(), "45", &["AADSTS700024"]);
    file.write(office365.federated_token(&credential, 3600));
    // The refusal is remembered for some seconds; another start of the same shim shows the file alone.
    assert_taken(&Shim::start(&office365, &[("AZURE_FEDERATED_TOKEN_FILE", file.path())]).send());
    assert_lawful(&office365);
}

#[test]
fn a_refresh_token_is_replaced_at_each_use() {
    let office365 = Office365::start(Settings::default());
    let first = office365.give_refresh_token();
    let file = TempFile::new(&first);
    let mode = || std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    assert_ne!(mode(), 0o600);
    let shim = Shim::start(&office365, &[("MAILSHIM_REFRESH_TOKEN_FILE", file.path())]);
    assert_taken(&shim.send());
    let second = file.read();
    assert_ne!(second.trim_end(), first);
    assert_eq!(mode(), 0o600);
    force_sign_in(&office365);
    assert_taken(&shim.send());
    assert_ne!(file.read(), second);

    // As after a crash between the answer and the write: the old token is still there, and still good.
    file.write(&first);
    force_sign_in(&office365);
    assert_taken(&shim.send());
    assert_lawful(&office365);
}

#[test]
fn a_token_that_ends_in_the_middle_of_a_session() {
    let office365 = Office365::start(Settings::default());
    let secret = Settings::default().client_secret;
    let shim = Shim::start(&office365, &[("MAILSHIM_CLIENT_SECRET", &secret)]);
    let mut app = App::connect(&shim);
    for _ in 0..3 {
        assert_taken(&app.send());
        force_sign_in(&office365);
    }
    assert_eq!(office365.stats().tokens_issued, 3);
    assert_lawful(&office365);
}
