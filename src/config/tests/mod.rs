//! The rules as a whole, from environment to `Config` or errors; the parsers have tests of their own.

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::identity::sign_in::{Application, ManagedEndpoint, SignIn, TokenSource};
use crate::message::sender::FromPolicy;
use crate::names::HostPort;
use crate::secret::SecretSource;
use crate::telemetry::{AddressDetail, LogConfig, LogFilter, LogFormat};

mod clouds;
mod names;
mod policy;
mod secrets;
mod sign_in;

const TENANT: &str = "5f0e2a6b-4c1d-4f3e-9a7b-2d8c6e1f0a9b";
const CLIENT: &str = "8c1f6f3e-0b5d-4d0a-9a43-7f2b1c9e5d60";
const CANARY: &str = "c4n4ry~Q.secret";

/// The smallest real set-up.
const FOUR: [(&str, &str); 4] = [
    ("MAILSHIM_MAILBOX", "noreply@contoso.com"),
    ("MAILSHIM_TENANT_ID", TENANT),
    ("MAILSHIM_CLIENT_ID", CLIENT),
    ("MAILSHIM_CLIENT_SECRET", CANARY),
];

fn read(vars: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    Config::from_env(vars.iter().map(|(name, value)| (name.into(), value.into())))
}

/// The four, with these set over them; an empty value unsets.
fn with<'a>(changes: &[(&'a str, &'a str)]) -> Result<Config, ConfigErrors> {
    let kept = FOUR.iter().filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    read(&kept.chain(changes).copied().collect::<Vec<_>>())
}

fn by_secret(config: &Config) -> (&Application, &SecretSource) {
    match &config.identity.sign_in {
        SignIn::Token(TokenSource::Secret(application, secret)) => (application, secret),
        other => panic!("{other:?}"),
    }
}

fn errors(result: Result<Config, ConfigErrors>) -> Vec<String> {
    result.expect_err("a mistake").iter().map(ToString::to_string).collect()
}

/// One error, which begins so and contains this.
fn assert_refused(changes: &[(&str, &str)], start: &str, part: &str) {
    let errors = errors(with(changes));
    assert_eq!(errors.len(), 1, "{changes:?}: {errors:#?}");
    assert!(errors[0].starts_with(start) && errors[0].contains(part), "{changes:?}: {}", errors[0]);
}

/// A file that goes away with the test.
struct TempFile(PathBuf);

impl TempFile {
    fn new(content: &[u8]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("mailshim-config-{}-{count}", std::process::id()));
        std::fs::File::create(&path).unwrap().write_all(content).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn four_variables_are_enough() {
    let config = read(&FOUR).unwrap();
    let addresses: Vec<_> = config.listen.addresses.iter().map(ToString::to_string).collect();
    assert_eq!((addresses.join(","), config.listen.is_default), ("127.0.0.1:25,[::1]:25".to_string(), true));
    let (application, secret) = by_secret(&config);
    assert_eq!(application.authority.to_string(), "https://login.microsoftonline.com");
    assert_eq!(secret.read().unwrap().expose(), CANARY);
    assert_eq!((application.tenant.as_str(), application.client_id.as_str()), (TENANT, CLIENT));
    assert_eq!(application.scope, "https://outlook.office365.com/.default");
    assert_eq!(config.hostname, "contoso.com");
    assert_eq!(config.identity.mailbox.to_string(), "noreply@contoso.com");
    assert_eq!(config.upstream.to_string(), "smtp.office365.com:587");
    assert_eq!(
        (
            config.session.limits.max_message_size,
            config.session.limits.max_recipients,
            config.session.max_sessions
        ),
        (36_700_160, 500, 64)
    );
    assert_eq!((config.allowance.connections, config.hold), (3, Duration::from_secs(45)));
    assert_eq!((config.shutdown_delay, config.shutdown_grace), (Duration::ZERO, Duration::from_secs(25)));
    assert_eq!(
        config.log,
        LogConfig {
            filter: LogFilter::parse("info").unwrap(),
            format: LogFormat::Auto,
            addresses: AddressDetail::Full
        }
    );
    assert_eq!((config.session.app_login, config.ca_file, config.warnings), (None, None, Vec::new()));
}

#[test]
fn every_variable_reaches_its_field() {
    let ca = TempFile::new(b"any");
    let config = with(&[
        ("MAILSHIM_LISTEN", "localhost:2525, 127.0.0.1:2525,127.0.0.2:25"),
        ("MAILSHIM_HOSTNAME", "app.contoso.com"),
        ("MAILSHIM_MAX_MESSAGE_SIZE", "10MB"),
        ("MAILSHIM_MAX_RECIPIENTS", "11"),
        ("MAILSHIM_MAX_SESSIONS", "12"),
        ("MAILSHIM_APP_USERNAME", "app"),
        ("MAILSHIM_APP_PASSWORD", "app's own"),
        ("MAILSHIM_AUTH", "secret"),
        ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.us/"),
        ("MAILSHIM_OAUTH_SCOPE", "https://outlook.office365.us/.default"),
        ("MAILSHIM_UPSTREAM", "smtp.office365.us:25"),
        ("MAILSHIM_CA_FILE", ca.path()),
        ("MAILSHIM_MAX_CONNECTIONS", "2"),
        ("MAILSHIM_HOLD", " 1m "),
        ("MAILSHIM_LOG", "warn,mailshim=debug"),
        ("MAILSHIM_LOG_FORMAT", "json"),
        ("MAILSHIM_SHUTDOWN_DELAY", "5s"),
        ("MAILSHIM_SHUTDOWN_GRACE", "6s"),
    ])
    .unwrap();
    let addresses: Vec<_> = config.listen.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["127.0.0.1:2525", "[::1]:2525", "127.0.0.2:25"]);
    assert!(!config.listen.is_default);
    let (application, _) = by_secret(&config);
    assert_eq!(application.authority.host_port().to_string(), "login.microsoftonline.us:443");
    assert_eq!(application.scope, "https://outlook.office365.us/.default");
    let login = config.session.app_login.unwrap();
    assert_eq!(
        (login.username.as_str(), login.password.read().unwrap().expose().as_str()),
        ("app", "app's own")
    );
    assert_eq!(config.hostname, "app.contoso.com");
    assert_eq!(config.upstream, HostPort { host: "smtp.office365.us".to_string(), port: 25 });
    assert_eq!(
        (
            config.session.limits.max_message_size,
            config.session.limits.max_recipients,
            config.session.max_sessions
        ),
        (10_000_000, 11, 12)
    );
    assert_eq!((config.allowance.connections, config.hold), (2, Duration::from_secs(60)));
    assert_eq!(
        (config.shutdown_delay, config.shutdown_grace),
        (Duration::from_secs(5), Duration::from_secs(6))
    );
    assert_eq!(
        config.log,
        LogConfig {
            filter: LogFilter::parse("warn,mailshim=debug").unwrap(),
            format: LogFormat::Json,
            addresses: AddressDetail::Full
        }
    );
    assert_eq!((config.ca_file, config.warnings), (Some(ca.0.clone()), Vec::new()));
}

