//! TLS towards Office 365 and the token service: version 1.2 or 1.3, certificate and name always verified. There is no
//! option that weakens this.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, ClientConfig, Error, PeerIncompatible, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::outcome::{Alert, Cause, Fault, Stage, TlsFault, TlsReason};
use crate::transport::watch::{ShowingVerifier, Watcher};

/// Servers whose sessions are kept for resumption: the upstream and the token service.
const RESUMED_SERVERS: usize = 4;

/// Names of a wrong certificate that a fault lists.
const MAX_NAMES: usize = 4;

/// The files of the certificate that a connector knows us by. Their contents are judged when TLS is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorCertificate {
    /// PEM: the certificate, then its chain.
    pub chain: PathBuf,
    /// PEM: the key.
    pub key: PathBuf,
}

/// The TLS configuration: Mozilla's roots, and those in `extra_roots` (`MAILSHIM_CA_FILE`, PEM); with the certificate
/// that a connector knows us by, where there is one. Its whole chain is sent: without the intermediates Exchange
/// Online answers `550 5.7.64 TenantAttribution` (Microsoft, "Configure a certificate-based connector to relay").
///
/// # Errors
/// A sentence that names the file, when it cannot be read or holds nothing usable.
pub fn client_config(
    extra_roots: Option<&Path>,
    certificate: Option<&ConnectorCertificate>,
) -> Result<Arc<ClientConfig>, String> {
    watched_client_config(extra_roots, certificate, &Watcher::default())
}

/// The same, with somebody who is shown the peer's certificates before they are verified as always.
///
/// # Errors
/// As those of [`client_config`].
pub fn watched_client_config(
    extra_roots: Option<&Path>,
    certificate: Option<&ConnectorCertificate>,
    watcher: &Watcher,
) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(path) = extra_roots {
        add_roots(&mut roots, path).map_err(|reason| format!("the CA file {}: {reason}", path.display()))?;
    }
    // The provider is given, not taken from rustls' process-wide default: a library must not depend on who came first.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = match watcher.is_somebody() {
        true => {
            Some(ShowingVerifier::new(roots.clone(), &provider, watcher).map_err(|error| error.to_string())?)
        }
        false => None,
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let mut config = match certificate {
        None => config.with_no_client_auth(),
        Some(certificate) => {
            let (chain, key) = chain_and_key(certificate)?;
            config.with_client_auth_cert(chain, key).map_err(|error| {
                format!(
                    "the certificate {} and the key {} do not go together: {error}",
                    certificate.chain.display(),
                    certificate.key.display()
                )
            })?
        }
    };
    if let Some(verifier) = verifier {
        config.dangerous().set_certificate_verifier(Arc::new(verifier));
    }
    config.resumption = Resumption::in_memory_sessions(RESUMED_SERVERS);
    Ok(Arc::new(config))
}

fn add_roots(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| in_words(&error))?;
    let mut count = 0;
    for certificate in certificates {
        count += 1;
        let certificate = certificate.map_err(|error| in_words(&error))?;
        roots.add(certificate).map_err(|error| format!("certificate {count} is not usable: {error}"))?;
    }
    if count == 0 {
        return Err("it holds no certificate (PEM, -----BEGIN CERTIFICATE-----)".to_string());
    }
    Ok(())
}

fn chain_and_key(
    certificate: &ConnectorCertificate,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let chain =
        CertificateDer::pem_file_iter(&certificate.chain).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|error| in_words(&error)).and_then(|chain| match chain.is_empty() {
        true => Err("it holds no certificate (PEM, -----BEGIN CERTIFICATE-----)".to_string()),
        false => Ok(chain),
    });
    let chain = chain
        .map_err(|reason| format!("MAILSHIM_TLS_CERT_FILE {}: {reason}", certificate.chain.display()))?;
    let key = PrivateKeyDer::from_pem_file(&certificate.key).map_err(|error| {
        let reason = match error {
            rustls::pki_types::pem::Error::NoItemsFound => {
                "it holds no key in the clear (an encrypted one: openssl pkcs8 -in KEY -out NEW)".to_string()
            }
            other => in_words(&other),
        };
        format!("MAILSHIM_TLS_KEY_FILE {}: {reason}", certificate.key.display())
    })?;
    Ok((chain, key))
}

