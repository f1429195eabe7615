//! Client assertions: a JWT signed by a registered certificate's key, or by an issuer that a federated credential names.
//! Nothing is believed before its signature.

use std::collections::HashSet;
use std::sync::Mutex;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    RSA_PSS_2048_8192_SHA256, UnparsedPublicKey,
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::grant::{Form, Refused};
use crate::tenant::{Credentials, Tenant};

/// How far a client's clock may be off.
const SKEW: i64 = 300;

/// The numbers of the assertions seen: each serves once.
#[derive(Default)]
pub(crate) struct Seen(Mutex<HashSet<String>>);

/// The OIDC issuer of a simulated cluster.
pub(crate) struct Issuer {
    key: EcdsaKeyPair,
}

impl Issuer {
    pub(crate) fn new() -> Issuer {
        let (random, kind) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(kind, &random).expect("the system has randomness");
        Issuer { key: EcdsaKeyPair::from_pkcs8(kind, pkcs8.as_ref(), &random).expect("a key just made") }
    }

    /// A service account's token. ES256, where a real cluster has RS256: ring makes such keys.
    pub(crate) fn token(&self, issuer: &str, subject: &str, audience: &str, lives: i64) -> String {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({
            "iss": issuer, "sub": subject, "aud": [audience], "iat": now, "nbf": now, "exp": now + lives,
        });
        let signed = format!("{}.{}", part(json!({"alg": "ES256", "kid": "1"})), part(claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).expect("a signature");
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}

struct Jwt<'a> {
    signed: &'a str,
    header: Value,
    claims: Value,
    signature: Vec<u8>,
}

impl<'a> Jwt<'a> {
    fn read(text: &'a str) -> Option<Jwt<'a>> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).ok();
        let json = |part: &str| serde_json::from_slice(&decode(part)?).ok();
        Some(Jwt { signed, header: json(header)?, claims: json(claims)?, signature: decode(signature)? })
    }

    fn claim(&self, name: &str) -> &str {
        self.claims[name].as_str().unwrap_or_default()
    }
}

fn refused(code: u32, description: impl Into<String>) -> Refused {
    Refused::new(401, "invalid_client", code, description)
}

fn malformed(why: &str) -> Refused {
    refused(50_027, format!("JWT token is invalid or malformed. {why}"))
}

/// Judges `client_assertion`.
pub(super) fn judge(tenant: &Tenant, credentials: &Credentials, form: &Form) -> Result<(), Refused> {
    if form.get("client_assertion_type").map(String::as_str)
        != Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
    {
        return Err(refused(
            900_144,
            "The request body must contain the following parameter: 'client_assertion_type'.",
        ));
    }
    let text = form.get("client_assertion").map(String::as_str).unwrap_or_default();
    let jwt = Jwt::read(text).ok_or_else(|| malformed("It is not three parts of base64url."))?;
    if jwt.header.get("x5t#S256").is_some() {
        by_certificate(tenant, credentials, &jwt)
    } else {
        by_federation(tenant, &jwt)
    }
}

