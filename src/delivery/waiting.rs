//! The faults of mails that wait, or are not let try.

use std::sync::Arc;
use std::time::Duration;

use crate::outcome::{Cause, Fault, Stage};

/// The fault again, for an app that is not let try before its time.
pub(super) fn remembered(fault: Fault, again_in: Duration) -> Fault {
    Fault::new(fault.stage(), Cause::Remembered(Arc::new(fault), again_in))
}

/// The fault of a mail for which no recipients are left of the day.
pub(super) fn used_up(opens_in: Duration) -> Fault {
    waiting(Cause::UsedUp(opens_in))
}

/// A mail that came to the end of its waiting.
pub(super) fn waiting(cause: Cause) -> Fault {
    Fault::new(Stage::Wait, cause)
}

/// A mail that found no connection for so long.
pub(super) fn in_vain(held: Duration) -> Fault {
    waiting(Cause::HoldEnded(held, None))
}