#[test]
fn each_bad_value_says_what_is_accepted() {
    for (name, value, part) in [
        ("MAILSHIM_LISTEN", "0.0.0.0:25", "\"0.0.0.0:25\" is not a loopback address"),
        ("MAILSHIM_LISTEN", "127.0.0.1:25,,", "is not an address with a port"),
        ("MAILSHIM_HOSTNAME", "web_7", "\"web_7\" is not a full host name"),
        ("MAILSHIM_MAX_MESSAGE_SIZE", "35M", "\"35M\" is not a size from 1KiB to 150MiB"),
        ("MAILSHIM_MAX_RECIPIENTS", "1001", "is not a whole number from 1 to 1000 (the default is 500)"),
        ("MAILSHIM_MAX_SESSIONS", "0", "is not a whole number from 1 to 1000 (the default is 64)"),
        ("MAILSHIM_MAILBOX", "noreply", "such as noreply@contoso.com"),
        ("MAILSHIM_AUTH", "oauth", "write secret, certificate, workload, managed, refresh, password or none"),
        ("MAILSHIM_TENANT_ID", "common", "names no single tenant"),
        ("MAILSHIM_TENANT_ID", "contoso", "or a domain of it, such as contoso.onmicrosoft.com"),
        ("MAILSHIM_CLIENT_ID", "my-app", "is not an Application (client) ID, such as"),
        (
            "AZURE_AUTHORITY_HOST",
            "http://login.microsoftonline.com",
            "such as https://login.microsoftonline.com",
        ),
        ("MAILSHIM_OAUTH_SCOPE", "https://outlook.office.com/SMTP.Send", "ends in /.default"),
        ("MAILSHIM_UPSTREAM", "smtp.office365.com", "such as smtp.office365.com:587"),
        ("MAILSHIM_CA_FILE", "/nowhere/ca.pem", "does not name a file that can be read (No such file"),
        ("MAILSHIM_CA_FILE", "/", "does not name a file that can be read (Is a directory"),
        ("MAILSHIM_MAX_CONNECTIONS", "0", "is not a whole number from 1 to 50 (the default is 3)"),
        ("MAILSHIM_HOLD", "0", "\"0\" is not a duration from 1s to 10m"),
        ("MAILSHIM_LOG", "inof", "\"inof\" is not a log filter"),
        ("MAILSHIM_LOG_FORMAT", "xml", "write auto, text or json"),
        ("MAILSHIM_SHUTDOWN_DELAY", "2h", "is not a duration from 0s to 1h"),
        ("MAILSHIM_SHUTDOWN_GRACE", "0", "0 needs its unit too: 0s"),
    ] {
        let changes: &[_] = &[(name, value)];
        let errors = errors(with(changes));
        assert!(
            errors.iter().all(|error| error.starts_with(&format!("{name}: "))),
            "{changes:?}: {errors:?}"
        );
        assert!(errors.iter().any(|error| error.contains(part)), "{changes:?}: {errors:?}");
    }
}

