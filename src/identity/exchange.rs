//! One exchange for a new token, whatever its source: what must be read is read now, so that a rotated secret,
//! certificate or token file counts from the next exchange on.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use ring::rand::{SecureRandom, SystemRandom};

use super::grant::{self, Assertion, Token, TokenRequest};
use super::token_file;
use crate::identity::certificate_file::CertificateFile;
use crate::identity::sign_in::{Application, ManagedEndpoint, ManagedIdentity, TokenSource};
use crate::outcome::{Cause, TokenFault};
use crate::secret::{Looks, Secret, SecretSource};
use crate::task;
use crate::telemetry;
use crate::transport::http::Http;

/// How tokens are obtained.
#[cfg_attr(test, expect(clippy::large_enum_variant, reason = "the small variant is the tests' own"))]
pub(super) enum Exchange {
    Source {
        source: TokenSource,
        http: Http,
        /// Of the certificate that was read last.
        certificate_ends: Mutex<Option<SystemTime>>,
    },
    #[cfg(test)]
    Scripted(super::tests::Script),
}

impl Exchange {
    pub(super) const fn new(source: TokenSource, http: Http) -> Self {
        Self::Source { source, http, certificate_ends: Mutex::new(None) }
    }

    /// When the certificate ends that was read for the last exchange.
    pub(super) fn certificate_ends(&self) -> Option<SystemTime> {
        match self {
            Self::Source { certificate_ends, .. } => {
                *certificate_ends.lock().unwrap_or_else(PoisonError::into_inner)
            }
            #[cfg(test)]
            Self::Scripted(_) => None,
        }
    }

    /// What must change before a refused exchange can succeed; `None` where that is not on this machine.
    pub(super) fn secret(&self) -> Option<Vec<u8>> {
        match self {
            Self::Source { source: TokenSource::Secret(_, secret), .. } => {
                Some(secret.read().ok()?.expose().as_bytes().to_vec())
            }
            Self::Source { source: TokenSource::Certificate(_, file), .. } => {
                Some(file.octets().ok()?.expose().clone())
            }
            Self::Source {
                source: TokenSource::Workload(_, path) | TokenSource::Refresh(_, path), ..
            } => Some(SecretSource::File(path.clone()).read().ok()?.expose().as_bytes().to_vec()),
            Self::Source { source: TokenSource::Managed(_), .. } => None,
            #[cfg(test)]
            Self::Scripted(_) => None,
        }
    }

    pub(super) async fn run(&self) -> Result<Token, Cause> {
        match self {
            Self::Source { source, http, certificate_ends } => obtain(source, http, certificate_ends).await,
            #[cfg(test)]
            Self::Scripted(script) => script.run().await,
        }
    }
}

async fn obtain(
    source: &TokenSource,
    http: &Http,
    certificate_ends: &Mutex<Option<SystemTime>>,
) -> Result<Token, Cause> {
    match source {
        TokenSource::Secret(application, secret) => {
            let secret = secret.read().map_err(Cause::SetUp)?;
            let Application { tenant, client_id, scope, .. } = application;
            let granted =
                post(http, application, &grant::client_secret(tenant, client_id, &secret, scope)).await;
            granted.map_err(|cause| seen_to(cause, &secret))
        }
        TokenSource::Certificate(application, file) => {
            let (assertion, ends) = sign(application, file).await.map_err(|problem| {
                Cause::SetUp(format!("the certificate file {} {problem}", file.path.display()))
            })?;
            *certificate_ends.lock().unwrap_or_else(PoisonError::into_inner) = Some(ends);
            assert(http, application, &assertion).await
        }
        TokenSource::Workload(application, file) => {
            let assertion = SecretSource::File(file.clone()).read().map_err(Cause::SetUp)?;
            assert(http, application, &assertion).await
        }
        TokenSource::Managed(identity) => managed(http, identity).await,
        TokenSource::Refresh(application, file) => refresh(http, application, file).await,
    }
}

/// A refusal that says how the secret looks: a tail or a quote is not seen otherwise.
fn seen_to(mut cause: Cause, sent: &Secret<String>) -> Cause {
    if let Cause::Token(TokenFault::Refused { secret, .. }) = &mut cause {
        *secret = Some(Looks::of(sent.expose()));
    }
    cause
}

async fn post(http: &Http, application: &Application, request: &TokenRequest) -> Result<Token, Cause> {
    let authority = application.authority.host_port();
    let answer = http.post(&authority.host, authority.port, &request.path, &request.body).await;
    answer.and_then(|answer| request.interpret(&answer)).map_err(Cause::Token)
}

async fn assert(http: &Http, application: &Application, assertion: &Secret<String>) -> Result<Token, Cause> {
    let Application { tenant, client_id, scope, .. } = application;
    post(http, application, &grant::client_assertion(tenant, client_id, assertion, scope)).await
}

/// The assertion, and when the certificate ends. In the blocking pool: a PKCS#12 file's key is derived by as many rounds as its maker chose.
async fn sign(
    application: &Application,
    file: &CertificateFile,
) -> Result<(Secret<String>, SystemTime), String> {
    let audience = format!("{}{}", application.authority, grant::token_path(&application.tenant));
    let (client_id, file) = (application.client_id.clone(), file.clone());
    let signing = move || {
        let now = SystemTime::now();
        let certificate = file.read(now)?;
        let assertion = Assertion { audience: &audience, client_id: &client_id, id: &guid()?, now };
        Ok((grant::signed_assertion(&assertion, &certificate)?, now + certificate.expires_in(now)))
    };
    task::blocking(signing).await.ok_or("could not be read: a fault in mailshim")?
}

/// RFC 9562 section 5.4.
fn guid() -> Result<String, String> {
    let mut octets = [0; 16];
    SystemRandom::new().fill(&mut octets).map_err(|_| "the system gives no randomness".to_string())?;
    octets[6] = octets[6] & 0x0f | 0x40;
    octets[8] = octets[8] & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(octets));
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

async fn managed(http: &Http, identity: &ManagedIdentity) -> Result<Token, Cause> {
    let (resource, client_id) = (&identity.resource, identity.client_id.as_deref());
    let (url, request) = match &identity.endpoint {
        ManagedEndpoint::AppService { url, header } => {
            let header = header.read().map_err(Cause::SetUp)?;
            (url, grant::app_service(url.path(), &header, resource, client_id))
        }
        ManagedEndpoint::Imds(url) => (url, grant::imds(resource, client_id)),
    };
    let answer = http.get_local(url, &request.target, &request.header).await;
    answer.and_then(|answer| request.interpret(&answer, SystemTime::now())).map_err(Cause::Token)
}

async fn refresh(http: &Http, application: &Application, file: &Path) -> Result<Token, Cause> {
    let kept = SecretSource::File(file.to_path_buf()).read().map_err(Cause::SetUp)?;
    let Application { tenant, client_id, scope, .. } = application;
    let token = post(http, application, &grant::refresh_token(tenant, client_id, &kept, scope)).await?;
    match &token.refresh_token {
        Some(next) if *next != kept => {
            // The mail at hand does not fail for it: the access token is good, and the old refresh token stays good.
            if let Err(problem) = token_file::replace(file, Some(&kept), next).await {
                telemetry::refresh_token_not_kept(&problem);
            }
        }
        // RFC 6749 section 6: none, or the same one: the old one goes on.
        _ => {}
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_assertion_has_a_guid_of_its_own() {
        let (one, other) = (guid().unwrap(), guid().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert!(one.as_bytes()[14] == b'4' && b"89ab".contains(&one.as_bytes()[19]), "{one}");
    }
}
