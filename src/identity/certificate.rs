//! The certificate that an application signs in with, and its RSA key: read from octets, judged before it is used.
//!
//! Entra documents one algorithm for client assertions, PS256 (RSASSA-PSS with SHA-256), so the key is an RSA key
//! (learn.microsoft.com/entra/identity-platform/certificate-credentials).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use p12_keystore::Pkcs12Archive;
use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::rsa;
use ring::signature::RSA_PSS_SHA256;
use rustls::pki_types::pem::{SectionKind, from_buf};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::secret::Secret;

/// This long before its end a certificate is worth a warning at each start: an administrator needs time.
const WARN_BEFORE_END: Duration = Duration::from_secs(30 * 86_400);

/// A certificate that is valid now, and the RSA key that belongs to it. No `Debug`: it holds the key.
pub struct ClientCertificate {
    der: Vec<u8>,
    key: rsa::KeyPair,
    not_after: SystemTime,
}

impl ClientCertificate {
    /// Reads PEM (certificate and PKCS#8 or PKCS#1 key, in any order) or PKCS#12, and judges the pair.
    ///
    /// # Errors
    /// A sentence for the operator: no certificate, no key, not a pair, encrypted without or with a wrong password, not
    /// an RSA key, not valid now.
    pub fn parse(octets: &Secret<Vec<u8>>, password: Option<&str>, now: SystemTime) -> Result<Self, String> {
        let octets = octets.expose();
        let (certificates, key) =
            if is_pem(octets) { pem(octets, password)? } else { pkcs12(octets, password)? };
        let key = rsa_key(&key)?;
        if certificates.is_empty() {
            return Err("holds no certificate, only a key: put the certificate (-----BEGIN CERTIFICATE-----) into the \
                        same file"
                .to_string());
        }
        let ours = rsa::KeyPair::public(&key).as_ref().to_vec();
        for der in certificates {
            let (_, certificate) = X509Certificate::from_der(&der)
                .map_err(|_| "holds a certificate that cannot be read".to_string())?;
            // A chain may stand in the file too, in any order: ours is the one with our key.
            if *certificate.public_key().subject_public_key.data != *ours {
                continue;
            }
            let validity = certificate.validity();
            let not_before = instant(validity.not_before.timestamp());
            let not_after = instant(validity.not_after.timestamp());
            if now >= not_after {
                return Err(format!(
                    "holds a certificate that expired {} ago, by this machine's clock: make a new one and upload it to \
                     the App registration",
                    in_words(now.duration_since(not_after).unwrap_or_default())
                ));
            }
            if now < not_before {
                return Err(format!(
                    "holds a certificate that becomes valid only in {}, by this machine's clock: is the clock right?",
                    in_words(not_before.duration_since(now).unwrap_or_default())
                ));
            }
            return Ok(Self { der, key, not_after });
        }
        Err("holds a certificate and a key that are not a pair: the certificate's public key is another one"
            .to_string())
    }

    /// How long it is still valid.
    pub fn expires_in(&self, now: SystemTime) -> Duration {
        self.not_after.duration_since(now).unwrap_or_default()
    }

    /// How long it is still valid, where that is no longer long.
    pub fn ends_soon(&self, now: SystemTime) -> Option<Duration> {
        Some(self.expires_in(now)).filter(|left| *left < WARN_BEFORE_END)
    }

    /// base64url of the SHA-256 of the DER certificate: the JWT header's `x5t#S256` (RFC 7515 section 4.1.8).
    pub fn thumbprint(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, &self.der))
    }

    /// A PS256 signature (RFC 7518 section 3.5).
    ///
    /// # Errors
    /// The system has no randomness, which the salt needs.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PSS_SHA256, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| "the assertion could not be signed: the system gives no randomness".to_string())?;
        Ok(signature)
    }
}

/// Seconds since 1970; a certificate from before that is as old as 1970.
fn instant(timestamp: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(timestamp.try_into().unwrap_or(0))
}

