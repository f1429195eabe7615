use std::time::Duration;

use super::answer::{MAX_CODES, MAX_DESCRIPTION, MAX_WORD};
use super::*;
use crate::outcome::TokenFault;
use crate::secret::Secret;
use crate::transport::answer::Answer;

const SECRET: &str = "a&b=c+d %ü~Q";

fn request() -> TokenRequest {
    let scope = "https://outlook.office365.com/.default";
    client_secret(
        "contoso.com",
        "11111111-2222-3333-4444-555555555555",
        &Secret::new(SECRET.to_string()),
        scope,
    )
}

fn answer(status: u16, body: &str) -> Answer {
    Answer { status, retry_after: None, body: body.as_bytes().to_vec() }
}

fn fault(status: u16, body: &str) -> TokenFault {
    request().interpret(&answer(status, body)).unwrap_err()
}

#[test]
fn the_client_secret_request_is_form_encoded() {
    let request = request();
    assert_eq!(request.path, "/contoso.com/oauth2/v2.0/token");
    assert_eq!(
        request.body.expose(),
        "grant_type=client_credentials&client_id=11111111-2222-3333-4444-555555555555\
         &client_secret=a%26b%3Dc%2Bd+%25%C3%BC%7EQ&scope=https%3A%2F%2Foutlook.office365.com%2F.default"
    );
}

#[test]
fn a_tenant_cannot_choose_another_path() {
    let request = client_secret("x/../y?z\r\nHost: evil", "", &Secret::new(String::new()), "");
    assert_eq!(request.path, "/x%2F..%2Fy%3Fz%0D%0AHost%3A+evil/oauth2/v2.0/token");
}

