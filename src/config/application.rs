//! The app registration that signs in: its tenant, its id, the token service that knows it, and the scope.

use super::environment::Reader;
use super::value::is_guid;
use crate::identity::sign_in::Application;
use crate::names::{Authority, is_dns_name};

const SCOPE: &str = "MAILSHIM_OAUTH_SCOPE";

/// Reports what is wrong with these variables where it is not known how to sign in: the usual way is an app's.
pub(super) fn judged_alone(reader: &mut Reader) {
    let _ = application(reader, tenant, reader.default_text(SCOPE), app_scope);
}

/// Parses one value.
type Rule = fn(&str) -> Result<String, String>;

/// Personal accounts know no application that signs in by itself.
pub(super) fn refuse_where_only_people_sign_in(reader: &mut Reader) {
    if reader.cloud.app_scope.is_none() {
        reader.refuse(
            "MAILSHIM_CLOUD",
            format!(
                "{} takes no application's sign-in: use `mailshim login` and MAILSHIM_REFRESH_TOKEN_FILE",
                reader.cloud.name
            ),
        );
    }
}

pub(super) fn app_only(reader: &mut Reader) -> Option<Application> {
    refuse_where_only_people_sign_in(reader);
    require_application(reader);
    application(reader, tenant, reader.default_text(SCOPE), app_scope)
}

pub(super) fn delegated(reader: &mut Reader) -> Option<Application> {
    require_application(reader);
    let scope = reader.cloud.delegated_scope;
    application(reader, any_tenant, Some(scope), delegated_scope)
}

fn application(
    reader: &mut Reader,
    tenant: Rule,
    default_scope: Option<&str>,
    scope_rule: Rule,
) -> Option<Application> {
    let tenant = reader.value("MAILSHIM_TENANT_ID", tenant);
    let client_id = reader.value("MAILSHIM_CLIENT_ID", client_id);
    let authority = reader.value("AZURE_AUTHORITY_HOST", Authority::parse);
    let scope = reader.value_or(SCOPE, default_scope, scope_rule);
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
pub(super) fn any_tenant(text: &str) -> Result<String, String> {
    match text.to_ascii_lowercase().as_str() {
        shared @ ("common" | "organizations" | "consumers") => Ok(shared.to_string()),
        _ => tenant(text),
    }
}

pub(super) fn client_id(text: &str) -> Result<String, String> {
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
