//! Managed identity's endpoints on the machine itself, over plain HTTP: IMDS and App Service's.

use std::collections::HashMap;

use hyper::Method;
use hyper::http::request::Parts;
use serde_json::json;
use time::OffsetDateTime;

use super::{Answer, JSON, reply};
use crate::fault::Fault;
use crate::tenant::Tenant;

pub(crate) const APP_SERVICE: &str = "/msi/token";
const IMDS: &str = "/metadata/identity/oauth2/token";

fn refusal(status: u16, error: &str, description: &str) -> Answer {
    reply(status, JSON, json!({ "error": error, "error_description": description }).to_string())
}

pub(super) fn answer(tenant: &Tenant, head: &Parts, broken: Option<&Fault>) -> Answer {
    let violation =
        |rule: &str| tenant.record.violation(format!("{} {}: {rule}", head.method, head.uri.path()));
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let query = head.uri.query().unwrap_or_default();
    let query: HashMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let of = |name: &str| query.get(name).map(String::as_str);
    if head.method != Method::GET {
        violation("only GET is answered");
        return refusal(405, "method_not_allowed", "Only GET.");
    }
    let is_imds = head.uri.path() == IMDS;
    if header("x-forwarded-for").is_some() || header("via").is_some() {
        violation("it came through a proxy");
        return refusal(400, "bad_request_102", "X-Forwarded-For is not allowed");
    }
    let version = match head.uri.path() {
        IMDS if header("metadata") != Some("true") => {
            violation("no Metadata: true");
            return refusal(400, "bad_request_102", "Required metadata header not specified");
        }
        IMDS => "2018-02-01",
        APP_SERVICE if header("x-identity-header") != Some(tenant.settings.identity_header.as_str()) => {
            let body = json!({ "statusCode": 401, "message": "Invalid X-IDENTITY-HEADER", "correlationId": tenant.uuid() });
            return reply(401, JSON, body.to_string());
        }
        APP_SERVICE => "2019-08-01",
        _ => return reply(404, "text/html", "<html>Not found</html>"),
    };
    if of("api-version") != Some(version) || of("scope").is_some() {
        violation("a wrong api-version, or version 2's scope");
        return refusal(400, "invalid_request", "The api-version is invalid.");
    }
    let resource = tenant.settings.scope.trim_end_matches(".default");
    if of("resource") != Some(resource) {
        let description = "AADSTS500011: The resource principal was not found in the tenant named Contoso.";
        return refusal(400, "invalid_resource", description);
    }
    if of("client_id").is_some_and(|id| id != tenant.settings.managed_client_id) {
        if is_imds {
            return refusal(400, "invalid_request", "Identity not found");
        }
        let body = json!({ "statusCode": 400, "message": "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.", "correlationId": tenant.uuid() });
        return reply(400, JSON, body.to_string());
    }
    let lifetime = match broken {
        Some(Fault::TokenLifetime(lifetime)) => *lifetime,
        _ => tenant.settings.token_lifetime,
    };
    let end = OffsetDateTime::now_utc().unix_timestamp() + lifetime.as_secs() as i64;
    let mut body = json!({
        "access_token": tenant.issue_token(lifetime, broken),
        "expires_on": end.to_string(), "resource": resource, "token_type": "Bearer",
        "client_id": tenant.settings.managed_client_id,
    });
    if is_imds {
        // As the platform's cache gives it: counted from the issue, which may be a day ago.
        body["expires_in"] = "86399".into();
        body["ext_expires_in"] = "86399".into();
        body["not_before"] = (end - 86_400).to_string().into();
    }
    reply(200, JSON, body.to_string())
}
