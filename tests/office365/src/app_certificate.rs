//! Certificates for an app registration. The RSA key and every other form of the file come from the `openssl` command,
//! which must be there: the forms that a client reads shall not be written by the libraries that it reads them with.

use std::io::Write;
use std::process::{Command, Stdio};

use rcgen::{CertificateParams, DnType, KeyPair};
use time::{Duration, OffsetDateTime};

/// A self-signed certificate and its RSA key.
#[derive(Clone)]
pub struct AppCertificate {
    /// `-----BEGIN CERTIFICATE-----`
    pub certificate: String,
    /// `-----BEGIN PRIVATE KEY-----`
    pub key: String,
    /// What is uploaded to the app registration.
    pub der: Vec<u8>,
}

impl Default for AppCertificate {
    fn default() -> AppCertificate {
        AppCertificate::new()
    }
}

impl AppCertificate {
    /// Valid for a year.
    pub fn new() -> AppCertificate {
        AppCertificate::valid(-1, 365)
    }

    /// Valid from and until so many days from now.
    pub fn valid(from: i64, until: i64) -> AppCertificate {
        let arguments = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
        let key = openssl(&arguments, b"");
        let key = String::from_utf8(key).expect("PEM is text");
        let pair = KeyPair::from_pem(&key).expect("ring reads the key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names, no wrong names");
        params.distinguished_name.push(DnType::CommonName, "mailshim");
        let now = OffsetDateTime::now_utc();
        (params.not_before, params.not_after) = (now + Duration::days(from), now + Duration::days(until));
        let certificate = params.self_signed(&pair).expect("a certificate");
        AppCertificate { certificate: certificate.pem(), key, der: certificate.der().to_vec() }
    }

    /// Both, in one file.
    pub fn pem(&self) -> String {
        format!("{}{}", self.key, self.certificate)
    }

    /// As PKCS#12; `more` goes to `openssl pkcs12 -export`, such as `-legacy`.
    pub fn pkcs12(&self, password: &str, more: &[&str]) -> Vec<u8> {
        let password = format!("pass:{password}");
        openssl(&[&["pkcs12", "-export", "-passout", &password], more].concat(), self.pem().as_bytes())
    }
}

/// Runs `openssl`; panics with its words where it fails.
pub fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("the tests need the openssl command (Debian's package openssl): {e}"));
    child.stdin.take().expect("piped").write_all(input).expect("openssl reads its input");
    let output = child.wait_with_output().expect("openssl ends");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {}: {words}", arguments.join(" "));
    output.stdout
}
