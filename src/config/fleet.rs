//! The engine that the replicas of a fleet share, if there is one.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use super::environment::Reader;
use super::sign_in;
use super::value::{number, readable_file};
use crate::fleet::{FleetAuth, FleetOptions, FleetPassword, Unreachable};
use crate::identity::sign_in::{Application, ManagedIdentity, SignIn, TokenSource};
use crate::names::HostPort;
use crate::secret::{Secret, SecretSource};

const FLEET: &str = "MAILSHIM_FLEET";
const PASSWORD: &str = "MAILSHIM_FLEET_PASSWORD";
const AUTH: &str = "MAILSHIM_FLEET_AUTH";
const CERTIFICATE: &str = "MAILSHIM_FLEET_CERT_FILE";
const KEY: &str = "MAILSHIM_FLEET_KEY_FILE";
const OTHERS: [&str; 7] = [
    PASSWORD,
    AUTH,
    CERTIFICATE,
    KEY,
    "MAILSHIM_FLEET_SCHEMA",
    "MAILSHIM_FLEET_SIZE",
    "MAILSHIM_FLEET_UNREACHABLE",
];
const FORM: &str = "write postgresql://user@host/database, with several hosts by commas and a port behind a colon where it is \
                    not 5432";

/// What `MAILSHIM_FLEET` says. No `Debug`: it may hold a password.
struct Url {
    user: String,
    password: Option<Secret<String>>,
    hosts: Vec<HostPort>,
    database: String,
}

/// `Some(None)` without a fleet; `None` after a mistake. The sign-in, where it was read and is whole.
pub(super) fn options(reader: &mut Reader, sign_in: Option<&SignIn>) -> Option<Option<FleetOptions>> {
    // All are judged, whether they have an effect or not: what is in the wrong place is not shown.
    let schema = reader.value("MAILSHIM_FLEET_SCHEMA", schema);
    let size = reader.value("MAILSHIM_FLEET_SIZE", number(1, 10_000));
    let unreachable = reader.value("MAILSHIM_FLEET_UNREACHABLE", unreachable);
    let given = Given {
        is_named: reader.is_set(AUTH),
        method: if reader.is_set(AUTH) { reader.value(AUTH, method) } else { None },
        certificate: reader.value(CERTIFICATE, readable_file),
        key: reader.value(KEY, readable_file),
        password: reader.secret(PASSWORD),
    };
    if !reader.is_set(FLEET) {
        for name in OTHERS {
            if reader.is_set(name) {
                reader.warn(format!("{name} has no effect: {FLEET} is not set"));
            }
        }
        return Some(None);
    }
    let url = reader.text(FLEET).map(|text| parse(text.trim()));
    let url = match url? {
        Ok(url) => Some(url),
        // Never the value: it may hold a password.
        Err(problem) => {
            reader.refuse(FLEET, problem);
            None
        }
    };
    let in_url = url.as_ref().and_then(|url| url.password.clone());
    let auth = auth(reader, given, in_url, sign_in);
    let Url { user, hosts, database, .. } = url?;
    let (auth, schema, size, unreachable) = (auth?, schema?, size?, unreachable?);
    Some(Some(FleetOptions { hosts, user, database, auth, schema, size, unreachable }))
}

/// Whether the role signs in with a token, as far as the variables say: then the configured sign-in is needed.
pub(super) fn needs_sign_in(reader: &Reader) -> bool {
    match reader.text(AUTH) {
        Some(auth) => auth == "entra",
        None => {
            let in_url = reader.text(FLEET).and_then(|text| parse(text.trim()).ok()?.password).is_some();
            !(in_url || reader.is_set(PASSWORD) || reader.is_set(CERTIFICATE))
        }
    }
}

/// What is given of the ways to sign in.
struct Given {
    is_named: bool,
    method: Option<&'static str>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    password: Option<SecretSource>,
}

