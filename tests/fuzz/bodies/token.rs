//! Answers of the token service: a token that fits into an SMTP line, or a bounded sentence without control characters
//! and without anything secret that was sent.

use mailshim::testing::identity::grant::{client_secret, refresh_token};
use mailshim::testing::outcome::TokenFault;
use mailshim::testing::secret::Secret;
use mailshim::testing::transport::http::Answer;

use super::Choices;

/// Nothing of it may be said back.
const SECRET: &str = "c4n4ry~Q.s3cr3t+&=%/x";

/// The first two octets: the status; the third: how the secret is said back where the body says `CANARY`; then the
/// body.
pub fn fuzz(input: &[u8]) {
    let mut choices = Choices(input);
    let status = [200, 200, 400, 401, 302, 429, 500, 503, 403, 599][choices.below(10)];
    let how = choices.below(3);
    let secret = Secret::new(SECRET.to_string());
    let request = if choices.octet() & 1 == 0 {
        client_secret("contoso.com", "client", &secret, "scope")
    } else {
        refresh_token("contoso.com", "client", &secret, "scope")
    };
    let body = choices.rest();
    let form = request.body.expose();
    let encoded = form.split(['=', '&']).find(|part| part.starts_with("c4n4ry")).unwrap_or(SECRET);
    let said = [SECRET, encoded, form][how];
    let body = String::from_utf8_lossy(body).replace("CANARY", said).into_bytes();
    let retry_after = body.first().map(|_| String::from_utf8_lossy(&body).chars().take(20).collect());
    match request.interpret(&Answer { status, retry_after, body }) {
        Ok(token) => {
            assert!((200..300).contains(&status));
            let access = token.access_token.expose();
            assert!(!access.is_empty() && access.len() <= 8_900);
            assert!(access.bytes().all(|octet| octet.is_ascii_graphic()), "{access:?}");
            assert!((1..=48 * 3600).contains(&token.expires_in.as_secs()));
            assert!(!format!("{token:?}").contains(access) || access.len() < 12, "a token is printed");
        }
        Err(fault) => check(&fault),
    }
}

fn check(fault: &TokenFault) {
    let printed = format!("{fault:?}");
    assert!(printed.len() < 1_500, "{} octets", printed.len());
    assert!(!printed.contains("c4n4ry"), "a secret is said back: {printed}");
    let texts: Vec<&String> = match fault {
        TokenFault::Refused { error, description, .. } => vec![error, description],
        TokenFault::Garbage(text) => vec![text],
        _ => Vec::new(),
    };
    for text in texts {
        assert!(text.bytes().all(|octet| matches!(octet, b' '..=b'~')), "{text:?}");
    }
}
