//! A token request, whatever the grant: a form that is posted to the tenant's token endpoint.

use form_urlencoded::{Serializer, byte_serialize};

use super::answer::{Sent, Token, token};
use crate::outcome::TokenFault;
use crate::secret::Secret;
use crate::transport::answer::Answer;

/// What is posted to the token endpoint.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// The request target, percent-encoded.
    pub path: String,
    /// `application/x-www-form-urlencoded`.
    pub body: Secret<String>,
    pub(super) sent: Sent,
}

/// The path of a tenant's token endpoint; it is also in the audience of an assertion.
pub fn token_path(tenant: &str) -> String {
    path(tenant, "token")
}

pub(super) fn path(tenant: &str, endpoint: &str) -> String {
    // A tenant with `/` or `?` in it must not choose another path.
    let tenant: String = byte_serialize(tenant.as_bytes()).collect();
    format!("/{tenant}/oauth2/v2.0/{endpoint}")
}

impl TokenRequest {
    pub(super) fn new(tenant: &str, fields: &[(&str, &str)], secrets: &[&Secret<String>]) -> Self {
        Self::to(token_path(tenant), fields, secrets)
    }

    pub(super) fn to(path: String, fields: &[(&str, &str)], secrets: &[&Secret<String>]) -> Self {
        let body = Secret::new(Serializer::new(String::new()).extend_pairs(fields).finish());
        let sent = secrets.iter().map(|secret| (*secret).clone()).collect();
        Self { path, body, sent: Sent(sent) }
    }

    /// The token in an answer to this request.
    ///
    /// # Errors
    /// `Refused`, `Status` or `Garbage`. No text in them holds a secret of the request, a control character or anything
    /// outside ASCII, and all are bounded.
    pub fn interpret(&self, answer: &Answer) -> Result<Token, TokenFault> {
        self.sent.read(answer, token)
    }
}
