//! How to sign in to Office 365: what is set decides, and `MAILSHIM_AUTH` where that is not enough.
//!
//! What the operator wrote (`MAILSHIM_*`) beats what a platform injected (`AZURE_*`): a pod with workload identity whose
//! operator sets `MAILSHIM_CLIENT_SECRET` signs in with that secret. Among equals nothing is guessed.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::application;
use super::environment::Reader;
use super::managed::managed_identity;
use super::value::is_guid;
use crate::identity::certificate_file::CertificateFile;
use crate::identity::sign_in::{SignIn, TokenSource};
use crate::secret::{bare, oddity, read_value_file};

/// A way to sign in, before it is known to be complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Client credentials with a client secret.
    Secret,
    /// Client credentials with a certificate.
    Certificate,
    /// Client credentials with the platform's own token.
    Workload,
    /// The platform's endpoint.
    Managed,
    /// A person's sign-in, kept in a file.
    Refresh,
    /// The mailbox's password.
    Password,
    /// A connector knows us.
    None,
}

/// Each way: its name in `MAILSHIM_AUTH`, and the variable that suggests it.
const WAYS: [(&str, Way, Option<&str>); 7] = [
    ("secret", Way::Secret, Some("MAILSHIM_CLIENT_SECRET")),
    ("certificate", Way::Certificate, Some("MAILSHIM_CLIENT_CERTIFICATE_PATH")),
    ("workload", Way::Workload, Some("AZURE_FEDERATED_TOKEN_FILE")),
    ("managed", Way::Managed, Some("MAILSHIM_MANAGED_IDENTITY")),
    ("refresh", Way::Refresh, Some("MAILSHIM_REFRESH_TOKEN_FILE")),
    ("password", Way::Password, Some("MAILSHIM_PASSWORD")),
    ("none", Way::None, None),
];

pub(super) fn sign_in(reader: &mut Reader) -> Option<SignIn> {
    let Some(way) = chosen(reader) else {
        // What is wrong with the usual way's values is reported together with that.
        application::judged_alone(reader);
        return None;
    };
    let source = match way {
        Way::Secret => client_secret(reader),
        Way::Certificate => certificate(reader),
        Way::Workload => workload(reader),
        Way::Managed => managed_identity(reader).map(TokenSource::Managed),
        Way::Refresh => refresh(reader),
        Way::Password => return password(reader),
        Way::None => return Some(SignIn::None),
    };
    source.map(SignIn::Token)
}

fn chosen(reader: &mut Reader) -> Option<Way> {
    if reader.is_set("MAILSHIM_AUTH") {
        return named(reader);
    }
    let set_as = |variable: &str| reader.is_set(variable).then(|| reader.set_as(variable).to_string());
    match deduce(set_as) {
        Ok(Some(way)) => Some(way),
        Ok(None) => {
            reader.refuse(
                "MAILSHIM_AUTH",
                "cannot be deduced, since nothing to sign in with is set: set MAILSHIM_MAILBOX, MAILSHIM_TENANT_ID, \
                 MAILSHIM_CLIENT_ID and MAILSHIM_CLIENT_SECRET, or what another way needs (a certificate, the platform's \
                 identity, mailshim login, a password: docs/configuration.md has the list). On AKS with workload identity they are set \
                 in pods with the label azure.workload.identity/use: \"true\"",
            );
            None
        }
        Err(problem) => {
            reader.refuse("MAILSHIM_AUTH", problem);
            None
        }
    }
}

/// What `MAILSHIM_AUTH` says.
pub(super) fn named(reader: &mut Reader) -> Option<Way> {
    reader.value("MAILSHIM_AUTH", |text| {
        let way = WAYS.iter().find(|(name, ..)| *name == text);
        way.map(|(_, way, _)| *way)
            .ok_or_else(|| format!("is not a way to sign in: write {}", either(&WAYS.map(|(name, ..)| name))))
    })
}

/// What follows from the variables that are set, given the name under which each one is.
///
/// # Errors
/// The rest of a sentence that begins with `MAILSHIM_AUTH`: more than one way is possible.
pub(super) fn deduce(set_as: impl Fn(&str) -> Option<String>) -> Result<Option<Way>, String> {
    let possible: Vec<(&str, Way, String)> =
        WAYS.iter().filter_map(|(name, way, variable)| Some((*name, *way, set_as((*variable)?)?))).collect();
    let written = possible.iter().filter(|(.., set_as)| set_as.starts_with("MAILSHIM_"));
    let written: Vec<_> = written.collect();
    let candidates = if written.is_empty() { possible.iter().collect() } else { written };
    match candidates[..] {
        [] => Ok(None),
        [(_, way, _)] => Ok(Some(*way)),
        _ => {
            let set: Vec<_> = candidates.iter().map(|(.., set_as)| set_as.as_str()).collect();
            let names: Vec<_> = candidates.iter().map(|(name, ..)| *name).collect();
            Err(format!(
                "cannot be deduced, since {} are set: unset what is not used, or set MAILSHIM_AUTH to {}",
                set.join(" and "),
                either(&names),
            ))
        }
    }
}