fn auth(
    reader: &mut Reader,
    given: Given,
    in_url: Option<Secret<String>>,
    sign_in: Option<&SignIn>,
) -> Option<FleetAuth> {
    if in_url.is_some() && reader.is_set(PASSWORD) {
        reader.refuse(PASSWORD, format!("is set, and {FLEET} holds a password too: give one of them"));
        return None;
    }
    if reader.is_set(CERTIFICATE) {
        reader
            .require(KEY, "MAILSHIM_FLEET_CERT_FILE is set, and a certificate is of no use without its key");
    }
    if reader.is_set(KEY) {
        reader.require(
            CERTIFICATE,
            "MAILSHIM_FLEET_KEY_FILE is set, and a key is of no use without its certificate",
        );
    }
    let Given { certificate, key, .. } = given;
    let password = given.password.map(FleetPassword::Variable).or(in_url.map(FleetPassword::InUrl));
    let named = match given.is_named {
        true => Some(given.method?),
        false => None,
    };
    let (has_password, has_certificate) = (password.is_some(), certificate.is_some() || reader.is_set(KEY));
    let method = match named {
        Some(method) => method,
        None if has_password && has_certificate => {
            reader.refuse(
                AUTH,
                "cannot be deduced: a password and a certificate are set; say password or certificate",
            );
            return None;
        }
        None if reader.is_set(PASSWORD) || has_password => "password",
        None if has_certificate => "certificate",
        None => "entra",
    };
    let missing = |what: &str| format!("is {method}, and {what}");
    match method {
        "password" if has_password => password.map(FleetAuth::Password),
        "password" if reader.is_set(PASSWORD) => None,
        "password" => {
            reader.refuse(AUTH, missing("MAILSHIM_FLEET_PASSWORD is not set"));
            None
        }
        "certificate" if certificate.is_some() && key.is_some() => {
            certificate.zip(key).map(|(certificate, key)| FleetAuth::Certificate(certificate, key))
        }
        "certificate" => {
            if !reader.is_set(CERTIFICATE) && !reader.is_set(KEY) {
                reader.refuse(
                    AUTH,
                    missing("MAILSHIM_FLEET_CERT_FILE and MAILSHIM_FLEET_KEY_FILE are not set"),
                );
            }
            None
        }
        _ => {
            let sign_in = sign_in?;
            let scope = reader.cloud.database_scope();
            if for_scope(sign_in, scope).is_none() {
                let words = "needs a way for the role to sign in: set MAILSHIM_FLEET_PASSWORD, or MAILSHIM_FLEET_CERT_FILE and \
                             MAILSHIM_FLEET_KEY_FILE; an Entra token (entra) is had with MAILSHIM_AUTH secret, certificate, \
                             workload or managed alone";
                reader.refuse(AUTH, words);
                return None;
            }
            Some(FleetAuth::Entra(scope.to_string()))
        }
    }
}

/// The same identity for another scope, where it is an application's or the platform's.
pub fn for_scope(sign_in: &SignIn, scope: &str) -> Option<SignIn> {
    let application =
        |application: &Application| Application { scope: scope.to_string(), ..application.clone() };
    let SignIn::Token(source) = sign_in else { return None };
    Some(SignIn::Token(match source {
        TokenSource::Secret(app, secret) => TokenSource::Secret(application(app), secret.clone()),
        TokenSource::Certificate(app, file) => TokenSource::Certificate(application(app), file.clone()),
        TokenSource::Workload(app, file) => TokenSource::Workload(application(app), file.clone()),
        TokenSource::Managed(managed) => TokenSource::Managed(ManagedIdentity {
            resource: scope.trim_end_matches("/.default").to_string(),
            ..managed.clone()
        }),
        TokenSource::Refresh(..) => return None,
    }))
}

/// Reads the sign-in where the role needs it.
pub(super) fn sign_in_if_needed(reader: &mut Reader) -> Option<Option<SignIn>> {
    match needs_sign_in(reader) {
        true => sign_in::sign_in(reader).map(Some),
        false => Some(None),
    }
}

fn method(text: &str) -> Result<&'static str, String> {
    let known = ["password", "certificate", "entra"].into_iter().find(|known| *known == text);
    known.ok_or_else(|| "is neither password, certificate nor entra".to_string())
}

fn unreachable(text: &str) -> Result<Unreachable, String> {
    match text {
        "share" => Ok(Unreachable::Share),
        "hold" => Ok(Unreachable::Hold),
        _ => Err("is neither share nor hold".to_string()),
    }
}

