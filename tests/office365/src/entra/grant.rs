//! Who gets a token: one function per grant type, chosen in [`decide`].

use std::collections::BTreeMap;

use super::{assertion, delegated};
use crate::tenant::{Credentials, Tenant};

/// The form as sent.
pub(super) type Form = BTreeMap<String, String>;

/// A refusal in Entra's terms.
pub(super) struct Refused {
    pub(super) status: u16,
    pub(super) error: String,
    pub(super) code: u32,
    pub(super) description: String,
}

impl Refused {
    pub(super) fn new(status: u16, error: &str, code: u32, description: impl Into<String>) -> Refused {
        Refused { status, error: error.to_owned(), code, description: description.into() }
    }
}

pub(super) fn missing(parameter: &str) -> Refused {
    let description = format!("The request body must contain the following parameter: '{parameter}'.");
    Refused::new(400, "invalid_request", 900_144, description)
}

/// What comes with an access token.
#[derive(Default)]
pub(super) struct Granted {
    pub(super) refresh_token: Option<String>,
}

/// The tenant's credentials, if `directory` is the tenant.
pub(super) fn known_tenant(tenant: &Tenant, directory: &str) -> Result<Credentials, Refused> {
    let credentials = tenant.credentials.lock().unwrap().clone();
    if !directory.eq_ignore_ascii_case(&credentials.tenant) {
        let description = format!(
            "Tenant '{directory}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud."
        );
        return Err(Refused::new(400, "invalid_request", 90_002, description));
    }
    Ok(credentials)
}

/// Whether this request gets a token.
pub(super) fn decide(tenant: &Tenant, directory: &str, form: &Form) -> Result<Granted, Refused> {
    let credentials = known_tenant(tenant, directory)?;
    let grant = form.get("grant_type").ok_or_else(|| missing("grant_type"))?;
    match grant.as_str() {
        "client_credentials" => client_credentials(tenant, &credentials, form).map(|()| Granted::default()),
        "refresh_token" => delegated::refresh(tenant, &credentials, form),
        "urn:ietf:params:oauth:grant-type:device_code" => delegated::device_token(tenant, &credentials, form),
        other => {
            let description = format!("The app requested an unsupported grant type '{other}'.");
            Err(Refused::new(400, "unsupported_grant_type", 70_003, description))
        }
    }
}

fn client_credentials(tenant: &Tenant, credentials: &Credentials, form: &Form) -> Result<(), Refused> {
    known_client(credentials, form)?;
    match form.contains_key("client_assertion") {
        true => assertion::judge(tenant, credentials, form)?,
        false => client_secret(credentials, form)?,
    }
    let scope = form.get("scope").ok_or_else(|| missing("scope"))?;
    if *scope != tenant.settings.scope {
        let description = format!(
            "The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid. The scope {scope} is not valid."
        );
        return Err(Refused::new(400, "invalid_scope", 70_011, description));
    }
    Ok(())
}

pub(super) fn known_client(credentials: &Credentials, form: &Form) -> Result<(), Refused> {
    let client = form.get("client_id").ok_or_else(|| missing("client_id"))?;
    if client.eq_ignore_ascii_case(&credentials.client_id) {
        return Ok(());
    }
    let description = format!(
        "Application with identifier '{client}' was not found in the directory 'Contoso'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant."
    );
    Err(Refused::new(400, "unauthorized_client", 700_016, description))
}

fn client_secret(credentials: &Credentials, form: &Form) -> Result<(), Refused> {
    let Some(secret) = form.get("client_secret") else {
        let description =
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.";
        return Err(Refused::new(401, "invalid_client", 7_000_218, description));
    };
    if *secret == credentials.client_secret {
        return Ok(());
    }
    let description = format!(
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{}'.",
        credentials.client_id
    );
    Err(Refused::new(401, "invalid_client", 7_000_215, description))
}