fn either(names: &[&str]) -> String {
    match names {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => names.concat(),
    }
}

fn password(reader: &mut Reader) -> Option<SignIn> {
    reader.require("MAILSHIM_PASSWORD", "set it to the mailbox's password, or sign in with a client secret");
    let password = reader.secret("MAILSHIM_PASSWORD")?;
    reader.warn(
        "signing in with a password: Microsoft switches Basic authentication for SMTP AUTH off by default at the end of \
         December 2026 (an administrator can switch it on again) and will announce its final end in the second half \
         of 2027; set MAILSHIM_TENANT_ID, MAILSHIM_CLIENT_ID and MAILSHIM_CLIENT_SECRET instead",
    );
    Some(SignIn::Password(password))
}

fn client_secret(reader: &mut Reader) -> Option<TokenSource> {
    let application = application::app_only(reader);
    reader
        .require("MAILSHIM_CLIENT_SECRET", "set it to the Value of a client secret of the app registration");
    let secret = reader.secret("MAILSHIM_CLIENT_SECRET");
    if let Some(odd) = reader.text("MAILSHIM_CLIENT_SECRET").and_then(|text| oddity(bare(text))) {
        let name = reader.set_as("MAILSHIM_CLIENT_SECRET").to_string();
        reader.warn(format!("{name}: the value {odd}; Entra's secrets look otherwise"));
    }
    if reader.text("MAILSHIM_CLIENT_SECRET").is_some_and(is_guid) {
        let name = reader.set_as("MAILSHIM_CLIENT_SECRET").to_string();
        reader.warn(format!(
            "{name}: looks like the Secret ID of a client secret; what is needed is its Value, which Entra shows \
             only once, when the secret is made"
        ));
    }
    Some(TokenSource::Secret(application?, secret?))
}

fn certificate(reader: &mut Reader) -> Option<TokenSource> {
    const NAME: &str = "MAILSHIM_CLIENT_CERTIFICATE_PATH";
    const PASSWORD: &str = "MAILSHIM_CLIENT_CERTIFICATE_PASSWORD";
    let application = application::app_only(reader);
    reader.require(NAME, "set it to the path of a file with the certificate and its key");
    let password = reader.secret(PASSWORD);
    if reader.is_set(PASSWORD) && password.is_none() {
        // Reported already: without it the file would be refused for a second time.
        return None;
    }
    let now = SystemTime::now();
    let file = CertificateFile { path: PathBuf::from(reader.text(NAME)?), password };
    match file.read(now) {
        Ok(certificate) => {
            if let Some(left) = certificate.ends_soon(now) {
                let name = reader.set_as(NAME).to_string();
                reader.warn(format!(
                    "{name}: the certificate expires in {} days: make a new one and upload it to the App registration \
                     beside the old one; the file is read again when it is used next",
                    left.as_secs() / 86_400
                ));
            }
        }
        Err(problem) => {
            reader.refuse(NAME, problem);
            return None;
        }
    }
    Some(TokenSource::Certificate(application?, file))
}

fn workload(reader: &mut Reader) -> Option<TokenSource> {
    const NAME: &str = "AZURE_FEDERATED_TOKEN_FILE";
    let application = application::app_only(reader);
    reader.require(
        NAME,
        "AKS sets it in pods labelled azure.workload.identity/use: \"true\" whose service account names the \
         application's client id",
    );
    let file = reader.value(NAME, value_file);
    Some(TokenSource::Workload(application?, file?))
}

fn refresh(reader: &mut Reader) -> Option<TokenSource> {
    const NAME: &str = "MAILSHIM_REFRESH_TOKEN_FILE";
    let application = application::delegated(reader);
    reader.require(NAME, "set it to the path of the file that `mailshim login` writes");
    let file = reader.value(NAME, |text| {
        value_file(text).map_err(|problem| format!("{problem}; run `mailshim login` first, which writes it"))
    });
    Some(TokenSource::Refresh(application?, file?))
}

fn value_file(text: &str) -> Result<PathBuf, String> {
    read_value_file(Path::new(text))
        .map(|_| PathBuf::from(text))
        .map_err(|why| format!("names a file that {why}"))
}
