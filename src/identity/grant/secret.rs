//! The client credentials grant with a client secret.

use super::request::TokenRequest;
use crate::secret::Secret;

/// RFC 6749 section 4.4.2.
pub fn client_secret(tenant: &str, client_id: &str, secret: &Secret<String>, scope: &str) -> TokenRequest {
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", client_id),
        ("client_secret", secret.expose()),
        ("scope", scope),
    ];
    TokenRequest::new(tenant, &fields, &[secret])
}
