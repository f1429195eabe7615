//! How to sign in to Office 365: what is set decides, and `MAILSHIM_AUTH` where that is not enough.
//!
//! What the operator wrote (`MAILSHIM_*`) beats what a platform injected (`AZURE_*`): a pod with workload identity whose
//! operator sets `MAILSHIM_CLIENT_SECRET` signs in with that secret. Among equals nothing is guessed.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::environment::Reader;
use super::managed::managed_identity;
use super::network;
use super::value::{self, is_guid};
use super::variables::RawEnv;
use crate::identity::certificate::{CertificateFile, WARN_BEFORE_END};
use crate::identity::sign_in::{Application, SignIn, TokenSource};
use crate::names::{Authority, is_dns_name};
use crate::secret::{bare, oddity, read_value_file};
use crate::transport::proxy::EgressProxy;

/// What `mailshim login` needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Whom to ask, as whom, for what.
    pub application: Application,
    /// Where the refresh token goes; it need not exist.
    pub refresh_token_file: PathBuf,
    /// Extra roots.
    pub ca_file: Option<PathBuf>,
    /// The proxy that token traffic goes through.
    pub egress_proxy: Option<EgressProxy>,
}

/// The variables that `mailshim login` reads.
pub(super) const LOGIN: [&str; 9] = [
    "MAILSHIM_CLOUD",
    "MAILSHIM_EGRESS_PROXY",
    "NO_PROXY",
    "MAILSHIM_TENANT_ID",
    "MAILSHIM_CLIENT_ID",
    "AZURE_AUTHORITY_HOST",
    "MAILSHIM_OAUTH_SCOPE",
    "MAILSHIM_REFRESH_TOKEN_FILE",
    "MAILSHIM_CA_FILE",
];

/// A way to sign in, before it is known to be complete.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Secret,
    Certificate,
    Workload,
    Managed,
    Refresh,
    Password,
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

pub(super) fn sign_in(raw: &RawEnv, reader: &mut Reader) -> Option<SignIn> {
    let Some(way) = chosen(raw, reader) else {
        // What is wrong with the usual way's values is reported together with that.
        let _ = application(raw, reader, tenant, raw.mailshim_oauth_scope.as_deref(), app_scope);
        return None;
    };
    let source = match way {
        Way::Secret => client_secret(raw, reader),
        Way::Certificate => certificate(raw, reader),
        Way::Workload => workload(raw, reader),
        Way::Managed => managed_identity(raw, reader).map(TokenSource::Managed),
        Way::Refresh => refresh(raw, reader),
        Way::Password => return password(raw, reader),
        Way::None => return Some(SignIn::None),
    };
    source.map(SignIn::Token)
}

fn chosen(raw: &RawEnv, reader: &mut Reader) -> Option<Way> {
    if reader.is_set("MAILSHIM_AUTH") {
        return reader.value("MAILSHIM_AUTH", raw.mailshim_auth.as_deref(), |text| {
            let way = WAYS.iter().find(|(name, ..)| *name == text);
            way.map(|(_, way, _)| *way).ok_or_else(|| {
                format!("is not a way to sign in: write {}", either(&WAYS.map(|(name, ..)| name)))
            })
        });
    }
    let possible: Vec<(&str, Way, String)> = WAYS
        .iter()
        .filter_map(|(name, way, variable)| Some((*name, *way, (*variable)?)))
        .filter(|(.., variable)| reader.is_set(variable))
        .map(|(name, way, variable)| (name, way, reader.set_as(variable).to_string()))
        .collect();
    let written = possible.iter().filter(|(.., set_as)| set_as.starts_with("MAILSHIM_"));
    let written: Vec<_> = written.collect();
    let candidates = if written.is_empty() { possible.iter().collect() } else { written };
    match candidates[..] {
        [(_, way, _)] => Some(*way),
        [] => {
            reader.refuse(
                "MAILSHIM_AUTH",
                "cannot be deduced, since nothing to sign in with is set: set MAILSHIM_MAILBOX, MAILSHIM_TENANT_ID, \
                 MAILSHIM_CLIENT_ID and MAILSHIM_CLIENT_SECRET, or what another way needs (a certificate, the platform's \
                 identity, mailshim login, a password: README.md has the list)",
            );
            None
        }
        _ => {
            let set: Vec<_> = candidates.iter().map(|(.., set_as)| set_as.as_str()).collect();
            let names: Vec<_> = candidates.iter().map(|(name, ..)| *name).collect();
            let problem = format!(
                "cannot be deduced, since {} are set: unset what is not used, or set MAILSHIM_AUTH to {}",
                set.join(" and "),
                either(&names),
            );
            reader.refuse("MAILSHIM_AUTH", problem);
            None
        }
    }
}

