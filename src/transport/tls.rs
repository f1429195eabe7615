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

use crate::outcome::{Cause, Fault, Stage};
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
/// A fault of stage `Tls`: `TimedOut`, `Closed`, `Io`, or `Tls` with a sentence for the operator.
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
    let name = ServerName::try_from(host.to_string())
        .map_err(|_| fault(Cause::Tls(format!("{host:?} is not a name that a certificate can hold"))))?;
    timeout(within, TlsConnector::from(Arc::clone(config)).connect(name, io))
        .await
        .map_err(|_| fault(Cause::TimedOut(within)))?
        .map_err(|error| fault(cause(host, &error)))
}

fn cause(host: &str, error: &io::Error) -> Cause {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => Cause::Tls(explain(host, error)),
        None if error.kind() == io::ErrorKind::UnexpectedEof => Cause::Closed,
        None => Cause::Io(error.to_string()),
    }
}

/// rustls' reason as a sentence that says what to look at.
fn explain(host: &str, error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => explain_certificate(host, error),
        Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13)
        | Error::PeerIncompatible(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig)
        | Error::AlertReceived(AlertDescription::ProtocolVersion) => {
            format!("{host} does not speak TLS 1.2 or 1.3, and nothing older is accepted")
        }
        Error::InvalidMessage(_) => format!(
            "{host} did not answer with TLS ({error}): is the port right, or does something in between answer?"
        ),
        Error::AlertReceived(alert) => format!("{host} refused the handshake with the TLS alert {alert:?}"),
        other => format!("the handshake with {host} failed: {other}"),
    }
}

fn explain_certificate(host: &str, error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => format!(
            "the certificate shown for {host} is signed by an authority that is not trusted here; where a firewall or \
             proxy inspects TLS, put its root certificate into a file and name that in MAILSHIM_CA_FILE"
        ),
        CertificateError::NotValidForNameContext { presented, .. } => format!(
            "the certificate shown for {host} is for other names ({}{})",
            presented.iter().take(MAX_NAMES).map(|name| printable(name)).collect::<Vec<_>>().join(", "),
            if presented.len() > MAX_NAMES { ", …" } else { "" }
        ),
        CertificateError::NotValidForName => format!("the certificate shown for {host} is for another name"),
        CertificateError::ExpiredContext { time, not_after } => format!(
            "the certificate shown for {host} expired {} ago, by this machine's clock: is the clock right?",
            between(*not_after, *time)
        ),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "the certificate shown for {host} is valid only in {}, by this machine's clock: is the clock right?",
            between(*time, *not_before)
        ),
        other => format!("the certificate shown for {host} is not acceptable: {other}"),
    }
}

/// The peer chose it: nothing of it may break a log line. rustls writes `DnsName("smtp.example")`.
fn printable(name: &str) -> String {
    let name = name.strip_prefix("DnsName(\"").and_then(|name| name.strip_suffix("\")")).unwrap_or(name);
    name.chars().filter(char::is_ascii_graphic).take(100).collect()
}

fn between(earlier: UnixTime, later: UnixTime) -> String {
    let seconds = later.as_secs().saturating_sub(earlier.as_secs());
    match seconds {
        0..7200 => format!("{seconds} seconds"),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