/// learn.microsoft.com/entra/identity-platform/certificate-credentials
fn by_certificate(tenant: &Tenant, credentials: &Credentials, jwt: &Jwt<'_>) -> Result<(), Refused> {
    // Microsoft's own client pads it, against RFC 7515 §4.1.8, and Entra takes that.
    let thumbprint = jwt.header["x5t#S256"].as_str().unwrap_or_default().trim_end_matches('=');
    if jwt.header["alg"] != "PS256" || jwt.header["typ"] != "JWT" {
        return Err(malformed("The header must say alg PS256 and typ JWT."));
    }
    let failed = |reason: &str| {
        refused(
            700_027,
            format!(
                "Client assertion failed signature validation. [Reason - {reason}, Thumbprint of key used by client: '{thumbprint}', Please visit the Azure Portal, Graph Explorer or directly use MS Graph to see configured keys for app Id '{}'.]",
                credentials.client_id
            ),
        )
    };
    let known = |der: &&Vec<u8>| BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, der)) == thumbprint;
    let der = credentials.certificates.iter().find(known).ok_or_else(|| failed("The key was not found."))?;
    let (_, certificate) = X509Certificate::from_der(der).expect("a registered certificate");
    let key = &certificate.public_key().subject_public_key.data;
    UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key)
        .verify(jwt.signed.as_bytes(), &jwt.signature)
        .map_err(|_| failed("The provided signature value did not match the expected signature value."))?;
    if !certificate.validity().is_valid() {
        return Err(failed("The key used is expired."));
    }
    if jwt.claim("iss") != credentials.client_id || jwt.claim("sub") != credentials.client_id {
        return Err(refused(
            700_021,
            "Client assertion application identifier doesn't match 'client_id' parameter.",
        ));
    }
    let authority = tenant.authority.get().map(String::as_str).unwrap_or_default();
    let audience = format!("{authority}/{}/oauth2/v2.0/token", credentials.tenant);
    if jwt.claim("aud") != audience {
        return Err(refused(700_023, "Client assertion audience claim does not match Realm issuer."));
    }
    times(jwt)?;
    let life = date(jwt, "exp").unwrap_or(0) - begins(jwt).unwrap_or(0);
    if life > 600 {
        tenant
            .record
            .violation(format!("an assertion that lives for {life} s: Microsoft asks for 5 to 10 minutes"));
    }
    let id = jwt.claim("jti");
    if id.len() != 36 || !tenant.assertions.0.lock().unwrap().insert(id.to_owned()) {
        tenant.record.violation(format!("an assertion whose jti '{id}' is no GUID, or was used before"));
        return Err(malformed("The jti is no GUID, or was used before."));
    }
    Ok(())
}

fn by_federation(tenant: &Tenant, jwt: &Jwt<'_>) -> Result<(), Refused> {
    let expected = &tenant.settings.federated_credential;
    let no_match = |code, what: &str, got: &str| {
        let description = format!(
            "No matching federated identity record found for presented assertion {what} '{got}'. Please check your federated identity credential Subject, Audience and Issuer against the presented assertion."
        );
        Err(refused(code, description))
    };
    if jwt.claim("iss") != expected.issuer {
        return no_match(700_211, "issuer", jwt.claim("iss"));
    }
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, tenant.issuer.key.public_key().as_ref())
        .verify(jwt.signed.as_bytes(), &jwt.signature)
        .map_err(|_| refused(700_027, "Client assertion failed signature validation."))?;
    if jwt.claim("sub") != expected.subject {
        return no_match(700_213, "subject", jwt.claim("sub"));
    }
    let audiences = jwt.claims["aud"].as_array().cloned().unwrap_or_else(|| vec![jwt.claims["aud"].clone()]);
    if audiences != [json!(expected.audience)] {
        return no_match(700_212, "audience", &audiences.iter().map(ToString::to_string).collect::<String>());
    }
    times(jwt)
}

/// A NumericDate, which may have a fraction (RFC 7519 §2).
fn date(jwt: &Jwt<'_>, claim: &str) -> Option<i64> {
    jwt.claims[claim].as_f64().map(|seconds| seconds as i64)
}

/// Microsoft's own client sends `iat` and no `nbf`.
fn begins(jwt: &Jwt<'_>) -> Option<i64> {
    date(jwt, "nbf").or_else(|| date(jwt, "iat"))
}

fn times(jwt: &Jwt<'_>) -> Result<(), Refused> {
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let (Some(from), Some(until)) = (begins(jwt), date(jwt, "exp")) else {
        return Err(malformed("nbf or exp is missing."));
    };
    if from - SKEW <= now && now < until {
        return Ok(());
    }
    Err(refused(
        700_024,
        format!(
            "Client assertion is not within its valid time range. Current time: {now}, assertion valid from {from}, expiry time of assertion {until}."
        ),
    ))
}
