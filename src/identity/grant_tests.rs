use super::*;

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
        (r#"{"token_type":"Bearer","expires_in":179,"access_token":"x"}"#, "lives for 179 seconds only"),
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
            codes: vec![7_000_215],
        }
    );
}

#[test]
fn a_refusal_with_nothing_but_error_is_enough() {
    for description in ["", r#","error_description":"Trace ID: 1","error_codes":["x",-1,99999999999]"#] {
        let got = fault(400, &format!(r#"{{"error":"invalid_scope"{description}}}"#));
        let TokenFault::Refused { status: 400, error, description, codes } = &got else { panic!("{got:?}") };
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
