//! How to sign in to Office 365: what is set decides, and `MAILSHIM_AUTH` where that is not enough.

use super::address::{Authority, is_dns_name};
use super::environment::Reader;
use super::value::is_guid;
use super::variables::RawEnv;
use crate::secret::SecretSource;

/// How to sign in to Office 365.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignIn {
    /// XOAUTH2 with a token got for a client secret.
    Secret(ClientCredentials),
    /// AUTH LOGIN with the mailbox's password.
    Password(SecretSource),
}

/// An app registration and its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCredentials {
    /// A GUID or a domain: fit for a URL's path as it is.
    pub tenant: String,
    /// A GUID.
    pub client_id: String,
    /// The client secret.
    pub secret: SecretSource,
    /// The token service.
    pub authority: Authority,
    /// What the token is asked for.
    pub scope: String,
}

/// A way to sign in, before it is known to be complete.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Secret,
    Password,
}

/// Each way: its name in `MAILSHIM_AUTH`, and the variable that suggests it.
const WAYS: [(&str, Way, &str); 2] =
    [("secret", Way::Secret, "MAILSHIM_CLIENT_SECRET"), ("password", Way::Password, "MAILSHIM_PASSWORD")];

pub(super) fn sign_in(raw: &RawEnv, reader: &mut Reader) -> Option<SignIn> {
    let way = chosen(raw, reader);
    if way == Some(Way::Password) {
        return password(raw, reader);
    }
    // Without a choice, too: what is wrong with the usual way's values is reported together with that.
    client_credentials(raw, reader, way.is_some()).filter(|_| way.is_some()).map(SignIn::Secret)
}

fn chosen(raw: &RawEnv, reader: &mut Reader) -> Option<Way> {
    if reader.is_set("MAILSHIM_AUTH") {
        return reader.value("MAILSHIM_AUTH", raw.mailshim_auth.as_deref(), |text| {
            let names = WAYS.map(|(name, ..)| name).join(" or ");
            let way = WAYS.iter().find(|(name, ..)| *name == text);
            way.map(|(_, way, _)| *way).ok_or_else(|| format!("is not a way to sign in: write {names}"))
        });
    }
    let possible: Vec<_> = WAYS.iter().filter(|(.., variable)| reader.is_set(variable)).collect();
    match possible[..] {
        [(_, way, _)] => Some(*way),
        [] => {
            reader.refuse(
                "MAILSHIM_AUTH",
                "cannot be deduced, since nothing to sign in with is set: set MAILSHIM_MAILBOX, MAILSHIM_TENANT_ID, \
                 MAILSHIM_CLIENT_ID and MAILSHIM_CLIENT_SECRET (or MAILSHIM_MAILBOX and MAILSHIM_PASSWORD)",
            );
            None
        }
        _ => {
            let set: Vec<_> = possible.iter().map(|(.., variable)| reader.set_as(variable)).collect();
            let problem = format!(
                "cannot be deduced, since {} are set: unset what is not used, or set MAILSHIM_AUTH to {}",
                set.join(" and "),
                possible.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(" or "),
            );
            reader.refuse("MAILSHIM_AUTH", problem);
            None
        }
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

fn client_credentials(raw: &RawEnv, reader: &mut Reader, is_chosen: bool) -> Option<ClientCredentials> {
    if is_chosen {
        reader.require(
            "MAILSHIM_TENANT_ID",
            "set it to the Directory (tenant) ID on the app registration's overview page",
        );
        reader.require(
            "MAILSHIM_CLIENT_ID",
            "set it to the Application (client) ID on the app registration's overview page",
        );
        reader.require(
            "MAILSHIM_CLIENT_SECRET",
            "set it to the Value of a client secret of the app registration",
        );
    }
    let tenant = reader.value("MAILSHIM_TENANT_ID", raw.mailshim_tenant_id.as_deref(), tenant);
    let client_id = reader.value("MAILSHIM_CLIENT_ID", raw.mailshim_client_id.as_deref(), client_id);
    let secret = reader.secret("MAILSHIM_CLIENT_SECRET", raw.mailshim_client_secret.as_deref());
    if raw.mailshim_client_secret.as_deref().is_some_and(is_guid) {
        let name = reader.set_as("MAILSHIM_CLIENT_SECRET").to_string();
        reader.warn(format!(
            "{name}: looks like the Secret ID of a client secret; what is needed is its Value, which Entra shows \
             only once, when the secret is made"
        ));
    }
    let authority =
        reader.value("AZURE_AUTHORITY_HOST", raw.azure_authority_host.as_deref(), Authority::parse);
    let scope = reader.value("MAILSHIM_OAUTH_SCOPE", raw.mailshim_oauth_scope.as_deref(), scope);
    Some(ClientCredentials {
        tenant: tenant?,
        client_id: client_id?,
        secret: secret?,
        authority: authority?,
        scope: scope?,
    })
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

fn client_id(text: &str) -> Result<String, String> {
    if is_guid(text) {
        Ok(text.to_string())
    } else {
        Err("is not an Application (client) ID, such as 8c1f6f3e-0b5d-4d0a-9a43-7f2b1c9e5d60".to_string())
    }
}

/// Client credentials have no other scopes: Entra answers AADSTS1002012 to anything else.
fn scope(text: &str) -> Result<String, String> {
    if text.ends_with("/.default") && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_string())
    } else {
        Err("is not a scope for client credentials: it ends in /.default, as in \
             https://outlook.office365.com/.default"
            .to_string())
    }
}
