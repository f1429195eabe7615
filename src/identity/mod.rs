//! Who we are towards Office 365: a mailbox with a token or a password.
//!
//! ```text
//!  a mail ─ credential() ─┬─ a good token is there ───────────────► Xoauth2, at once
//!                         ├─ a failure is remembered ─────────────► its fault, at once
//!                         └─ join the exchange under way, or start one ─► its result
//!  keep_fresh() ── at start, at 70 % of a token's life, after failures ──┘
//! ```
//!
//! At most one exchange is under way, in a task of its own: a mail that is given up stops waiting and nothing else.

pub mod grant;
mod certificate;
pub mod certificate_file;
mod exchange;
mod tokens;
pub mod sign_in;
pub mod token_file;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crate::credential::Credential;
use crate::identity::exchange::Exchange;
use crate::identity::sign_in::{IdentityOptions, SignIn};
use crate::identity::tokens::{Tokens, fault};
use crate::outcome::{Cause, Fault};
use crate::secret::SecretSource;
use crate::transport::http::Http;

pub use tokens::RenewalEvent;

/// Keyed at random in each process: a fingerprint is of no use elsewhere.
static FINGERPRINT: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// One mailbox's identity.
pub struct Identity {
    user: String,
    method: Method,
}

#[derive(Clone)]
enum Method {
    Password(SecretSource),
    Token(Arc<Tokens>),
    /// A connector knows us by address or certificate.
    Nobody,
}

impl Identity {
    /// The one place where a way to sign in becomes an identity.
    pub fn new(options: &IdentityOptions, http: Http) -> Self {
        let user = options.mailbox.to_string();
        match &options.sign_in {
            SignIn::Password(password) => Self { user, method: Method::Password(password.clone()) },
            SignIn::Token(source) => {
                Self::tokens(user, options.token_margin, Exchange::new(source.clone(), http))
            }
            SignIn::None => Self { user, method: Method::Nobody },
        }
    }

    fn tokens(user: String, margin: Duration, exchange: Exchange) -> Self {
        Self { user, method: Method::Token(Tokens::new(exchange, margin)) }
    }

    /// What to sign in with now. May wait for one exchange, which has its own deadline, and may be dropped at any time.
    ///
    /// # Errors
    /// A fault of stage `Token`: why no token could be had, or `SetUp` if the secret cannot be read.
    pub async fn credential(&self) -> Result<Credential, Fault> {
        match &self.method {
            Method::Password(password) => {
                let password = password.read().map_err(|words| fault(Cause::SetUp(words)))?;
                Ok(Credential::Login { user: self.user.clone(), password })
            }
            Method::Nobody => Ok(Credential::Nobody),
            Method::Token(tokens) => {
                let (held, fresh) = tokens.obtain().await?;
                Ok(Credential::Xoauth2 {
                    user: self.user.clone(),
                    token: held.token,
                    generation: held.generation,
                    good_until: held.good_until,
                    fresh,
                })
            }
        }
    }

    /// The mailbox that signs in.
    pub fn mailbox(&self) -> &str {
        &self.user
    }

    /// The same application for another mailbox: one token serves every mailbox that the application was granted.
    #[must_use]
    pub fn of_mailbox(&self, user: &str) -> Self {
        Self { user: user.to_string(), method: self.method.clone() }
    }

    /// Whether it signs in with tokens, not with a password.
    pub const fn is_token(&self) -> bool {
        matches!(self.method, Method::Token(_))
    }

    /// What is signed in with now, as a number that tells nothing of it: it changes when the secret does. `None` if that
    /// cannot be read, or if there is none on this side.
    pub fn fingerprint(&self) -> Option<u64> {
        match &self.method {
            Method::Password(password) => Some(FINGERPRINT.hash_one(password.read().ok()?.expose())),
            Method::Token(tokens) => tokens.exchange.secret().map(|secret| FINGERPRINT.hash_one(secret)),
            Method::Nobody => None,
        }
    }

    /// The secret is another one since the last failure, which is forgotten.
    pub fn secret_changed(&self) {
        if let Method::Token(tokens) = &self.method {
            tokens.forget_failure();
        }
    }

    /// Office 365 refused this credential (535): its token is thrown away, if nobody else has replaced it already.
    /// Returns whether one more attempt, with a fresh token, makes sense: only if this one had come from the cache.
    pub fn refused(&self, credential: &Credential) -> bool {
        match (&self.method, credential) {
            (Method::Token(tokens), Credential::Xoauth2 { generation, fresh, .. }) => {
                tokens.throw_away(*generation);
                !fresh
            }
            _ => false,
        }
    }

    /// Signs in at once and renews each token before it ends, for as long as it is polled. `on_event` hears of each
    /// exchange that it waited for.
    ///
    /// # Panics
    /// If an exchange panicked.
    pub async fn keep_fresh(&self, on_event: impl Fn(&RenewalEvent)) -> ! {
        let Method::Token(tokens) = &self.method else { std::future::pending().await };
        tokens.keep_fresh(on_event).await
    }
}

#[cfg(test)]
mod tests;
