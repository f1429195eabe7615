//! The token endpoint refuses what Entra refuses: each assertion here is wrong in one thing.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use office365::{AppCertificate, Office365, Settings};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::rsa;
use ring::signature::RSA_PSS_SHA256;
use serde_json::{Value, json};

use crate::client::{SCOPE, none, post, start};

const KIND: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Signs as documented, what it is given.
fn sign(certificate: &AppCertificate, header: &Value, claims: &Value) -> String {
    let pem: String = certificate.key.lines().filter(|line| !line.starts_with('-')).collect();
    let key = rsa::KeyPair::from_pkcs8(&base64::prelude::BASE64_STANDARD.decode(pem).unwrap()).unwrap();
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PSS_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

fn with(value: &Value, field: &str, new: Value) -> Value {
    let mut value = value.clone();
    value[field] = new;
    value
}

#[test]
fn an_assertion_is_checked_in_every_part() {
    let (ours, other) = (AppCertificate::new(), AppCertificate::new());
    let expired = AppCertificate::valid(-9, -2);
    let certificates = vec![ours.der.clone(), expired.der.clone()];
    let office365 = Office365::start(Settings { certificates, ..Settings::default() });
    let Settings { tenant, client_id, .. } = Settings::default();
    let ask = |assertion: &str| {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &client_id),
            ("client_assertion_type", KIND),
            ("client_assertion", assertion),
            ("scope", SCOPE),
        ];
        let (status, _, body) = post(&office365, &format!("/{tenant}/oauth2/v2.0/token"), &form);
        let body: Value = serde_json::from_str(&body).unwrap();
        (status, body["error_codes"][0].as_u64().unwrap_or(0))
    };
    let thumbprint =
        |certificate: &AppCertificate| BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, &certificate.der));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let header = json!({"alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint(&ours)});
    let claims = json!({
        "aud": format!("{}/{tenant}/oauth2/v2.0/token", office365.authority()),
        "iss": client_id, "sub": client_id, "jti": "8c1f6f3e-0b5d-4d0a-9a43-7f2b1c9e5d60",
        "nbf": now, "iat": now, "exp": now + 600,
    });
    let good = sign(&ours, &header, &claims);
    let tampered = {
        let (head, rest) = good.split_once('.').unwrap();
        let (_, signature) = rest.split_once('.').unwrap();
        let forged = with(&claims, "exp", (now + 599).into()).to_string();
        format!("{head}.{}.{signature}", BASE64_URL_SAFE_NO_PAD.encode(forged))
    };
    for (what, assertion, code) in [
        ("another key", sign(&other, &header, &claims), 700_027),
        (
            "another certificate",
            sign(&other, &with(&header, "x5t#S256", thumbprint(&other).into()), &claims),
            700_027,
        ),
        (
            "expired",
            sign(&expired, &with(&header, "x5t#S256", thumbprint(&expired).into()), &claims),
            700_027,
        ),
        ("tampered", tampered, 700_027),
        ("alg", sign(&ours, &with(&header, "alg", "none".into()), &claims), 50_027),
        (
            "aud",
            sign(&ours, &header, &with(&claims, "aud", "https://login.microsoftonline.com".into())),
            700_023,
        ),
        ("iss", sign(&ours, &header, &with(&claims, "iss", "x".into())), 700_021),
        ("sub", sign(&ours, &header, &with(&claims, "sub", "x".into())), 700_021),
        ("over", sign(&ours, &header, &with(&claims, "exp", (now - 1).into())), 700_024),
        ("not begun", sign(&ours, &header, &with(&claims, "nbf", (now + 500).into())), 700_024),
        ("nonsense", "a.b".to_string(), 50_027),
    ] {
        assert_eq!(ask(&assertion), (401, code), "{what}");
    }
    assert_eq!(office365.violations(), none());
    assert_eq!(ask(&good), (200, 0));
    assert_eq!(ask(&good), (401, 50_027), "the same jti again");
    assert_eq!(office365.violations().len(), 1);
}

#[test]
fn refresh_tokens_are_replaced_at_each_use_and_end_after_90_days() {
    let office365 = start();
    let Settings { tenant, client_id, .. } = Settings::default();
    let ask = |more: &[(&str, &str)]| {
        let form = [&[("grant_type", "refresh_token"), ("client_id", client_id.as_str())], more].concat();
        let (_, _, body) = post(&office365, &format!("/{tenant}/oauth2/v2.0/token"), &form);
        serde_json::from_str::<Value>(&body).unwrap()
    };
    let scope = ("scope", "https://outlook.office.com/SMTP.Send offline_access");
    let first = office365.give_refresh_token();
    let next = ask(&[scope, ("refresh_token", &first)])["refresh_token"].as_str().unwrap().to_owned();
    assert_ne!(next, first);
    assert!(
        ask(&[scope, ("refresh_token", &first)])["access_token"].is_string(),
        "the old one is not revoked by its use"
    );
    assert_eq!(ask(&[("refresh_token", &first)])["error_codes"][0], 900_144);
    assert_eq!(ask(&[scope, ("refresh_token", "x")])["error_codes"][0], 70_000);
    assert_eq!(ask(&[scope, ("refresh_token", &first), ("client_secret", "x")])["error_codes"][0], 700_025);
    office365.put_refresh_clock_forward(std::time::Duration::from_secs(90 * 86_400));
    assert_eq!(ask(&[scope, ("refresh_token", &next)])["error_codes"][0], 700_082);
}
