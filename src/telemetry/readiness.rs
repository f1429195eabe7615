//! Whether mail would go out now, as far as the last sign-in says: for people and alerts. No orchestrator should take the
//! app out of service for it.

use std::sync::{Mutex, PoisonError};

use super::metrics::metrics;

/// Why mail would not go out now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotReady(pub String);

static STATE: Mutex<Option<Result<(), NotReady>>> = Mutex::new(None);

/// The last sign-in's result.
///
/// # Errors
/// It failed, with the reason; or there was none yet.
pub fn readiness() -> Result<(), NotReady> {
    let state = STATE.lock().unwrap_or_else(PoisonError::into_inner).clone();
    state.unwrap_or_else(|| Err(NotReady("the first sign-in is under way".to_string())))
}

/// A sign-in ended so.
pub(super) fn set(result: Result<(), String>) {
    metrics().ready.set(i64::from(result.is_ok()));
    *STATE.lock().unwrap_or_else(PoisonError::into_inner) = Some(result.map_err(NotReady));
}
