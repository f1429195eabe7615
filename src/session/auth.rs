//! The app's sign-in: one SASL exchange (RFC 4954 section 4), pure.

use crate::smtp::command::Mechanism;
use crate::smtp::reply::Reply;
use crate::smtp::sasl::{self, Login};

/// An exchange that waits for the app's next response.
pub(super) enum Exchange {
    Plain,
    LoginUsername,
    LoginPassword(Vec<u8>),
}

impl std::fmt::Debug for Exchange {
    /// The response may be a password that was typed into the wrong field.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exchange")
    }
}

/// Where a response leads.
pub(super) enum Progress {
    /// A prompt, still encoded, and the exchange that waits for its answer.
    Challenge(Exchange, &'static str),
    /// What the app signs in with.
    Login(Login),
    /// The exchange has failed.
    Refused(Reply),
}

impl Exchange {
    /// AUTH with its initial response, if there is one.
    pub(super) fn begin(mechanism: Mechanism, initial: Option<&str>) -> Progress {
        let (exchange, prompt) = match mechanism {
            Mechanism::Plain => (Self::Plain, ""),
            Mechanism::Login => (Self::LoginUsername, sasl::PROMPT_USERNAME),
        };
        match initial {
            Some(response) => exchange.respond(response.as_bytes()),
            None => Progress::Challenge(exchange, prompt),
        }
    }

    /// One line of the app.
    pub(super) fn respond(self, response: &[u8]) -> Progress {
        let refused = |code, text: &str| Progress::Refused(Reply::new(code, text));
        let response = response.trim_ascii();
        if response == b"*" {
            return refused(501, "5.7.0 Authentication cancelled");
        }
        let Some(response) = sasl::decode(response) else {
            return refused(501, "5.5.2 Not base64");
        };
        match self {
            Self::LoginUsername => Progress::Challenge(Self::LoginPassword(response), sasl::PROMPT_PASSWORD),
            Self::LoginPassword(username) => Progress::Login(Login::new(username, response)),
            Self::Plain => match sasl::plain(&response) {
                Some(login) => Progress::Login(login),
                None => refused(501, "5.5.2 Not a response of AUTH PLAIN"),
            },
        }
    }
}