fn either(names: &[&str]) -> String {
    match names {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => names.concat(),
    }
}

fn password(raw: &RawEnv, reader: &mut Reader) -> Option<SignIn> {
    reader.require("MAILSHIM_PASSWORD", "set it to the mailbox's password, or sign in with a client secret");
    let password = reader.secret("MAILSHIM_PASSWORD", raw.mailshim_password.as_deref())?;
    reader.warn(
        "signing in with a password: Microsoft switches Basic authentication for SMTP AUTH off by default at the end of \
         December 2026 (an administrator can switch it on again) and will announce its final end in the second half \
         of 2027; set MAILSHIM_TENANT_ID, MAILSHIM_CLIENT_ID and MAILSHIM_CLIENT_SECRET instead",
    );
    Some(SignIn::Password(password))
}

fn client_secret(raw: &RawEnv, reader: &mut Reader) -> Option<TokenSource> {
    let application = app_only(raw, reader);
    reader
        .require("MAILSHIM_CLIENT_SECRET", "set it to the Value of a client secret of the app registration");
    let secret = reader.secret("MAILSHIM_CLIENT_SECRET", raw.mailshim_client_secret.as_deref());
    if let Some(odd) = raw.mailshim_client_secret.as_deref().and_then(|text| oddity(bare(text))) {
        let name = reader.set_as("MAILSHIM_CLIENT_SECRET").to_string();
        reader.warn(format!("{name}: the value {odd}; Entra's secrets look otherwise"));
    }
    if raw.mailshim_client_secret.as_deref().is_some_and(is_guid) {
        let name = reader.set_as("MAILSHIM_CLIENT_SECRET").to_string();
        reader.warn(format!(
            "{name}: looks like the Secret ID of a client secret; what is needed is its Value, which Entra shows \
             only once, when the secret is made"
        ));
    }
    Some(TokenSource::Secret(application?, secret?))
}

