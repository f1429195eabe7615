use std::sync::OnceLock;

use office365::{AppCertificate, openssl};
use ring::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};

use super::*;

const PASSWORD: &str = "c4n4ry pass word";

/// To make an RSA key takes a moment: one for all tests that do not need another.
fn made() -> &'static AppCertificate {
    static MADE: OnceLock<AppCertificate> = OnceLock::new();
    MADE.get_or_init(AppCertificate::new)
}

fn read(octets: impl AsRef<[u8]>, password: Option<&str>) -> Result<ClientCertificate, String> {
    ClientCertificate::parse(&Secret::new(octets.as_ref().to_vec()), password, SystemTime::now())
}

fn problem(octets: impl AsRef<[u8]>, password: Option<&str>) -> String {
    let problem = read(octets, password).err().expect("a problem");
    assert!(!problem.contains("c4n4ry"), "{problem}");
    problem
}

fn pkcs8(arguments: &[&str]) -> Vec<u8> {
    let password = format!("pass:{PASSWORD}");
    openssl(&[&["pkcs8", "-topk8", "-passout", &password], arguments].concat(), made().key.as_bytes())
}

fn with_certificate(key: &[u8]) -> Vec<u8> {
    [key, made().certificate.as_bytes()].concat()
}

#[test]
fn every_form_of_the_file_gives_the_same_pair() {
    let made = made();
    let pkcs1 = openssl(&["rsa", "-traditional"], made.key.as_bytes());
    assert!(pkcs1.starts_with(b"-----BEGIN RSA PRIVATE KEY-----"));
    let other_first = format!("{}{}{}", AppCertificate::new().certificate, made.certificate, made.key);
    let encrypted = pkcs8(&["-v2", "aes256"]);
    let scrypt = pkcs8(&["-scrypt"]);
    let bag = format!("Bag Attributes\r\n  friendlyName: x\r\n{}", made.pem().replace('\n', "\r\n"));
    for (form, octets, password) in [
        ("PKCS#8", made.pem().into_bytes(), None),
        ("PKCS#1", with_certificate(&pkcs1), None),
        ("a chain, ours not first", other_first.into_bytes(), None),
        ("bag attributes and CRLF", bag.into_bytes(), None),
        ("encrypted PKCS#8", with_certificate(&encrypted), Some(PASSWORD)),
        ("encrypted PKCS#8 with scrypt", with_certificate(&scrypt), Some(PASSWORD)),
        ("a password that is not needed", made.pem().into_bytes(), Some(PASSWORD)),
        ("PKCS#12", made.pkcs12(PASSWORD, &[]), Some(PASSWORD)),
        (
            "PKCS#12 as Windows and old OpenSSL write it",
            made.pkcs12(PASSWORD, &["-legacy", "-descert"]),
            Some(PASSWORD),
        ),
        ("PKCS#12 with the empty password", made.pkcs12("", &[]), None),
    ] {
        let pair = read(&octets, password).unwrap_or_else(|problem| panic!("{form}: {problem}"));
        assert_eq!(pair.thumbprint(), BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, &made.der)), "{form}");
        let signature = pair.sign(b"signed").unwrap();
        let (_, certificate) = X509Certificate::from_der(&made.der).unwrap();
        let key = certificate.public_key().subject_public_key.data.to_vec();
        UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key).verify(b"signed", &signature).unwrap();
        assert!((364..=365).contains(&(pair.expires_in(SystemTime::now()).as_secs() / 86_400)), "{form}");
    }
}

#[test]
fn what_is_wrong_is_said_in_words() {
    let made = made();
    let encrypted = with_certificate(&pkcs8(&["-v2", "aes256"]));
    let pkcs12 = made.pkcs12(PASSWORD, &[]);
    let old = openssl(&["rsa", "-traditional", "-aes128", "-passout", "pass:x"], made.key.as_bytes());
    let ec = openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], b"");
    let sec1 = openssl(&["ec"], &ec);
    let small = openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"], b"");
    let another = AppCertificate::new();
    let not_a_pair = format!("{}{}", another.key, made.certificate);
    let two_keys = format!("{}{}", another.key, made.pem());
    for (octets, password, words) in [
        (not_a_pair.as_bytes(), None, "are not a pair"),
        (two_keys.as_bytes(), None, "several private keys"),
        (made.certificate.as_bytes(), None, "holds no private key"),
        (made.key.as_bytes(), None, "holds no certificate"),
        (&encrypted, None, "no password is set: set MAILSHIM_CLIENT_CERTIFICATE_PASSWORD"),
        (&encrypted, Some("c4n4ry wrong"), "the password is wrong"),
        (&pkcs12, None, "no password is set: set MAILSHIM_CLIENT_CERTIFICATE_PASSWORD"),
        (&pkcs12, Some("c4n4ry wrong"), "the password is wrong"),
        (&with_certificate(&old), Some("x"), "openssl pkcs8 -topk8"),
        (&with_certificate(&pkcs8(&["-v1", "PBE-SHA1-3DES"])), Some(PASSWORD), "encrypt it again with"),
        (&with_certificate(&ec), None, "Entra documents RSA alone"),
        (&with_certificate(&sec1), None, "Entra documents RSA alone"),
        (&with_certificate(&small), None, "2048"),
        (b"c4n4ry: anything", None, "is neither PEM nor a PKCS#12 file"),
        (b"-----BEGIN PRIVATE KEY-----\nc4n4ry!\n-----END PRIVATE KEY-----\n", None, "holds broken PEM"),
    ] {
        let problem = problem(octets, password);
        assert!(problem.contains(words), "{words}: {problem}");
    }
}

#[test]
fn a_certificate_counts_within_its_time_alone() {
    let over = problem(AppCertificate::valid(-10, -3).pem(), None);
    assert!(over.contains("expired 3 days ago") && over.contains("upload it"), "{over}");
    let early = problem(AppCertificate::valid(3, 10).pem(), None);
    assert!(early.contains("becomes valid only in") && early.contains("is the clock right?"), "{early}");
}
