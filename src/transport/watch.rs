//! What can be seen while a connection is opened: for `mailshim check`, which tells it, on the code that delivers.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::VerifierBuilderError;
use rustls::{DigitallySignedStruct, Error, ProtocolVersion, RootCertStore, SignatureScheme};

use crate::outcome::Stage;
use crate::smtp::reply::Reply;

/// One thing that was seen.
#[derive(Debug)]
pub enum Seen<'a> {
    /// A name was resolved.
    Addresses(&'a str, &'a [IpAddr]),
    /// A TCP connection was begun.
    Trying(SocketAddr),
    /// It is there, or failed with the system's words.
    Tried(SocketAddr, Result<(), &'a str>),
    /// The egress proxy opened the tunnel.
    Tunnel,
    /// The peer's certificates, before they are verified.
    Chain(&'a [CertificateDer<'a>]),
    /// The TLS handshake is done, in this version.
    Secured(Option<ProtocolVersion>),
    /// A reply of the upstream.
    Reply(Stage, &'a Reply),
    /// The token service's Date field.
    Date(&'a str),
}

/// Who is told. Called in the middle of the dialogue: it must not wait.
pub trait Watch: Send + Sync {
    /// Something was seen.
    fn see(&self, seen: Seen<'_>);
}

/// Somebody who is told, or nobody, as in `run`.
#[derive(Clone, Default)]
pub struct Watcher(Option<Arc<dyn Watch>>);

impl Watcher {
    /// This one is told.
    pub fn new(watch: Arc<dyn Watch>) -> Self {
        Self(Some(watch))
    }

    /// Whether there is somebody.
    pub const fn is_somebody(&self) -> bool {
        self.0.is_some()
    }

    /// Tells it.
    pub fn see(&self, seen: Seen<'_>) {
        if let Some(watch) = &self.0 {
            watch.see(seen);
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_somebody() { "Watcher(somebody)" } else { "Watcher(nobody)" })
    }
}

/// rustls' own verifier, which shows the certificates before it judges them: those that it refuses are the ones that an
/// administrator must see. Every verdict is rustls'.
#[derive(Debug)]
pub(super) struct ShowingVerifier {
    judge: Arc<WebPkiServerVerifier>,
    watcher: Watcher,
}

impl ShowingVerifier {
    pub(super) fn new(
        roots: RootCertStore,
        provider: &Arc<CryptoProvider>,
        watcher: &Watcher,
    ) -> Result<Self, VerifierBuilderError> {
        let judge =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build()?;
        Ok(Self { judge, watcher: watcher.clone() })
    }
}

impl ServerCertVerifier for ShowingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain: Vec<_> = std::iter::once(end_entity).chain(intermediates).cloned().collect();
        self.watcher.see(Seen::Chain(&chain));
        self.judge.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}