/// A name that need not be quoted: it stands in every statement.
fn schema(text: &str) -> Result<String, String> {
    let begins = text.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
    let goes_on = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if begins && goes_on && text.len() <= 63 && !text.starts_with("pg_") {
        Ok(text.to_string())
    } else {
        Err("is not a name of a-z, 0-9 and _ that begins with a letter, such as mailshim".to_string())
    }
}

fn parse(text: &str) -> Result<Url, String> {
    let rest = text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://"));
    let rest = rest.ok_or_else(|| format!("is not a PostgreSQL URL: {FORM}"))?;
    if rest.contains(['?', '#']) {
        return Err(
            "has parameters behind a question mark, such as sslmode: mailshim takes none; TLS with a verified name is always \
             used, and MAILSHIM_CA_FILE names a root of your own"
                .to_string(),
        );
    }
    let (authority, database) = rest.split_once('/').ok_or_else(|| format!("names no database: {FORM}"))?;
    let (login, hosts) = authority.rsplit_once('@').ok_or_else(|| format!("names no user: {FORM}"))?;
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (login, None),
    };
    let decoded = |text: &str| {
        let text =
            percent_decode_str(text).decode_utf8().map_err(|_| "is not UTF-8 once decoded".to_string())?;
        match text.contains('\0') {
            true => Err("has a NUL in it".to_string()),
            false => Ok(text.into_owned()),
        }
    };
    let (user, database) = (decoded(user)?, decoded(database)?);
    if user.is_empty() || database.is_empty() || database.contains('/') {
        return Err(format!("names no user or no database: {FORM}"));
    }
    let password =
        password.filter(|password| !password.is_empty()).map(decoded).transpose()?.map(Secret::new);
    let hosts: Result<Vec<HostPort>, String> = hosts.split(',').map(host).collect();
    Ok(Url { user, password, hosts: hosts?, database })
}

fn host(text: &str) -> Result<HostPort, String> {
    let has_port = match text.strip_prefix('[') {
        Some(rest) => rest.contains("]:"),
        None => text.contains(':'),
    };
    let with_port = if has_port { text.to_string() } else { format!("{text}:5432") };
    HostPort::parse(&with_port).map_err(|_| format!("names no host that can be read: {FORM}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_hosts_user_and_database() {
        let url =
            parse("postgresql://mail%40shim:p%3Aw@a.example,b:6432,[::1],[::2]:7/fle%20et").ok().unwrap();
        assert_eq!((url.user.as_str(), url.database.as_str()), ("mail@shim", "fle et"));
        assert_eq!(url.password.unwrap().expose(), "p:w");
        let hosts: Vec<String> = url.hosts.iter().map(ToString::to_string).collect();
        assert_eq!(hosts, ["a.example:5432", "b:6432", "[::1]:5432", "[::2]:7"]);
    }

    #[test]
    fn what_is_wrong_with_it_is_said_without_it() {
        for (text, words) in [
            ("mysql://u@h/d", "not a PostgreSQL URL"),
            ("host=h user=u", "not a PostgreSQL URL"),
            ("postgres://u:c4n4ry@h/d?sslmode=require", "parameters"),
            ("postgres://u:c4n4ry@h", "no database"),
            ("postgres://u:c4n4ry@h/", "no database"),
            ("postgres://h/c4n4ry", "no user"),
            ("postgres://u:c4n4ry@h:x/d", "no host"),
            ("postgres://u:c4n4ry@/d", "no host"),
            ("postgres://u%00:c4n4ry@h/d", "NUL"),
        ] {
            let problem = parse(text).err().unwrap();
            assert!(problem.contains(words) && !problem.contains("c4n4ry"), "{text}: {problem}");
        }
    }

    #[test]
    fn a_schema_needs_no_quotes() {
        for name in ["mailshim", "_a1", &"x".repeat(63)] {
            assert!(schema(name).is_ok(), "{name}");
        }
        for name in ["", "1a", "A", "a-b", "a\"b", "a.b", "pg_x", "é", &"x".repeat(64)] {
            assert!(schema(name).is_err(), "{name}");
        }
    }
}
