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
pub mod certificate;
mod exchange;
pub mod sign_in;
pub mod token_file;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::credential::Credential;
use crate::identity::exchange::Exchange;
use crate::identity::grant::Token;
use crate::identity::sign_in::{IdentityOptions, SignIn};
use crate::outcome::{Cause, Fault, Stage, TokenFault};
use crate::secret::{Secret, SecretSource};
use crate::telemetry;
use crate::transport::http::Http;

/// A token is renewed this long before its end at the latest (Exchange's high volume endpoint refuses it from there on),
/// where it lives for at least twice as long; and else at 70 % of its life.
const RENEW_BEFORE_END: Duration = Duration::from_secs(10 * 60);

/// A definite refusal is remembered this long, so that a burst of mails is one request.
const REMEMBER_REFUSAL: Duration = Duration::from_secs(10);

/// Any other failure, where the service does not say when to come back. It also begins the renewal's back-off.
const REMEMBER_FAILURE: Duration = Duration::from_secs(1);

/// The longest pause of the renewal's back-off, and of a Retry-After: nothing that a server sends may keep all mail
/// waiting for longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);

/// What became of one renewal in the background.
#[derive(Clone, Debug)]
pub enum RenewalEvent {
    /// There is a new token.
    Renewed {
        /// Which.
        generation: u64,
        /// How long it is handed out.
        good_for: Duration,
        /// When it will be renewed.
        renew_in: Duration,
    },
    /// It failed.
    Failed {
        /// Why.
        fault: Fault,
        /// When it is tried again.
        again_in: Duration,
        /// How long the old token is still handed out; `None` if there is none, and mail waits.
        still_good_for: Option<Duration>,
    },
}

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

    /// How long the certificate that was used last is still valid; `None` where none was used yet.
    pub fn certificate_expires_in(&self, now: SystemTime) -> Option<Duration> {
        let Method::Token(tokens) = &self.method else { return None };
        tokens.exchange.certificate_ends().map(|ends| ends.duration_since(now).unwrap_or_default())
    }

    fn tokens(user: String, margin: Duration, exchange: Exchange) -> Self {
        Self { user, method: Method::Token(Arc::new(Tokens { exchange, margin, state: Mutex::default() })) }
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
            tokens.state().failure = None;
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
        loop {
            // Looked at again after each sleep: a mail may have renewed it meanwhile.
            let due = tokens.state().renewal_due();
            if due.is_some_and(|due| due > Instant::now()) {
                sleep_until(due.unwrap_or_else(Instant::now)).await;
                continue;
            }
            let flight = tokens.join_or_start(&mut tokens.state());
            // A broken exchange would break again at once and for ever: the process ends instead.
            let result = landed(flight).await.expect("the token request's task has panicked");
            let event = tokens.state().event(result);
            on_event(&event);
        }
    }
}

/// The token cache. The lock is never held across an await.
struct Tokens {
    exchange: Exchange,
    /// A token is not handed out in this last part of its life: a mail that waits and streams must not outlive it.
    margin: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The newest token, unless it was refused.
    held: Option<Held>,
    /// How many tokens there have been.
    generation: u64,
    under_way: Option<Flight>,
    failure: Option<Failure>,
}

/// An exchange under way: `None` until it is done.
type Flight = watch::Receiver<Option<Result<Held, Fault>>>;

#[derive(Clone)]
struct Held {
    token: Secret<String>,
    generation: u64,
    good_until: Instant,
    renew_at: Instant,
}

/// The failures since the last token.
struct Failure {
    last: Fault,
    /// Until then mails get `last`, without another exchange.
    remembered_until: Instant,
    /// The renewal's next attempt.
    again_at: Instant,
    in_a_row: u32,
}

impl Tokens {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A good token, and whether it was obtained for this call.
    async fn obtain(self: &Arc<Self>) -> Result<(Held, bool), Fault> {
        let flight = {
            let now = Instant::now();
            let mut state = self.state();
            if let Some(held) = state.held.as_ref().filter(|held| now < held.good_until) {
                return Ok((held.clone(), false));
            }
            if let Some(failure) = state.failure.as_ref().filter(|failure| now < failure.remembered_until) {
                return Err(failure.last.clone());
            }
            self.join_or_start(&mut state)
        };
        let result = landed(flight).await.unwrap_or_else(|| {
            let words = "the token request ended without a result".to_string();
            Err(fault(Cause::Token(TokenFault::Unreachable(words))))
        });
        result.map(|held| (held, true))
    }

