//! Managed identity: the platform's own endpoint on this machine gives a token to whoever can reach it. A GET without
//! TLS, of version 1 (`resource`, not `scope`).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use form_urlencoded::Serializer;
use serde_json::Value;

use super::answer::{MAX_DESCRIPTION, Sent, Token, seconds, token};
use crate::outcome::TokenFault;
use crate::secret::Secret;
use crate::transport::answer::Answer;

/// What is sent to the local endpoint.
#[derive(Clone, Debug)]
pub struct LocalRequest {
    /// Path and query.
    pub target: String,
    /// The field without which the endpoint answers nobody: a forged link in some app must not get a token.
    pub header: (&'static str, Secret<String>),
    sent: Sent,
}

/// The instance metadata service of a virtual machine
/// (learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token).
pub fn imds(resource: &str, client_id: Option<&str>) -> LocalRequest {
    let path = "/metadata/identity/oauth2/token";
    request(path, "2018-02-01", resource, client_id, ("Metadata", Secret::new("true".to_string())), &[])
}

/// The endpoint of App Service, Functions and Container Apps at `path`, with `IDENTITY_HEADER`'s value
/// (learn.microsoft.com/azure/app-service/overview-managed-identity, "REST endpoint reference").
pub fn app_service(
    path: &str,
    header: &Secret<String>,
    resource: &str,
    client_id: Option<&str>,
) -> LocalRequest {
    request(path, "2019-08-01", resource, client_id, ("X-IDENTITY-HEADER", header.clone()), &[header])
}

fn request(
    path: &str,
    version: &str,
    resource: &str,
    client_id: Option<&str>,
    header: (&'static str, Secret<String>),
    secrets: &[&Secret<String>],
) -> LocalRequest {
    let mut query = Serializer::new(String::new());
    query.append_pair("api-version", version).append_pair("resource", resource);
    if let Some(client_id) = client_id {
        query.append_pair("client_id", client_id);
    }
    let sent = Sent(secrets.iter().map(|secret| (*secret).clone()).collect());
    LocalRequest { target: format!("{path}?{}", query.finish()), header, sent }
}

impl LocalRequest {
    /// The token in an answer to this request.
    ///
    /// # Errors
    /// As for [`TokenRequest::interpret`](super::TokenRequest::interpret). IMDS asks that 404, 410 (it is being updated,
    /// for up to 70 s), 429 and 5xx be tried again with growing pauses: they pass, by the one table of
    /// [`outcome`](crate::outcome), and the token cache has the pauses.
    pub fn interpret(&self, answer: &Answer, now: SystemTime) -> Result<Token, TokenFault> {
        let read = self.sent.read(answer, |body| token(&with_life(body, now)));
        match read {
            // App Service words its refusals without `error`.
            Err(TokenFault::Status { status, .. }) if (400..429).contains(&status) => {
                Err(self.in_its_own_words(answer).unwrap_or(TokenFault::Status { status, retry_after: None }))
            }
            read => read,
        }
    }

    fn in_its_own_words(&self, answer: &Answer) -> Option<TokenFault> {
        let body: Value = serde_json::from_slice(&answer.body).ok()?;
        let message = body["message"].as_str().or_else(|| body["Message"].as_str())?;
        Some(TokenFault::Refused {
            status: answer.status,
            error: "managed_identity".to_string(),
            description: self.sent.cleaned(message, MAX_DESCRIPTION),
            codes: Vec::new(),
            secret: None,
        })
    }
}

/// These endpoints give tokens that they have kept: `expires_in` may count from the issue, `expires_on` (seconds since
/// 1970) is true, and App Service has nothing else.
fn with_life(body: &Value, now: SystemTime) -> Value {
    let mut body = body.clone();
    if let Some(end) = seconds(&body["expires_on"]) {
        let left = Duration::from_secs(end)
            .saturating_sub(now.duration_since(UNIX_EPOCH).unwrap_or_default())
            .as_secs();
        body["expires_in"] = seconds(&body["expires_in"]).map_or(left, |life| life.min(left)).into();
    }
    body
}
