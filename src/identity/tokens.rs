//! The token cache: one exchange under way at most, in a task of its own, so that a mail that is given up stops waiting
//! and nothing else.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::identity::exchange::Exchange;
use crate::identity::grant::Token;
use crate::outcome::{Cause, Fault, Stage, TokenFault};
use crate::secret::Secret;
use crate::single_flight::{Flight, take_off};
use crate::task;
use crate::telemetry;

/// A token is renewed this long before its end at the latest (Exchange's high volume endpoint refuses it from there on),
/// where it lives for at least twice as long; and else at 70 % of its life.
const RENEW_BEFORE_END: Duration = Duration::from_secs(10 * 60);
/// A token that lives no longer than this is used to its end.
const SHORT_LIFE: Duration = Duration::from_secs(60);
/// A token is not renewed before this, however short its life: each renewal may bring what is left of the same one.
const SOONEST_RENEWAL: Duration = Duration::from_secs(10);

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

/// An exchange under way.
type Exchanging = Flight<Result<HeldToken, Fault>>;

/// The token cache. The lock is never held across an await.
pub(super) struct Tokens {
    pub(super) exchange: Exchange,
    /// A token is not handed out in this last part of its life, unless it lives hardly longer: a mail that waits and
    /// streams must not outlive it.
    margin: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The newest token, unless it was refused.
    held: Option<HeldToken>,
    /// How many tokens there have been.
    generation: u64,
    under_way: Option<Exchanging>,
    failure: Option<Failure>,
}

/// A token, and how long it is handed out.
#[derive(Clone)]
pub(super) struct HeldToken {
    pub(super) token: Secret<String>,
    pub(super) generation: u64,
    pub(super) good_until: Instant,
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
    pub(super) fn new(exchange: Exchange, margin: Duration) -> Arc<Self> {
        Arc::new(Self { exchange, margin, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A good token, and whether it was obtained for this call.
    pub(super) async fn obtain(self: &Arc<Self>) -> Result<(HeldToken, bool), Fault> {
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
        let result = flight.landed().await.unwrap_or_else(|| {
            let words = "the token request ended without a result".to_string();
            Err(fault(Cause::Token(TokenFault::Unreachable(words))))
        });
        result.map(|held| (held, true))
    }

    /// Signs in at once and renews each token before it ends, for as long as it is polled.
    ///
    /// # Panics
    /// If an exchange panicked.
    pub(super) async fn keep_fresh(self: &Arc<Self>, on_event: impl Fn(&RenewalEvent)) -> ! {
        loop {
            // Looked at again after each sleep: a mail may have renewed it meanwhile.
            let due = self.state().renewal_due();
            if due.is_some_and(|due| due > Instant::now()) {
                sleep_until(due.unwrap_or_else(Instant::now)).await;
                continue;
            }
            let flight = self.join_or_start(&mut self.state());
            // A broken exchange would break again at once and for ever: the process ends instead.
            let result = flight.landed().await.expect("the token request's task has panicked");
            let event = self.state().event(result);
            on_event(&event);
        }
    }

    /// Forgets the last failure.
    pub(super) fn forget_failure(&self) {
        self.state().failure = None;
    }

    fn join_or_start(self: &Arc<Self>, state: &mut State) -> Exchanging {
        if let Some(flight) = state.under_way.as_ref().filter(|flight| flight.is_under_way()) {
            return flight.clone();
        }
        let (landing, flight) = take_off();
        state.under_way = Some(flight.clone());
        let tokens = Arc::clone(self);
        task::spawn(async move {
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
            landing.land(result);
        });
        flight
    }

    /// Throws this token away, if nobody else has replaced it already.
    pub(super) fn throw_away(&self, generation: u64) {
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
    ) -> Result<HeldToken, Fault> {
        match result {
            Ok(token) => {
                self.generation += 1;
                let held = HeldToken {
                    token: token.access_token,
                    generation: self.generation,
                    good_until: asked + good_for(token.expires_in, margin),
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

    fn event(&self, result: Result<HeldToken, Fault>) -> RenewalEvent {
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

fn renew_after(life: Duration) -> Duration {
    let share = (life * 7 / 10).max(SOONEST_RENEWAL);
    if life < 2 * RENEW_BEFORE_END { share } else { share.min(life - RENEW_BEFORE_END) }
}

/// How long a token is handed out. Its last part is left alone; but of a life that is not much longer than that part
/// (a platform's cache gives what is left of a token) a minute is used, or all of it: a short token is a token.
fn good_for(life: Duration, margin: Duration) -> Duration {
    life.saturating_sub(margin).max(life.min(SHORT_LIFE))
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

pub(super) fn fault(cause: Cause) -> Fault {
    Fault::new(Stage::Token, cause)
}
