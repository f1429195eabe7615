use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{CertificateParams, CertifiedKey, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::duplex;
use tokio_rustls::TlsAcceptor;

use super::*;

const WITHIN: Duration = Duration::from_secs(5);

/// A file that is gone at the end of the test.
struct File(PathBuf);

impl File {
    fn with(content: &str) -> Self {
        // Tests run side by side: each file has a name of its own.
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("mailshim-tls-{}-{number}.pem", std::process::id()));
        std::fs::write(&path, content).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn certificate(names: &[&str], years: std::ops::Range<i32>) -> CertifiedKey<KeyPair> {
    let mut params =
        CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
    let signing_key = KeyPair::generate().unwrap();
    CertifiedKey { cert: params.self_signed(&signing_key).unwrap(), signing_key }
}

fn acceptor(shown: &CertifiedKey<KeyPair>) -> TlsAcceptor {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(shown.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![shown.cert.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A handshake as `smtp.test` with a server that shows this certificate.
async fn with_server(shown: &CertifiedKey<KeyPair>, trusted: bool) -> Result<(), Fault> {
    let file = File::with(&shown.cert.pem());
    let config = client_config(trusted.then_some(&file.0), None).unwrap();
    let (io, peer) = duplex(4096);
    let acceptor = acceptor(shown);
    let (result, _) = tokio::join!(handshake(&config, "smtp.test.", io, WITHIN), acceptor.accept(peer));
    result.map(drop)
}

async fn refusal(shown: &CertifiedKey<KeyPair>, trusted: bool) -> String {
    let fault = with_server(shown, trusted).await.unwrap_err();
    assert_eq!((fault.stage(), fault.recipient()), (Stage::Tls, None));
    let Cause::Tls(tls) = fault.cause() else { panic!("{fault:?}") };
    assert_eq!(fault.tls(), Some(tls));
    fault.to_string().strip_prefix("TLS failed: ").unwrap().to_string()
}

/// A handshake with a peer that writes this and closes.
async fn with_bytes(bytes: &[u8]) -> Cause {
    let config = client_config(None, None).unwrap();
    let (io, mut peer) = duplex(4096);
    let served = async {
        tokio::io::AsyncWriteExt::write_all(&mut peer, bytes).await.unwrap();
        drop(peer);
    };
    let (result, ()) = tokio::join!(handshake(&config, "smtp.test", io, WITHIN), served);
    result.map(drop).unwrap_err().cause().clone()
}

#[tokio::test]
async fn an_extra_root_is_trusted() {
    with_server(&certificate(&["smtp.test"], 2020..2090), true).await.unwrap();
}

#[tokio::test]
async fn an_unknown_issuer_hints_at_the_ca_file() {
    let words = refusal(&certificate(&["smtp.test"], 2020..2090), false).await;
    assert!(words.contains("smtp.test") && words.contains("MAILSHIM_CA_FILE"), "{words}");
}

#[tokio::test]
async fn a_wrong_name_says_which_names_there_are() {
    let words =
        refusal(&certificate(&["a.test", "b.test", "c.test", "d.test", "e.test"], 2020..2090), true).await;
    assert!(words.starts_with("the certificate shown for smtp.test is for other names ("), "{words}");
    assert!(words.contains("a.test") && words.contains("d.test") && words.ends_with(", …)"), "{words}");
}

#[tokio::test]
async fn validity_says_how_long_ago_and_points_at_the_clock() {
    let words = refusal(&certificate(&["smtp.test"], 2000..2001), true).await;
    assert!(words.contains("expired ") && words.contains(" days ago"), "{words}");
    let words = refusal(&certificate(&["smtp.test"], 2089..2090), true).await;
    assert!(words.contains("valid only in ") && words.contains(" days, "), "{words}");
}

#[tokio::test]
async fn an_old_server_is_told_from_one_that_does_not_speak_tls() {
    // The alert protocol_version (RFC 8446 section 6.2), in TLS 1.0's record.
    let Cause::Tls(tls) = with_bytes(&[21, 3, 1, 0, 2, 2, 70]).await else { panic!() };
    assert_eq!(tls.to_string(), "smtp.test does not speak TLS 1.2 or 1.3, and nothing older is accepted");
    let Cause::Tls(tls) = with_bytes(b"454 4.7.0 Cannot accept TLS\r\n").await else { panic!() };
    let words = tls.to_string();
    assert!(words.starts_with("smtp.test did not answer with TLS ("), "{words}");
    // What a server says of a certificate of ours, unknown_ca, is told from what it says of itself, handshake_failure.
    for (code, name, is_about_our_certificate) in [(48, "UnknownCA", true), (40, "HandshakeFailure", false)] {
        let cause = with_bytes(&[21, 3, 3, 0, 2, 2, code]).await;
        let alert = Alert { name: name.to_string(), is_about_our_certificate };
        let reason = TlsReason::Alert(alert);
        assert_eq!(cause, Cause::Tls(TlsFault::Handshake { host: "smtp.test".to_string(), reason }));
    }
}

#[tokio::test(start_paused = true)]
async fn silence_and_a_closed_connection_are_faults_of_their_own() {
    assert_eq!(with_bytes(b"").await, Cause::Closed);
    let (io, _peer) = duplex(4096);
    let fault =
        handshake(&client_config(None, None).unwrap(), "smtp.test", io, WITHIN).await.map(drop).unwrap_err();
    assert_eq!(*fault.cause(), Cause::TimedOut(WITHIN));
}

#[test]
fn a_ca_file_that_is_of_no_use_is_an_error_that_names_it() {
    let good = certificate(&["smtp.test"], 2020..2090);
    let key_only = good.signing_key.serialize_pem();
    let half = good.cert.pem().replace("-----END CERTIFICATE-----", "");
    let not_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let second_bad = format!("{}{not_der}", good.cert.pem());
    for (content, words) in [
        ("", "it holds no certificate"),
        (&key_only, "it holds no certificate"),
        (&half, "it is not valid PEM"),
        (not_der, "certificate 1 is not usable"),
        (&second_bad, "certificate 2 is not usable"),
    ] {
        let file = File::with(content);
        let error = client_config(Some(&file.0), None).unwrap_err();
        assert!(error.contains(file.0.to_str().unwrap()) && error.contains(words), "{error}");
    }
    let error = client_config(Some(Path::new("/nowhere/ca.pem")), None).unwrap_err();
    assert!(error.contains("/nowhere/ca.pem") && error.contains("No such file"), "{error}");
}

#[test]
fn a_client_certificate_and_its_key_are_read_or_named() {
    let made = rcgen::generate_simple_self_signed(vec!["app.contoso.com".to_string()]).unwrap();
    let other = rcgen::KeyPair::generate().unwrap();
    let folder = std::env::temp_dir().join(format!("mailshim-client-certificate-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let chain = write("chain.pem", &made.cert.pem());
    let key = write("key.pem", &made.signing_key.serialize_pem());
    let other = write("other.pem", &other.serialize_pem());
    let empty = write("empty.pem", "");
    let config = |chain: &Path, key: &Path| {
        let certificate = ConnectorCertificate { chain: chain.into(), key: key.into() };
        client_config(None, Some(&certificate)).map(|_| ())
    };
    assert_eq!(config(&chain, &key), Ok(()));
    assert!(config(&chain, &other).unwrap_err().contains("do not go together"));
    assert!(config(&empty, &key).unwrap_err().contains("MAILSHIM_TLS_CERT_FILE"));
    assert!(config(&chain, &empty).unwrap_err().contains("holds no key in the clear"));
    std::fs::remove_dir_all(folder).unwrap();
}
