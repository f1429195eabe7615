//! The client credentials grant with a client assertion (RFC 7523 section 2.2): one that we sign with a certificate's
//! key, or one that the platform gives us (workload identity).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde_json::json;

use super::request::TokenRequest;
use crate::identity::certificate::ClientCertificate;
use crate::secret::Secret;

/// How long an assertion is valid: Microsoft recommends 5 to 10 minutes.
const LIFE: Duration = Duration::from_secs(10 * 60);

/// What an assertion claims (learn.microsoft.com/entra/identity-platform/certificate-credentials).
pub struct Assertion<'a> {
    /// The token endpoint's URL.
    pub audience: &'a str,
    /// Issuer and subject both.
    pub client_id: &'a str,
    /// Its number: a GUID that was never used before.
    pub id: &'a str,
    /// When it begins.
    pub now: SystemTime,
}

/// A JWT signed with PS256.
///
/// # Errors
/// It could not be signed.
pub fn signed_assertion(
    assertion: &Assertion<'_>,
    certificate: &ClientCertificate,
) -> Result<Secret<String>, String> {
    let now = assertion.now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let header = json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": certificate.thumbprint() });
    let claims = json!({
        "aud": assertion.audience,
        "iss": assertion.client_id,
        "sub": assertion.client_id,
        "jti": assertion.id,
        "nbf": now,
        "iat": now,
        "exp": now + LIFE.as_secs(),
    });
    let part = |part: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(part);
    let signed = format!("{}.{}", part(header.to_string().as_bytes()), part(claims.to_string().as_bytes()));
    let signature = certificate.sign(signed.as_bytes())?;
    Ok(Secret::new(format!("{signed}.{}", part(&signature))))
}

/// The request, with an assertion of either kind.
pub fn client_assertion(
    tenant: &str,
    client_id: &str,
    assertion: &Secret<String>,
    scope: &str,
) -> TokenRequest {
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", client_id),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", assertion.expose()),
        ("scope", scope),
    ];
    TokenRequest::new(tenant, &fields, &[assertion])
}
