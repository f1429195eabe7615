//! Which names count.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::*;

#[test]
fn unknown_names() {
    assert_refused(&[("MAILSHIM_LISTNE", CANARY)], "MAILSHIM_LISTNE: ", "did you mean MAILSHIM_LISTEN?");
    assert_refused(
        &[("MAILSHIM_TURBO_MODE", CANARY)],
        "MAILSHIM_TURBO_MODE: ",
        "docs/configuration.md has the list",
    );
    assert_refused(&[("MAILSHIM_\n1 mistake", CANARY)], "MAILSHIM_\\n1 mistake: ", "is no variable");
    assert_refused(&[("MAILSHIM_PORT", "25")], "MAILSHIM_PORT: ", "is no variable");
    for (name, value) in [
        ("MAILSHIM_PORT", "tcp://10.0.0.7:25"),
        ("MAILSHIM_RELAY_SERVICE_HOST", "10.0.0.7"),
        ("MAILSHIMX", "not ours"),
        ("OTHER_MAILSHIM_LISTEN", "not ours"),
    ] {
        assert_eq!(with(&[(name, value)]), read(&FOUR), "{name}");
    }
}

#[test]
fn names_count_in_upper_case_only() {
    let config =
        with(&[("mailshim_listen", "0.0.0.0:25"), ("Mailshim_Hold", "1s"), ("mailshim_other", "x")]).unwrap();
    assert_eq!(Config { warnings: Vec::new(), ..config.clone() }, read(&FOUR).unwrap());
    assert_eq!(config.warnings.len(), 2, "{:?}", config.warnings);
    assert!(config.warnings.iter().any(|warning| warning.starts_with("mailshim_listen is ignored")));
}

#[test]
fn what_is_not_utf_8_matters_in_our_variables_alone() {
    let four = || FOUR.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let broken = || OsString::from_vec(b"127.0.0.1:25\xff".to_vec());
    let foreign = [("PATH_OF_ANOTHER".into(), broken()), (broken(), broken())];
    assert_eq!(Config::from_env(four().chain(foreign)), read(&FOUR));

    let ours = [("MAILSHIM_LISTEN".into(), broken()), ("MAILSHIM_PORT".into(), broken())];
    let found = errors(Config::from_env(four().chain(ours)));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.contains(&"MAILSHIM_LISTEN: is not valid UTF-8".to_string()), "{found:?}");

    let mut name = b"MAILSHIM_".to_vec();
    name.push(0xff);
    let found = errors(Config::from_env(four().chain([(OsString::from_vec(name), "x".into())])));
    assert!(found[0].contains("is no variable"), "{found:?}");
}

#[test]
fn a_name_that_stands_twice_counts_the_first_time() {
    let config = read(&[&FOUR[..], &[("MAILSHIM_HOLD", "10s"), ("MAILSHIM_HOLD", "20s")]].concat()).unwrap();
    assert_eq!(config.hold, Duration::from_secs(10));
}

#[test]
fn azure_names_are_read_where_ours_are_not_set() {
    let secret = TempFile::new(CANARY.as_bytes());
    let mailbox = FOUR[0];
    let config = read(&[
        mailbox,
        ("AZURE_TENANT_ID", "contoso.onmicrosoft.com"),
        ("AZURE_CLIENT_ID", "another app's, not read"),
        ("MAILSHIM_CLIENT_ID", CLIENT),
        ("AZURE_CLIENT_SECRET_FILE", secret.path()),
        ("AZURE_SOMETHING", "not ours"),
    ])
    .unwrap();
    let (application, found) = by_secret(&config);
    assert_eq!(
        (application.tenant.as_str(), application.client_id.as_str()),
        ("contoso.onmicrosoft.com", CLIENT)
    );
    assert_eq!(*found, SecretSource::File(secret.0.clone()));
    // The error names what the operator wrote.
    assert_refused(
        &[("MAILSHIM_TENANT_ID", ""), ("AZURE_TENANT_ID", "common")],
        "AZURE_TENANT_ID: ",
        "names no single tenant",
    );
}
