//! The first rung where the configuration does not hold.

use super::rung::{RUNGS, Rung};
use crate::config::ConfigErrors;

/// Every mistake in it.
pub(super) fn unusable(errors: &ConfigErrors) -> Rung {
    let mut rung = Rung::new(RUNGS[0]);
    for error in errors.iter() {
        rung.see(error.to_string());
    }
    rung.fact("mistakes", errors.iter().map(ToString::to_string).collect::<Vec<_>>());
    let count = errors.iter().count();
    rung.fail(
        if count == 1 {
            "1 mistake in the configuration".to_string()
        } else {
            format!("{count} mistakes in the configuration")
        },
        Some("Correct these variables; mailshim env shows what is in force.".to_string()),
    );
    rung
}
