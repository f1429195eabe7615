//! The device authorization grant (RFC 8628): a person signs in on another device while we ask whether they have.

use std::time::Duration;

use serde_json::Value;

use super::answer::{Token, seconds};
use super::request::{TokenRequest, path};
use crate::outcome::TokenFault;
use crate::redact::printable_ascii;
use crate::secret::Secret;
use crate::transport::answer::Answer;

/// RFC 8628 section 3.2: where the server does not say how often to ask.
const INTERVAL: Duration = Duration::from_secs(5);

/// A longer or shorter wait between two questions is not believed.
const MAX_INTERVAL: Duration = Duration::from_secs(60);

/// A longer life of the code is not believed; Entra gives 15 minutes.
const MAX_LIFE: Duration = Duration::from_secs(3600);

/// What is kept of the server's words for the person, in octets.
const MAX_MESSAGE: usize = 600;

/// A sign-in that waits for a person.
#[derive(Clone, Debug)]
pub struct DeviceCode {
    /// What we ask with.
    pub code: Secret<String>,
    /// What the person is to do, in one line of printable ASCII: an address and a code.
    pub message: String,
    /// How long the code is good.
    pub expires_in: Duration,
    /// The pause between two questions.
    pub interval: Duration,
}

/// What an answer to a question means.
#[derive(Clone, Debug)]
pub enum Polled {
    /// The person has signed in.
    Granted(Token),
    /// Not yet.
    Pending,
    /// Not yet, and we ask too often: five seconds more between questions (RFC 8628 section 3.5).
    SlowDown,
    /// The person said no.
    Declined,
    /// Too late.
    Expired,
}

/// Asks for a code (RFC 8628 section 3.1).
pub fn device_code(tenant: &str, client_id: &str, scope: &str) -> TokenRequest {
    TokenRequest::to(path(tenant, "devicecode"), &[("client_id", client_id), ("scope", scope)], &[])
}

/// Asks whether the person has signed in (RFC 8628 section 3.4).
pub fn device_token(tenant: &str, client_id: &str, code: &Secret<String>) -> TokenRequest {
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("client_id", client_id),
        ("device_code", code.expose()),
    ];
    TokenRequest::new(tenant, &fields, &[code])
}

impl TokenRequest {
    /// The code in an answer to [`device_code`].
    ///
    /// # Errors
    /// As for [`TokenRequest::interpret`].
    pub fn interpret_device_code(&self, answer: &Answer) -> Result<DeviceCode, TokenFault> {
        self.sent.read(answer, granted)
    }

    /// What an answer to [`device_token`] means.
    ///
    /// # Errors
    /// As for [`TokenRequest::interpret`], for anything that ends the sign-in in another way.
    pub fn interpret_device_token(&self, answer: &Answer) -> Result<Polled, TokenFault> {
        match self.interpret(answer) {
            Ok(token) => Ok(Polled::Granted(token)),
            Err(TokenFault::Refused { error, .. }) if error == "authorization_pending" => Ok(Polled::Pending),
            Err(TokenFault::Refused { error, .. }) if error == "slow_down" => Ok(Polled::SlowDown),
            // Microsoft's word, and the RFC's.
            Err(TokenFault::Refused { error, .. })
                if matches!(error.as_str(), "authorization_declined" | "access_denied") =>
            {
                Ok(Polled::Declined)
            }
            Err(TokenFault::Refused { error, .. })
                if matches!(error.as_str(), "expired_token" | "code_expired") =>
            {
                Ok(Polled::Expired)
            }
            Err(fault) => Err(fault),
        }
    }
}

fn granted(body: &Value) -> Result<DeviceCode, TokenFault> {
    let text = |field: &str| body[field].as_str().filter(|text| !text.is_empty());
    let (Some(code), Some(user_code)) = (text("device_code"), text("user_code")) else {
        return Err(TokenFault::Garbage("the token service's answer holds no device code".to_string()));
    };
    // `verification_url` was Microsoft's name before the RFC.
    let address = text("verification_uri").or_else(|| text("verification_url")).unwrap_or_default();
    let message = text("message").map_or_else(
        || format!("To sign in, open the page {address} in a browser and enter the code {user_code}."),
        ToString::to_string,
    );
    Ok(DeviceCode {
        code: Secret::new(code.to_string()),
        // It is printed on a terminal: no escape sequence of a server may reach it.
        message: printable_ascii(&message, MAX_MESSAGE),
        expires_in: seconds(&body["expires_in"]).map_or(MAX_LIFE, Duration::from_secs).min(MAX_LIFE),
        interval: seconds(&body["interval"])
            .map_or(INTERVAL, Duration::from_secs)
            .clamp(Duration::from_secs(1), MAX_INTERVAL),
    })
}