#[test]
fn an_empty_value_counts_as_unset() {
    let config = with(&[
        ("MAILSHIM_LISTEN", ""),
        ("MAILSHIM_HOLD", " "),
        ("MAILSHIM_PASSWORD", ""),
        ("MAILSHIM_CLIENT_SECRET_FILE", ""),
        ("MAILSHIM_NO_SUCH_THING", ""),
    ]);
    assert!(config.unwrap().listen.is_default);
}

#[test]
fn what_is_missing_is_named_one_by_one() {
    for name in ["MAILSHIM_TENANT_ID", "MAILSHIM_CLIENT_ID", "MAILSHIM_MAILBOX"] {
        assert_refused(&[(name, "")], name, "is required: set it to");
    }
    assert_eq!(errors(with(&[("MAILSHIM_TENANT_ID", ""), ("MAILSHIM_CLIENT_ID", "")])).len(), 2);
    assert_refused(
        &[("MAILSHIM_CLIENT_SECRET", ""), ("MAILSHIM_AUTH", "secret")],
        "MAILSHIM_CLIENT_SECRET",
        "is required: set it to the Value",
    );
    assert_refused(&[("MAILSHIM_AUTH", "password")], "MAILSHIM_PASSWORD", "is required: set it to");
    assert_refused(&[("MAILSHIM_APP_USERNAME", "app")], "MAILSHIM_APP_PASSWORD", "set both");
    assert_refused(&[("MAILSHIM_APP_PASSWORD", "x")], "MAILSHIM_APP_USERNAME", "set both");
}

#[test]
fn warnings() {
    for (name, value, part) in [
        ("MAILSHIM_CLIENT_SECRET", "0c1f6f3e-0b5d-4d0a-9a43-7f2b1c9e5d60", "what is needed is its Value"),
        ("MAILSHIM_CLIENT_SECRET", "s3cret\n", "its trailing line ends"),
        ("MAILSHIM_CLIENT_SECRET", "\u{feff}s3cret", "the byte order mark"),
        ("MAILSHIM_CLIENT_SECRET", "\"s3cret\"", "a quote at both ends"),
        ("MAILSHIM_CLIENT_SECRET", "s3cr\u{e9}t", "beyond ASCII"),
        ("MAILSHIM_CLIENT_SECRET", "s3 cret", "a blank"),
        ("MAILSHIM_MAX_CONNECTIONS", "4", "432 4.3.2"),
        ("MAILSHIM_UPSTREAM", "smtp.office365.com:465", "use 587"),
    ] {
        let warnings = with(&[(name, value)]).unwrap().warnings;
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].starts_with(name) && warnings[0].contains(part), "{warnings:?}");
    }
}

#[test]
fn the_light_reader_sees_listen_alone() {
    let read =
        |vars: &[(&str, &str)]| listen_only(vars.iter().map(|(name, value)| (name.into(), value.into())));
    assert!(read(&[("MAILSHIM_NONSENSE", "x"), ("MAILSHIM_HOLD", "x")]).unwrap().is_default);
    assert_eq!(
        read(&[("MAILSHIM_LISTEN", "127.0.0.2:26")]).unwrap().addresses[0].to_string(),
        "127.0.0.2:26"
    );
    assert!(read(&[("MAILSHIM_LISTEN", "26")]).is_err());
    assert!(read(&[("MAILSHIM_LISTEN", "127.0.0.1:26"), ("MAILSHIM_LISTEN_FILE", "/")]).is_err());
}

#[test]
fn all_mistakes_are_reported_together() {
    let message = read(&[
        ("MAILSHIM_LISTEN", "0.0.0.0:25"),
        ("MAILSHIM_MAX_MESSAGE_SIZE", "35M"),
        ("MAILSHIM_APP_USERNAME", "app"),
        ("MAILSHIM_TENANT_ID", "common"),
        ("MAILSHIM_CLIENT_SECRET", CANARY),
        ("MAILSHIM_CLIENT_SECRET_FILE", "/run/secrets/mail"),
        ("MAILSHIM_MAX_CONECTIONS", "2"),
        ("MAILSHIM_HOLD", "45"),
        ("MAILSHIM_LOG_FORMAT", "xml"),
    ])
    .unwrap_err()
    .to_string();
    let expected = include_str!("ten_mistakes.txt");
    assert_eq!(message, expected.trim_end(), "\n{message}\n");
}

#[test]
fn what_the_shims_death_does() {
    let on_failure = |value| with(&[("MAILSHIM_EXEC_ON_FAILURE", value)]).unwrap().exec_on_failure;
    assert_eq!(on_failure(""), OnFailure::Stop);
    assert_eq!(on_failure("restart"), OnFailure::Restart);
    assert_refused(
        &[("MAILSHIM_EXEC_ON_FAILURE", "ignore")],
        "MAILSHIM_EXEC_ON_FAILURE: ",
        "neither stop nor restart",
    );
}
