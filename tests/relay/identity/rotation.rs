//! What is given by file is read again when it is used next: nothing is restarted, and no mail is refused.

use std::os::unix::fs::PermissionsExt;

use office365::{AppCertificate, Office365, Settings};
use support::close_idle;
use support::files::TempFile;
use support::thread::assert_lawful;

use super::{MAIL, start};

/// The next mail needs a new connection and a new token.
fn force_sign_in(office365: &Office365) {
    office365.revoke_tokens();
    close_idle(office365);
}

#[test]
fn a_client_secret() {
    let office365 = Office365::start(Settings::default());
    let file = TempFile::new(format!("{}\n", Settings::default().client_secret));
    let shim = start(&office365, &[("MAILSHIM_CLIENT_SECRET_FILE", file.path())]);
    shim.send(MAIL).is(250);
    office365.set_client_secret("another");
    file.write("another\n");
    force_sign_in(&office365);
    shim.send(MAIL).is(250);
    assert_lawful(&office365);
}

#[test]
fn a_password() {
    let office365 = Office365::start(Settings::default());
    let file = TempFile::new(Settings::default().password);
    let shim = start(&office365, &[("MAILSHIM_PASSWORD_FILE", file.path())]);
    shim.send(MAIL).is(250);
    office365.set_password("another");
    file.write("another\n");
    force_sign_in(&office365);
    shim.send(MAIL).is(250);
    assert_lawful(&office365);
}

#[test]
fn a_certificate() {
    let (old, new) = (AppCertificate::new(), AppCertificate::new());
    let office365 = Office365::start(Settings { certificates: vec![old.der.clone()], ..Settings::default() });
    let file = TempFile::new(old.pem());
    let shim = start(&office365, &[("MAILSHIM_CLIENT_CERTIFICATE_PATH", file.path())]);
    shim.send(MAIL).is(250);
    office365.set_certificates(std::slice::from_ref(&new.der));
    file.write(new.pkcs12("", &[]));
    force_sign_in(&office365);
    shim.send(MAIL).is(250);

    file.write(AppCertificate::valid(-9, -2).pem());
    force_sign_in(&office365);
    shim.send(MAIL).begins("45", &["expired 2 days ago"]);
    file.write(new.pem());
    shim.send(MAIL).is(250);
    assert_lawful(&office365);
}

#[test]
fn a_federated_token() {
    let credential = Settings::default().federated_credential;
    let office365 = Office365::start(Settings::default());
    let file = TempFile::new(office365.federated_token(&credential, 3600));
    let shim = start(&office365, &[("AZURE_FEDERATED_TOKEN_FILE", file.path())]);
    shim.send(MAIL).is(250);
    file.write(office365.federated_token(&credential, -60));
    force_sign_in(&office365);
    shim.send(MAIL).begins("45", &["AADSTS700024"]);
    file.write(office365.federated_token(&credential, 3600));
    // The refusal is remembered for some seconds; another start of the same shim shows the file alone.
    start(&office365, &[("AZURE_FEDERATED_TOKEN_FILE", file.path())]).send(MAIL).is(250);
    assert_lawful(&office365);
}

#[test]
fn a_refresh_token_is_replaced_at_each_use() {
    let office365 = Office365::start(Settings::default());
    let first = office365.give_refresh_token();
    let file = TempFile::new(&first);
    let mode = || std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    assert_ne!(mode(), 0o600);
    let shim = start(&office365, &[("MAILSHIM_REFRESH_TOKEN_FILE", file.path())]);
    shim.send(MAIL).is(250);
    let second = file.read();
    assert_ne!(second.trim_end(), first);
    assert_eq!(mode(), 0o600);
    force_sign_in(&office365);
    shim.send(MAIL).is(250);
    assert_ne!(file.read(), second);

    // As after a crash between the answer and the write: the old token is still there, and still good.
    file.write(&first);
    force_sign_in(&office365);
    shim.send(MAIL).is(250);
    assert_lawful(&office365);
}

#[test]
fn a_token_that_ends_in_the_middle_of_a_session() {
    let office365 = Office365::start(Settings::default());
    let secret = Settings::default().client_secret;
    let shim = start(&office365, &[("MAILSHIM_CLIENT_SECRET", &secret)]);
    let mut app = shim.client();
    for _ in 0..3 {
        app.mail(MAIL).is(250);
        force_sign_in(&office365);
    }
    assert_eq!(office365.stats().tokens_issued, 3);
    assert_lawful(&office365);
}