fn certificate(raw: &RawEnv, reader: &mut Reader) -> Option<TokenSource> {
    const NAME: &str = "MAILSHIM_CLIENT_CERTIFICATE_PATH";
    const PASSWORD: &str = "MAILSHIM_CLIENT_CERTIFICATE_PASSWORD";
    let application = app_only(raw, reader);
    reader.require(NAME, "set it to the path of a file with the certificate and its key");
    let password = reader.secret(PASSWORD, raw.mailshim_client_certificate_password.as_deref());
    if reader.is_set(PASSWORD) && password.is_none() {
        // Reported already: without it the file would be refused for a second time.
        return None;
    }
    let now = SystemTime::now();
    let file =
        CertificateFile { path: PathBuf::from(raw.mailshim_client_certificate_path.as_deref()?), password };
    match file.read(now) {
        Ok(certificate) => {
            let left = certificate.expires_in(now);
            if left < WARN_BEFORE_END {
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

fn workload(raw: &RawEnv, reader: &mut Reader) -> Option<TokenSource> {
    const NAME: &str = "AZURE_FEDERATED_TOKEN_FILE";
    let application = app_only(raw, reader);
    reader.require(
        NAME,
        "AKS sets it in pods labelled azure.workload.identity/use: \"true\" whose service account names the \
         application's client id",
    );
    let file = reader.value(NAME, raw.azure_federated_token_file.as_deref(), value_file);
    Some(TokenSource::Workload(application?, file?))
}

fn refresh(raw: &RawEnv, reader: &mut Reader) -> Option<TokenSource> {
    const NAME: &str = "MAILSHIM_REFRESH_TOKEN_FILE";
    let application = delegated(raw, reader);
    reader.require(NAME, "set it to the path of the file that `mailshim login` writes");
    let file = reader.value(NAME, raw.mailshim_refresh_token_file.as_deref(), |text| {
        value_file(text).map_err(|problem| format!("{problem}; run `mailshim login` first, which writes it"))
    });
    Some(TokenSource::Refresh(application?, file?))
}

fn value_file(text: &str) -> Result<PathBuf, String> {
    read_value_file(Path::new(text))
        .map(|_| PathBuf::from(text))
        .map_err(|why| format!("names a file that {why}"))
}

pub(super) fn login(raw: &RawEnv, reader: &mut Reader) -> Option<Login> {
    const NAME: &str = "MAILSHIM_REFRESH_TOKEN_FILE";
    let application = delegated(raw, reader);
    reader.require(NAME, "set it to the path where the sign-in is to be kept, on a volume that stays");
    let ca_file = reader.value("MAILSHIM_CA_FILE", raw.mailshim_ca_file.as_deref(), value::readable_file);
    let refresh_token_file = PathBuf::from(raw.mailshim_refresh_token_file.as_deref()?);
    let egress_proxy = network::egress_proxy(raw, reader);
    Some(Login { application: application?, refresh_token_file, ca_file, egress_proxy })
}

/// Parses one value.
type Rule = fn(&str) -> Result<String, String>;

fn app_only(raw: &RawEnv, reader: &mut Reader) -> Option<Application> {
    if reader.cloud.app_scope.is_none() {
        reader.refuse(
            "MAILSHIM_CLOUD",
            format!(
                "{} takes no application's sign-in: use `mailshim login` and MAILSHIM_REFRESH_TOKEN_FILE",
                reader.cloud.name
            ),
        );
    }
    require_application(reader);
    application(raw, reader, tenant, raw.mailshim_oauth_scope.as_deref(), app_scope)
}

fn delegated(raw: &RawEnv, reader: &mut Reader) -> Option<Application> {
    require_application(reader);
    let scope = raw.mailshim_oauth_scope.as_deref().unwrap_or(reader.cloud.delegated_scope);
    application(raw, reader, any_tenant, Some(scope), delegated_scope)
}

fn application(
    raw: &RawEnv,
    reader: &mut Reader,
    tenant: Rule,
    scope: Option<&str>,
    scope_rule: Rule,
) -> Option<Application> {
    let tenant = reader.value("MAILSHIM_TENANT_ID", raw.mailshim_tenant_id.as_deref(), tenant);
    let client_id = reader.value("MAILSHIM_CLIENT_ID", raw.mailshim_client_id.as_deref(), client_id);
    let authority =
        reader.value("AZURE_AUTHORITY_HOST", raw.azure_authority_host.as_deref(), Authority::parse);
    let scope = reader.value("MAILSHIM_OAUTH_SCOPE", scope, scope_rule);
    Some(Application { tenant: tenant?, client_id: client_id?, authority: authority?, scope: scope? })
}

fn require_application(reader: &mut Reader) {
    if reader.cloud.tenant.is_none() {
        reader.require(
            "MAILSHIM_TENANT_ID",
            "set it to the Directory (tenant) ID on the app registration's overview page",
        );
    }
    reader.require(
        "MAILSHIM_CLIENT_ID",
        "set it to the Application (client) ID on the app registration's overview page",
    );
}

fn tenant(text: &str) -> Result<String, String> {
    let example = "write the tenant's id, such as 5f0e2a6b-4c1d-4f3e-9a7b-2d8c6e1f0a9b, or a domain of it, such as \
                   contoso.onmicrosoft.com";
    if ["common", "organizations", "consumers"].iter().any(|shared| text.eq_ignore_ascii_case(shared)) {
        Err(format!("names no single tenant, and an app signs in to one: {example}"))
    } else if is_guid(text) || is_dns_name(text, 2) {
        Ok(text.to_string())
    } else {
        Err(format!("is not a tenant: {example}"))
    }
}

/// A person's tenant can be left open.
fn any_tenant(text: &str) -> Result<String, String> {
    match text.to_ascii_lowercase().as_str() {
        shared @ ("common" | "organizations" | "consumers") => Ok(shared.to_string()),
        _ => tenant(text),
    }
}

fn client_id(text: &str) -> Result<String, String> {
    if is_guid(text) {
        Ok(text.to_string())
    } else {
        Err("is not an Application (client) ID, such as 8c1f6f3e-0b5d-4d0a-9a43-7f2b1c9e5d60".to_string())
    }
}

/// Client credentials have no other scopes: Entra answers AADSTS1002012 to anything else.
pub(super) fn app_scope(text: &str) -> Result<String, String> {
    if text.ends_with("/.default") && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_string())
    } else {
        Err("is not a scope for client credentials: it ends in /.default, as in \
             https://outlook.office365.com/.default"
            .to_string())
    }
}

/// With `offline_access`, without which there is no refresh token.
fn delegated_scope(text: &str) -> Result<String, String> {
    let mut scopes: Vec<_> = text.split_ascii_whitespace().collect();
    if !scopes.iter().any(|scope| scope.starts_with("https://"))
        || !text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
    {
        return Err("is not a scope for a delegated sign-in, such as https://outlook.office.com/SMTP.Send"
            .to_string());
    }
    if !scopes.contains(&"offline_access") {
        scopes.push("offline_access");
    }
    Ok(scopes.join(" "))
}