fn in_words(error: &rustls::pki_types::pem::Error) -> String {
    match error {
        rustls::pki_types::pem::Error::Io(error) => error.to_string(),
        other => format!("it is not valid PEM: {other}"),
    }
}

/// The handshake with `host` (a name, or an address without brackets) over a connection that is there already.
///
/// # Errors
/// A fault of stage `Tls`: `TimedOut`, `Closed`, `Io`, or `Tls` with its reason.
pub async fn handshake<IO>(
    config: &Arc<ClientConfig>,
    host: &str,
    io: IO,
    within: Duration,
) -> Result<TlsStream<IO>, Fault>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let fault = |cause| Fault::new(Stage::Tls, cause);
    let host = host.trim_end_matches('.');
    let name = ServerName::try_from(host.to_string()).map_err(|_| fault(failed(host, TlsReason::NoName)))?;
    timeout(within, TlsConnector::from(Arc::clone(config)).connect(name, io))
        .await
        .map_err(|_| fault(Cause::TimedOut(within)))?
        .map_err(|error| fault(cause(host, &error)))
}

fn failed(host: &str, reason: TlsReason) -> Cause {
    Cause::Tls(TlsFault::Handshake { host: host.to_string(), reason })
}

fn cause(host: &str, error: &io::Error) -> Cause {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => failed(host, reason(error)),
        None if error.kind() == io::ErrorKind::UnexpectedEof => Cause::Closed,
        None => Cause::Io(error.to_string()),
    }
}

/// rustls' reason, as the words about it are chosen by.
fn reason(error: &Error) -> TlsReason {
    match error {
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        )
        | Error::AlertReceived(AlertDescription::ProtocolVersion) => TlsReason::TooOld,
        Error::InvalidMessage(_) => TlsReason::NotTls(error.to_string()),
        Error::AlertReceived(description) => TlsReason::Alert(alert(*description)),
        other => TlsReason::Other(other.to_string()),
    }
}

/// An alert, with what it is about.
pub fn alert(description: AlertDescription) -> Alert {
    use AlertDescription::{
        BadCertificate, BadCertificateHashValue, BadCertificateStatusResponse, CertificateExpired,
        CertificateRequired, CertificateRevoked, CertificateUnknown, CertificateUnobtainable, UnknownCA,
        UnsupportedCertificate,
    };
    let is_about_our_certificate = matches!(
        description,
        BadCertificate
            | BadCertificateHashValue
            | BadCertificateStatusResponse
            | CertificateExpired
            | CertificateRequired
            | CertificateRevoked
            | CertificateUnknown
            | CertificateUnobtainable
            | UnknownCA
            | UnsupportedCertificate
    );
    Alert { name: format!("{description:?}"), is_about_our_certificate }
}

fn of_certificate(error: &CertificateError) -> TlsReason {
    match error {
        CertificateError::UnknownIssuer => TlsReason::UnknownIssuer,
        CertificateError::NotValidForNameContext { presented, .. } => TlsReason::WrongName {
            names: presented.iter().take(MAX_NAMES).map(|name| shown(name)).collect(),
            and_more: presented.len() > MAX_NAMES,
        },
        CertificateError::NotValidForName => TlsReason::WrongName { names: Vec::new(), and_more: false },
        CertificateError::ExpiredContext { time, not_after } => {
            TlsReason::Expired { ago: between(*not_after, *time) }
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            TlsReason::NotYetValid { wait: between(*time, *not_before) }
        }
        other => TlsReason::Certificate(other.to_string()),
    }
}

/// The peer chose it: nothing of it may break a log line. rustls writes `DnsName("smtp.example")`.
fn shown(name: &str) -> String {
    let name = name.strip_prefix("DnsName(\"").and_then(|name| name.strip_suffix("\")")).unwrap_or(name);
    name.chars().filter(char::is_ascii_graphic).take(100).collect()
}

const fn between(earlier: UnixTime, later: UnixTime) -> Duration {
    Duration::from_secs(later.as_secs().saturating_sub(earlier.as_secs()))
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
