//! `mailshim exec`, `healthcheck` and `wait` as processes: the built binary, bash as the app, the simulated Office 365.
//!
//! A named pipe, a line of output or a state in `/proc` is waited for, each within [`harness::BOUND`]; nothing depends on
//! how long something takes.

#[path = "exec/harness.rs"]
mod harness;

#[path = "exec/codes.rs"]
mod codes;
#[path = "exec/failure.rs"]
mod failure;
#[path = "exec/orphans.rs"]
mod orphans;
#[path = "exec/probes.rs"]
mod probes;
#[path = "exec/secrets.rs"]
mod secrets;
#[path = "exec/shutdown.rs"]
mod shutdown;
#[path = "exec/signals.rs"]
mod signals;
#[path = "exec/terminal.rs"]
mod terminal;
