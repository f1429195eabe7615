//! The fleet: whether its engine is reached, and what that costs.

use tracing::{info, warn};

use super::alerts::alert;
use super::metrics::metrics;
use super::printable;

/// The engine answers.
pub fn fleet_reached(host: &str, version: &str, replicas: usize) {
    metrics().fleet.reached.set(1);
    info!(
        replicas,
        "the fleet's PostgreSQL {} at {host} is reached: the mailbox's limits are the fleet's",
        printable(version)
    );
}

/// The engine does not answer. `shares`: mail goes on with a share of the limits.
pub fn fleet_not_reached(problem: &str, shares: bool, replicas: usize) {
    let was_reached = metrics().fleet.reached.set(0) == 1;
    metrics().fleet.lost.inc();
    let problem = printable(problem);
    if was_reached {
        let reason = format!("the fleet's PostgreSQL is not reached: {problem}");
        let fix = "Look at the server: mailshim check and mailshim fleet status say what is wrong.";
        alert("degraded", "", &reason, Some(fix));
    }
    match shares {
        true => once_a_minute!(
            "the fleet's PostgreSQL is not reached ({problem}): mail goes on with this replica's share of the limits, 1/{replicas} \
             of the pace over one connection; more such replicas than the mailbox has connections are refused now and then (432)"
        ),
        false => once_a_minute!(
            "the fleet's PostgreSQL is not reached ({problem}): nothing is sent until it is (MAILSHIM_FLEET_UNREACHABLE=hold), \
             and mail is answered with 451 at the end of its hold"
        ),
    }
}

/// Another replica allows itself less.
pub fn fleet_differs(connections: usize, per_minute: usize, per_day: u64) {
    warn!(
        "another replica of the fleet is configured differently: the smallest values count (MAILSHIM_MAX_CONNECTIONS={connections}, \
         MAILSHIM_MESSAGES_PER_MINUTE={per_minute}, MAILSHIM_RECIPIENTS_PER_DAY={per_day})"
    );
}

/// The engine has given a connection of this replica to another: it was not renewed in time.
pub fn fleet_slot_lost(mailbox: &str) {
    warn!(
        "a connection of {} went to another replica, since this one did not renew it in time: it is closed",
        super::masked(mailbox)
    );
}

/// A heartbeat: replicas seen, and connections that this one has.
pub fn fleet_stands(replicas: usize, slots: usize) {
    metrics().fleet.replicas.set(i64::try_from(replicas).unwrap_or(i64::MAX));
    metrics().fleet.slots.set(i64::try_from(slots).unwrap_or(i64::MAX));
}
