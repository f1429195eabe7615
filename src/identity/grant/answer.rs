//! What the token service answers: a token, or why there is none (RFC 6749 sections 5.1 and 5.2, with Entra's additions).

use std::time::Duration;

use serde_json::Value;

use crate::outcome::TokenFault;
use crate::redact::{Redactor, printable_ascii};
use crate::secret::Secret;
use crate::transport::answer::Answer;

/// The longest access token, in octets: `user=…`, the token and 22 octets around them must fit, in base64, into the
/// 12,288 octets of RFC 4954 section 4. Entra's are 1,500 to 4,000.
const MAX_ACCESS_TOKEN: usize = 8_900;

/// A longer life is not believed. Entra gives 60 to 90 minutes, managed identity about 24 hours.
const MAX_LIFE: Duration = Duration::from_secs(48 * 3600);

/// A longer Retry-After is not believed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// What is kept of a response's texts, in octets, and of its list of codes.
pub(super) const MAX_DESCRIPTION: usize = 400;
pub(super) const MAX_WORD: usize = 64;
pub(super) const MAX_CODES: usize = 8;

/// A token that was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Printable ASCII without spaces, of at most 8,900 octets: safe inside an SMTP line.
    pub access_token: Secret<String>,
    /// Its life, from the moment of the request.
    pub expires_in: Duration,
    /// What to ask with next time, where the grant gives such.
    pub refresh_token: Option<Secret<String>>,
}

/// The secret values of a request: whatever of them an answer echoes, in whatever form, none may come into a log.
#[derive(Clone, Debug)]
pub(super) struct Sent(pub(super) Vec<Secret<String>>);

impl Sent {
    /// An answer to this request; `granted` reads the body of a 2xx.
    pub(super) fn read<T>(
        &self,
        answer: &Answer,
        granted: impl FnOnce(&Value) -> Result<T, TokenFault>,
    ) -> Result<T, TokenFault> {
        let status = answer.status;
        let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
        match status {
            200..=299 => body.ok_or_else(|| not_json(&answer.body)).and_then(|body| granted(&body)),
            300..=399 => Err(TokenFault::Garbage(format!(
                "the token service answered with a redirect ({status}), which is not followed: a proxy's sign-in page, or \
                 a wrong authority host"
            ))),
            // What an overloaded service says in its body does not matter.
            429 | 500.. => Err(status_fault(answer)),
            _ => {
                Err(body.and_then(|body| self.refused(status, &body)).unwrap_or_else(|| status_fault(answer)))
            }
        }
    }

    /// RFC 6749 section 5.2, with Entra's additions.
    fn refused(&self, status: u16, body: &Value) -> Option<TokenFault> {
        let error = self.cleaned(body["error"].as_str()?, MAX_WORD);
        let text = self.scrubbed(body["error_description"].as_str().unwrap_or_default());
        // Entra appends its ids and the time, by line breaks or by spaces.
        let text = text.split("Trace ID").next().unwrap_or_default().trim_start();
        let mut description =
            printable_ascii(text.lines().next().unwrap_or_default().trim_end(), MAX_DESCRIPTION);
        // Microsoft's support asks for both.
        for (name, field) in [("trace", "trace_id"), ("correlation", "correlation_id")] {
            if let Some(id) = body[field].as_str() {
                description.push_str(&format!(" [{name} {}]", self.cleaned(id, MAX_WORD)));
            }
        }
        let codes = body["error_codes"].as_array().map_or(&[][..], Vec::as_slice);
        let codes = codes.iter().filter_map(Value::as_u64).filter_map(|code| u32::try_from(code).ok());
        Some(TokenFault::Refused {
            status,
            error,
            description,
            codes: codes.take(MAX_CODES).collect(),
            secret: None,
        })
    }

    pub(super) fn cleaned(&self, text: &str, limit: usize) -> String {
        printable_ascii(&self.scrubbed(text), limit)
    }

    /// Without anything secret that we sent. Comes before any cutting, and before what is not printable goes.
    fn scrubbed(&self, text: &str) -> String {
        let mut redactor = Redactor::default();
        self.0.iter().for_each(|secret| redactor.add(secret.expose()));
        redactor.redact(text)
    }
}

fn status_fault(answer: &Answer) -> TokenFault {
    let seconds = answer.retry_after.as_deref().map(str::trim);
    // RFC 9110 section 10.2.3 also allows a date, which Entra does not use.
    let seconds = seconds.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let retry_after = seconds.and_then(|text| text.parse().ok()).map(Duration::from_secs);
    TokenFault::Status { status: answer.status, retry_after: retry_after.map(|d| d.min(MAX_RETRY_AFTER)) }
}

/// RFC 6749 section 5.1.
pub(super) fn token(body: &Value) -> Result<Token, TokenFault> {
    let garbage = |what: &str| Err(TokenFault::Garbage(format!("the token service's answer {what}")));
    if !body["token_type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("Bearer")) {
        return garbage("is not for a token of type Bearer");
    }
    let Some(access_token) = body["access_token"].as_str().filter(|token| !token.is_empty()) else {
        return garbage("holds no access token");
    };
    // It goes into an SMTP line.
    if !access_token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return garbage("holds an access token with characters that no token has");
    }
    if access_token.len() > MAX_ACCESS_TOKEN {
        return garbage("holds an access token that is too long for AUTH");
    }
    let Some(seconds) = seconds(&body["expires_in"]) else {
        return garbage("does not say how long the token lives");
    };
    let expires_in = Duration::from_secs(seconds).min(MAX_LIFE);
    if expires_in.is_zero() {
        return garbage("holds a token that is over already");
    }
    let refresh_token = body["refresh_token"].as_str().filter(|token| !token.is_empty());
    Ok(Token {
        access_token: Secret::new(access_token.to_string()),
        expires_in,
        refresh_token: refresh_token.map(|token| Secret::new(token.to_string())),
    })
}

/// RFC 6749 has a number; Azure's version 1 endpoints send a string.
pub(super) fn seconds(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn not_json(body: &[u8]) -> TokenFault {
    let kind = match body.trim_ascii_start().first() {
        None => "is empty",
        Some(b'<') => "is a web page: does a proxy or a sign-in portal answer in its place?",
        Some(_) => "is not JSON",
    };
    TokenFault::Garbage(format!("the token service's answer {kind}"))
}