fn in_words(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..7200 => format!("{seconds} seconds"),
        seconds @ 7200..172_800 => format!("{} hours", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

fn is_pem(octets: &[u8]) -> bool {
    octets.windows(11).any(|window| window == b"-----BEGIN ")
}

/// Certificates and a key, as DER.
type Found = (Vec<Vec<u8>>, Secret<Key>);

enum Key {
    Pkcs8(Vec<u8>),
    Pkcs1(Vec<u8>),
}

const NO_PASSWORD: &str = "holds an encrypted key, and no password is set: set MAILSHIM_CLIENT_CERTIFICATE_PASSWORD, or \
                           better its _FILE form";
const WRONG_PASSWORD: &str =
    "cannot be decrypted with MAILSHIM_CLIENT_CERTIFICATE_PASSWORD: the password is wrong";

fn pem(octets: &[u8], password: Option<&str>) -> Result<Found, String> {
    // OpenSSL's old form, which derives its key by MD5; its header lines are not PEM in RFC 7468's sense.
    if octets.windows(11).any(|window| window == b"Proc-Type: ") {
        return Err("holds a key encrypted in OpenSSL's old form (Proc-Type: 4,ENCRYPTED), which is not read: convert \
                    it with `openssl pkcs8 -topk8 -in old.pem -out key.pem` and put the certificate behind it"
            .to_string());
    }
    let (mut certificates, mut keys) = (Vec::new(), Vec::new());
    let mut rest = octets;
    while let Some((kind, der)) = from_buf(&mut rest).map_err(|_| "holds broken PEM".to_string())? {
        match kind {
            SectionKind::Certificate => certificates.push(der),
            SectionKind::PrivateKey => keys.push(Key::Pkcs8(der)),
            SectionKind::RsaPrivateKey => keys.push(Key::Pkcs1(der)),
            SectionKind::EcPrivateKey => return Err(not_rsa("an EC key")),
            _ => {}
        }
    }
    // The loop passes over this label in silence, as over any that it does not know.
    if let Some(block) = encrypted_block(octets) {
        keys.push(Key::Pkcs8(decrypt(block, password)?));
    }
    let mut keys = keys.into_iter();
    match (keys.next(), keys.next()) {
        (None, _) => {
            Err("holds no private key: put it (-----BEGIN PRIVATE KEY-----) into the same file as the \
                          certificate"
                .to_string())
        }
        (Some(key), None) => Ok((certificates, Secret::new(key))),
        (Some(_), Some(_)) => Err("holds several private keys: leave one".to_string()),
    }
}

fn encrypted_block(octets: &[u8]) -> Option<&str> {
    const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
    const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
    let text = std::str::from_utf8(octets).ok()?;
    let block = &text[text.find(BEGIN)?..];
    Some(block.find(END).map_or(block, |end| &block[..end + END.len()]))
}

fn decrypt(block: &str, password: Option<&str>) -> Result<Vec<u8>, String> {
    let password = password.ok_or(NO_PASSWORD)?;
    let (_, document) = SecretDocument::from_pem(block)
        .map_err(|_| "holds an encrypted key that is broken PEM".to_string())?;
    let outdated = || {
        "holds a key encrypted in a form that is not read, most likely an outdated one: encrypt it again with `openssl \
         pkcs8 -topk8 -v2 aes256`"
            .to_string()
    };
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|_| outdated())?;
    encrypted.decrypt(password).map(|key| key.as_bytes().to_vec()).map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(
            pkcs8::pkcs5::Error::UnsupportedAlgorithm { .. } | pkcs8::pkcs5::Error::NoPbes1CryptSupport,
        ) => outdated(),
        _ => WRONG_PASSWORD.to_string(),
    })
}

fn pkcs12(octets: &[u8], password: Option<&str>) -> Result<Found, String> {
    // A file without a password is one with the empty password: Key Vault exports such.
    let archive =
        Pkcs12Archive::from_pkcs12(octets, password.unwrap_or_default()).map_err(|error| match error {
            p12_keystore::error::Error::MacError(_) if password.is_none() => NO_PASSWORD.to_string(),
            p12_keystore::error::Error::MacError(_) => WRONG_PASSWORD.to_string(),
            error => format!("is neither PEM nor a PKCS#12 file that can be read ({error})"),
        })?;
    let certificates = archive.certs.iter().map(|bag| bag.cert.as_der().to_vec()).collect();
    match &archive.keys[..] {
        [] => Err("is a PKCS#12 file without a private key: export the certificate with its key".to_string()),
        [bag] => Ok((certificates, Secret::new(Key::Pkcs8(bag.key.as_der().to_vec())))),
        _ => Err("is a PKCS#12 file with several private keys: leave one".to_string()),
    }
}

fn rsa_key(key: &Secret<Key>) -> Result<rsa::KeyPair, String> {
    match key.expose() {
        Key::Pkcs1(der) => rsa::KeyPair::from_der(der),
        Key::Pkcs8(der) => rsa::KeyPair::from_pkcs8(der),
    }
    .map_err(|error| match error.to_string().as_str() {
        "WrongAlgorithm" => not_rsa("a key of another algorithm"),
        "TooSmall" => "holds an RSA key that is too short: make one of 2048 bits or more".to_string(),
        "TooLarge" => "holds an RSA key that is too long: make one of 2048 to 4096 bits".to_string(),
        why => {
            format!("holds a private key that cannot be used ({why}): make an RSA key of 2048 to 4096 bits")
        }
    })
}

fn not_rsa(what: &str) -> String {
    format!(
        "holds {what}, but Entra documents RSA alone for a client assertion (PS256): make a certificate with an RSA key of \
         2048 bits or more"
    )
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;
