//! What a side signs in with: [`Credential`] towards Office 365, [`AppLogin`] of the app.

use tokio::time::Instant;

use crate::secret::{Secret, SecretSource};

/// What AUTH is done with.
#[derive(Clone, Debug)]
pub enum Credential {
    /// AUTH XOAUTH2.
    Xoauth2 {
        /// The mailbox.
        user: String,
        /// The access token.
        token: Secret<String>,
        /// Which token this is; grows with each one obtained.
        generation: u64,
        /// The end of its use, two minutes before the end of its life: no connection on it is used later.
        good_until: Instant,
        /// Obtained for this very call, not from the cache: if it is refused, another one will not help.
        fresh: bool,
    },
    /// AUTH LOGIN.
    Login {
        /// The mailbox.
        user: String,
        /// Its password.
        password: Secret<String>,
    },
    /// No AUTH: a connector knows us by address or certificate.
    Nobody,
}

impl Credential {
    /// The same, once it has done its work: if it is refused later, another one may help.
    #[must_use]
    pub fn spent(mut self) -> Self {
        if let Self::Xoauth2 { fresh, .. } = &mut self {
            *fresh = false;
        }
        self
    }

    /// Whether it is a token, which can be had anew.
    pub const fn is_token(&self) -> bool {
        matches!(self, Self::Xoauth2 { .. })
    }
}

/// The login that the app must use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppLogin {
    /// User name.
    pub username: String,
    /// Password.
    pub password: SecretSource,
}
