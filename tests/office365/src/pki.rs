//! The simulator's own CA and the certificates, good and bad, that it shows.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{
    DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme, SupportedProtocolVersion,
    version,
};

use crate::settings::TlsSetup;

/// A CA that lives as long as the simulator.
pub(crate) struct Pki {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) ca_pem: String,
}

fn ca(name: &str) -> (CertificateParams, KeyPair) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names, no wrong names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params, KeyPair::generate().expect("ring makes a key"))
}

impl Pki {
    pub(crate) fn new() -> Pki {
        let (params, key) = ca("Simulated Office 365 root");
        let ca_pem = params.self_signed(&key).expect("CA certificate").pem();
        Pki { issuer: Issuer::new(params, key), ca_pem }
    }

    /// A server's TLS configuration; panics where `names` are no host names.
    pub(crate) fn server(&self, names: &[String], setup: TlsSetup, ask_client: bool) -> Arc<ServerConfig> {
        let wrong = ["wrong.example.net".to_owned()];
        let names = if setup == TlsSetup::WrongName { &wrong } else { names };
        let mut params = CertificateParams::new(names.to_vec()).expect("host names for the certificate");
        params.distinguished_name.push(DnType::CommonName, names[0].as_str());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = setup != TlsSetup::SelfSigned;
        (params.not_before, params.not_after) = match setup {
            TlsSetup::Expired => (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1)),
            TlsSetup::NotYetValid => (date_time_ymd(2090, 1, 1), date_time_ymd(2091, 1, 1)),
            _ => (date_time_ymd(2020, 1, 1), date_time_ymd(2080, 1, 1)),
        };
        let key = KeyPair::generate().expect("ring makes a key");
        let chain: Vec<CertificateDer<'static>> = match setup {
            TlsSetup::SelfSigned => vec![params.self_signed(&key).expect("certificate").into()],
            TlsSetup::UnknownCa => {
                let (ca, ca_key) = ca("Some other root");
                vec![params.signed_by(&key, &Issuer::new(ca, ca_key)).expect("certificate").into()]
            }
            TlsSetup::Intermediate | TlsSetup::MissingIntermediate => {
                let (mid, mid_key) = ca("Simulated Office 365 intermediate");
                let mid_certificate = mid.signed_by(&mid_key, &self.issuer).expect("certificate");
                let leaf = params.signed_by(&key, &Issuer::new(mid, mid_key)).expect("certificate");
                let mut chain = vec![leaf.into()];
                if setup == TlsSetup::Intermediate {
                    chain.push(mid_certificate.into());
                }
                chain
            }
            _ => vec![params.signed_by(&key, &self.issuer).expect("certificate").into()],
        };
        let versions: &[&SupportedProtocolVersion] = match setup {
            TlsSetup::Tls12Only => &[&version::TLS12],
            TlsSetup::Tls13Only => &[&version::TLS13],
            _ => &[&version::TLS13, &version::TLS12],
        };
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("ring knows these versions");
        let builder = match ask_client {
            true => builder.with_client_cert_verifier(Arc::new(AnyClient(ring::default_provider()))),
            false => builder.with_no_client_auth(),
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Arc::new(builder.with_single_cert(chain, key).expect("the key fits the certificate"))
    }
}

/// Takes any client certificate: the test judges which one came. The client must still prove that it has the key.
#[derive(Debug)]
struct AnyClient(CryptoProvider);

impl AnyClient {
    fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.0.signature_verification_algorithms
    }
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, self.algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, self.algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms().supported_schemes()
    }
}