    fn join_or_start(self: &Arc<Self>, state: &mut State) -> Flight {
        // An exchange whose task died (a panic) is not under way.
        if let Some(flight) = state.under_way.as_ref().filter(|flight| flight.has_changed().is_ok()) {
            return flight.clone();
        }
        let (done, flight) = watch::channel(None);
        state.under_way = Some(flight.clone());
        let tokens = Arc::clone(self);
        tokio::spawn(async move {
            // The life counts from here: the service's clock ran while the answer was on its way.
            let asked = Instant::now();
            let result = tokens.exchange.run().await;
            let mut state = tokens.state();
            state.under_way = None;
            let result = state.settle(asked, tokens.margin, result);
            drop(state);
            if let Ok(held) = &result {
                let good_for = held.good_until.saturating_duration_since(Instant::now());
                telemetry::token_obtained(good_for, tokens.exchange.certificate_ends());
            }
            done.send_replace(Some(result));
        });
        flight
    }

    fn throw_away(&self, generation: u64) {
        let mut state = self.state();
        if state.held.as_ref().is_some_and(|held| held.generation == generation) {
            state.held = None;
        }
    }
}

impl State {
    fn settle(
        &mut self,
        asked: Instant,
        margin: Duration,
        result: Result<Token, Cause>,
    ) -> Result<Held, Fault> {
        match result {
            Ok(token) => {
                self.generation += 1;
                let held = Held {
                    token: token.access_token,
                    generation: self.generation,
                    good_until: asked + token.expires_in.saturating_sub(margin),
                    renew_at: asked + renew_after(token.expires_in),
                };
                self.held = Some(held.clone());
                self.failure = None;
                Ok(held)
            }
            Err(cause) => {
                let now = Instant::now();
                let in_a_row = self.failure.as_ref().map_or(1, |failure| failure.in_a_row.saturating_add(1));
                let remembered_until = now + remember_for(&cause);
                let last = fault(cause);
                let again_at = remembered_until.max(now + back_off(in_a_row));
                self.failure = Some(Failure { last: last.clone(), remembered_until, again_at, in_a_row });
                Err(last)
            }
        }
    }

    /// `None`: now.
    fn renewal_due(&self) -> Option<Instant> {
        match (&self.failure, &self.held) {
            (Some(failure), _) => Some(failure.again_at),
            (None, Some(held)) => Some(held.renew_at),
            (None, None) => None,
        }
    }

    fn event(&self, result: Result<Held, Fault>) -> RenewalEvent {
        let now = Instant::now();
        let until = |instant: Instant| instant.saturating_duration_since(now);
        match result {
            Ok(held) => RenewalEvent::Renewed {
                generation: held.generation,
                good_for: until(held.good_until),
                renew_in: until(held.renew_at),
            },
            Err(fault) => RenewalEvent::Failed {
                fault,
                again_in: self.renewal_due().map(until).unwrap_or_default(),
                still_good_for: self
                    .held
                    .as_ref()
                    .map(|held| until(held.good_until))
                    .filter(|d| !d.is_zero()),
            },
        }
    }
}

/// The exchange's result; `None` if its task died.
async fn landed(mut flight: Flight) -> Option<Result<Held, Fault>> {
    flight.wait_for(Option::is_some).await.ok().and_then(|result| result.clone())
}

fn renew_after(life: Duration) -> Duration {
    let share = life * 7 / 10;
    if life < 2 * RENEW_BEFORE_END { share } else { share.min(life - RENEW_BEFORE_END) }
}

fn remember_for(cause: &Cause) -> Duration {
    match cause {
        // A file is looked at again at once: to read it costs nothing, and it may have been mended.
        Cause::SetUp(_) => Duration::ZERO,
        Cause::Token(TokenFault::Refused { .. }) => REMEMBER_REFUSAL,
        Cause::Token(TokenFault::Status { retry_after: Some(pause), .. }) => {
            (*pause).clamp(REMEMBER_FAILURE, LONGEST_PAUSE)
        }
        _ => REMEMBER_FAILURE,
    }
}

/// 1 s, 2 s, 4 s … 5 minutes.
fn back_off(in_a_row: u32) -> Duration {
    let doublings = in_a_row.saturating_sub(1).min(16);
    (REMEMBER_FAILURE * 2_u32.pow(doublings)).min(LONGEST_PAUSE)
}

fn fault(cause: Cause) -> Fault {
    Fault::new(Stage::Token, cause)
}

#[cfg(test)]
mod tests;
