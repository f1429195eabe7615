//! The refresh token grant of a delegated sign-in: a public client, so no secret.

use super::request::TokenRequest;
use crate::secret::Secret;

/// RFC 6749 section 6. Entra answers AADSTS900144 to a request without `scope`, which the RFC leaves optional.
pub fn refresh_token(tenant: &str, client_id: &str, token: &Secret<String>, scope: &str) -> TokenRequest {
    let fields = [
        ("grant_type", "refresh_token"),
        ("client_id", client_id),
        ("refresh_token", token.expose()),
        ("scope", scope),
    ];
    TokenRequest::new(tenant, &fields, &[token])
}