#[test]
fn tokens_are_read() {
    for (body, life) in [
        (
            r#"{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,"access_token":"eyJ0.x-_~+/="}"#,
            3599,
        ),
        (r#"{"token_type":"bearer","expires_in":"86399","access_token":"eyJ0.x-_~+/="}"#, 86_399),
        (r#"{"token_type":"BEARER","expires_in":99999999999,"access_token":"eyJ0.x-_~+/="}"#, 48 * 3600),
    ] {
        let token = request().interpret(&answer(200, body)).unwrap();
        assert_eq!(token.access_token.expose(), "eyJ0.x-_~+/=");
        assert_eq!(token.expires_in, Duration::from_secs(life));
    }
}

#[test]
fn what_is_no_token_is_garbage_and_says_why() {
    let long =
        format!(r#"{{"token_type":"Bearer","expires_in":3599,"access_token":"{}"}}"#, "x".repeat(8_901));
    for (body, words) in [
        ("", "is empty"),
        (" <html>sign in", "is a web page"),
        ("hello", "is not JSON"),
        ("[]", "is not for a token of type Bearer"),
        (r#"{"token_type":"mac","expires_in":3599,"access_token":"x"}"#, "is not for a token of type Bearer"),
        (r#"{"token_type":"Bearer","expires_in":3599}"#, "holds no access token"),
        (r#"{"token_type":"Bearer","expires_in":3599,"access_token":""}"#, "holds no access token"),
        (
            r#"{"token_type":"Bearer","expires_in":3599,"access_token":"a\r\nRCPT"}"#,
            "characters that no token has",
        ),
        (r#"{"token_type":"Bearer","expires_in":3599,"access_token":"a b"}"#, "characters that no token has"),
        (r#"{"token_type":"Bearer","expires_in":3599,"access_token":"ü"}"#, "characters that no token has"),
        (&long, "too long"),
        (r#"{"token_type":"Bearer","access_token":"x"}"#, "does not say how long"),
        (r#"{"token_type":"Bearer","expires_in":-1,"access_token":"x"}"#, "does not say how long"),
        (r#"{"token_type":"Bearer","expires_in":"soon","access_token":"x"}"#, "does not say how long"),
        (r#"{"token_type":"Bearer","expires_in":0,"access_token":"x"}"#, "is over already"),
    ] {
        let fault = fault(200, body);
        assert!(matches!(&fault, TokenFault::Garbage(text) if text.contains(words)), "{body}: {fault:?}");
    }
    let redirect = fault(302, "");
    assert!(
        matches!(&redirect, TokenFault::Garbage(text) if text.contains("redirect (302)")),
        "{redirect:?}"
    );
}

#[test]
fn entras_refusal_keeps_its_sentence_codes_and_ids() {
    let body = r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '1111'.\r\nTrace ID: 255d1aef-8c98-452f-ac51-23d051240864\r\nCorrelation ID: fb3d2015-bc17-4bb9-bb85-30c5cf1aaaa7\r\nTimestamp: 2026-11-23 09:14:05Z","error_codes":[7000215],"timestamp":"2026-11-23 09:14:05Z","trace_id":"255d1aef-8c98-452f-ac51-23d051240864","correlation_id":"fb3d2015-bc17-4bb9-bb85-30c5cf1aaaa7"}"#;
    assert_eq!(
        fault(401, body),
        TokenFault::Refused {
            status: 401,
            error: "invalid_client".to_string(),
            description: "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is \
                          the client secret value, not the client secret ID, for a secret added to app '1111'. \
                          [trace 255d1aef-8c98-452f-ac51-23d051240864] \
                          [correlation fb3d2015-bc17-4bb9-bb85-30c5cf1aaaa7]"
                .to_string(),
            codes: vec![7_000_215], secret: None,}
    );
}

#[test]
fn a_refusal_with_nothing_but_error_is_enough() {
    for description in ["", r#","error_description":"Trace ID: 1","error_codes":["x",-1,99999999999]"#] {
        let got = fault(400, &format!(r#"{{"error":"invalid_scope"{description}}}"#));
        let TokenFault::Refused { status: 400, error, description, codes, .. } = &got else {
            panic!("{got:?}")
        };
        assert_eq!((error.as_str(), description.as_str(), codes.len()), ("invalid_scope", "", 0));
    }
}

#[test]
fn a_refusal_is_bounded_and_printable() {
    let long = "x".repeat(10_000);
    let codes = vec!["1"; 1000].join(",");
    let body = format!(
        r#"{{"error":"e\u0000{long}","error_description":"\u001b[31mé\u202e{long}","error_codes":[{codes}],"trace_id":"{long}"}}"#
    );
    let got = fault(400, &body);
    let TokenFault::Refused { error, description, codes, .. } = &got else { panic!("{got:?}") };
    assert!(error.starts_with("e xxx") && error.len() == MAX_WORD, "{error}");
    assert!(description.starts_with(" [31m??xxx"), "{description}");
    assert!(description.len() < MAX_DESCRIPTION + MAX_WORD + 20);
    assert_eq!(codes.len(), MAX_CODES);
}

#[test]
fn trouble_of_the_service_is_a_status_with_its_retry_after() {
    let oauth = r#"{"error":"temporarily_unavailable"}"#;
    for (status, body) in
        [(429, oauth), (500, ""), (503, oauth), (504, "<html>"), (403, "<html>"), (400, "{}"), (404, "")]
    {
        for (retry_after, seconds) in [
            (None, None),
            (Some("17"), Some(17)),
            (Some(" 0 "), Some(0)),
            (Some("99999999"), Some(24 * 3600)),
            (Some("+5"), None),
            (Some("Mon, 23 Nov 2026 09:14:05 GMT"), None),
        ] {
            let retry_after = retry_after.map(ToString::to_string);
            let fault = request().interpret(&Answer { retry_after, ..answer(status, body) }).unwrap_err();
            let expected = TokenFault::Status { status, retry_after: seconds.map(Duration::from_secs) };
            assert_eq!(fault, expected);
        }
    }
}

#[test]
fn a_secret_never_comes_out_again() {
    let request = request();
    let encoded = "a%26b%3Dc%2Bd+%25%C3%BC%7EQ";
    let echoed = format!("{SECRET} {encoded} {}", request.body.expose());
    let mut seen = format!("{request:?}");
    let echo = serde_json::json!({ "error": echoed, "error_description": echoed, "trace_id": echoed });
    for (status, body) in
        [(400, echo.to_string()), (200, echo.to_string()), (500, echoed.clone()), (200, echoed)]
    {
        seen += &format!("{:?}", request.interpret(&answer(status, &body)).unwrap_err());
    }
    let token = format!(r#"{{"token_type":"Bearer","expires_in":3599,"access_token":"{encoded}"}}"#);
    seen += &format!("{:?}", request.interpret(&answer(200, &token)));
    assert!(seen.contains("[redacted]"));
    for part in ["a&b", "a%26b", "%7EQ", "~Q"] {
        assert!(!seen.contains(part), "{part} in {seen}");
    }
}

#[test]
fn a_secret_does_not_come_out_in_another_encoding() {
    let url = "a%26b%3dc%2Bd%20%25%C3%BC~Q";
    let json = r"a\\u0026b=c+d %\\u00fc~Q";
    let base64 = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("id:{SECRET}"));
    let body = format!(r#"{{"error":"invalid_client","error_description":"no: {url} | {json} | {base64}"}}"#);
    let TokenFault::Refused { description, .. } = fault(401, &body) else { panic!() };
    // What is left of base64 is part of a digit.
    assert!(description.starts_with("no: [redacted] | [redacted] | aWQ6[redacted]"), "{description}");
    assert!(description.len() < 55, "{description}");
}

const CODE: &str = "DAQdevicecode";

#[test]
fn the_requests_of_the_other_grants() {
    let secret = |text: &str| Secret::new(text.to_string());
    let assertion = client_assertion("contoso.com", "id", &secret("a.b+c"), "s/.default");
    assert_eq!(
        assertion.body.expose(),
        "grant_type=client_credentials&client_id=id\
         &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer\
         &client_assertion=a.b%2Bc&scope=s%2F.default"
    );
    let refresh = refresh_token("consumers", "id", &secret("1.A&b"), "https://x/SMTP.Send offline_access");
    assert_eq!(
        refresh.body.expose(),
        "grant_type=refresh_token&client_id=id&refresh_token=1.A%26b&scope=https%3A%2F%2Fx%2FSMTP.Send+offline_access"
    );
    let device = device_code("contoso.com", "id", "x offline_access");
    assert_eq!(device.path, "/contoso.com/oauth2/v2.0/devicecode");
    assert_eq!(device.body.expose(), "client_id=id&scope=x+offline_access");
    let polled = device_token("contoso.com", "id", &secret(CODE));
    assert_eq!(polled.path, "/contoso.com/oauth2/v2.0/token");
    assert_eq!(
        polled.body.expose(),
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&client_id=id&device_code=DAQdevicecode"
    );
    let echo = r#"{"error":"invalid_grant","error_description":"AADSTS70000: 1.A&b, 1.A%26b is bad"}"#;
    let words = format!("{:?}", refresh.interpret(&answer(400, echo)));
    assert!(words.contains("[redacted], [redacted] is bad") && !words.contains("1.A"), "{words}");
}

#[test]
fn a_refresh_token_comes_along() {
    let body = r#"{"token_type":"Bearer","expires_in":3599,"access_token":"x","refresh_token":"1.Anew"}"#;
    let token = request().interpret(&answer(200, body)).unwrap();
    assert_eq!(token.refresh_token, Some(Secret::new("1.Anew".to_string())));
}

#[test]
fn a_device_code_is_read_and_its_message_cannot_steer_a_terminal() {
    let request = device_code("contoso.com", "id", "scope");
    let read = |body: &str| request.interpret_device_code(&answer(200, body));
    let code = read(
        r#"{"device_code":"DAQ1","user_code":"AB12","verification_uri":"https://microsoft.com/devicelogin",
            "expires_in":900,"interval":5,"message":"Open it\u001b[2J and enter AB12"}"#,
    )
    .unwrap();
    assert_eq!((code.message.as_str(), code.code.expose().as_str()), ("Open it [2J and enter AB12", "DAQ1"));
    assert_eq!((code.expires_in.as_secs(), code.interval.as_secs()), (900, 5));
    let code =
        read(r#"{"device_code":"DAQ1","user_code":"AB12","verification_url":"https://a.b","interval":"0"}"#);
    let code = code.unwrap();
    assert!(code.message.contains("https://a.b") && code.message.contains("AB12"), "{}", code.message);
    assert_eq!((code.expires_in.as_secs(), code.interval.as_secs()), (3600, 1));
    assert!(matches!(read(r#"{"user_code":"AB12"}"#), Err(TokenFault::Garbage(_))));
}

#[test]
fn what_a_device_code_is_answered() {
    let request = device_token("contoso.com", "id", &Secret::new(CODE.to_string()));
    let of = |error: &str| {
        request
            .interpret_device_token(&answer(400, &format!(r#"{{"error":"{error}","error_codes":[70016]}}"#)))
    };
    assert!(matches!(of("authorization_pending"), Ok(Polled::Pending)));
    assert!(matches!(of("slow_down"), Ok(Polled::SlowDown)));
    assert!(matches!(of("authorization_declined"), Ok(Polled::Declined)));
    assert!(matches!(of("access_denied"), Ok(Polled::Declined)));
    assert!(matches!(of("expired_token"), Ok(Polled::Expired)));
    assert!(matches!(of("bad_verification_code"), Err(TokenFault::Refused { .. })));
}

#[test]
fn the_requests_of_managed_identity() {
    let imds = imds("https://outlook.office365.com/", None);
    assert_eq!(
        imds.target,
        "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Foutlook.office365.com%2F"
    );
    assert_eq!((imds.header.0, imds.header.1.expose().as_str()), ("Metadata", "true"));
    let header = Secret::new("canary".to_string());
    let app_service = app_service("/msi/token", &header, "https://r/", Some("id"));
    assert_eq!(
        app_service.target,
        "/msi/token?api-version=2019-08-01&resource=https%3A%2F%2Fr%2F&client_id=id"
    );
    let words = r#"{"statusCode":400,"message":"No Managed Identity found for canary"}"#;
    let fault = app_service.interpret(&answer(400, words), std::time::UNIX_EPOCH).unwrap_err();
    assert!(
        matches!(&fault, TokenFault::Refused { description, .. } if description == "No Managed Identity found for [redacted]"),
        "{fault:?}"
    );
}

#[test]
fn a_kept_token_lives_until_its_end_and_not_its_full_life() {
    let request = imds("https://r/", None);
    let now = std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let life = |fields: &str| {
        let body = format!(r#"{{"token_type":"Bearer","access_token":"x",{fields}}}"#);
        request.interpret(&answer(200, &body), now).map(|token| token.expires_in.as_secs())
    };
    assert_eq!(life(r#""expires_in":"86399","expires_on":"1700003600""#), Ok(3600));
    assert_eq!(life(r#""expires_on":"1700003600""#), Ok(3600));
    assert_eq!(life(r#""expires_in":"3000""#), Ok(3000));
    assert_eq!(life(r#""expires_in":"3000","expires_on":"1700086400""#), Ok(3000));
    for over in [r#""expires_on":"1699999999""#, r#""resource":"x""#] {
        assert!(matches!(life(over), Err(TokenFault::Garbage(_))), "{over}");
    }
}
