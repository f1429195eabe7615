//! `mailshim exec`, `healthcheck` and `wait` as processes: the built binary, bash as the app, the simulated Office 365.
//!
//! A named pipe, a line of output or a state in `/proc` is waited for, each within [`harness::BOUND`]; nothing depends on
//! how long something takes.

mod harness;

mod codes;
mod failure;
mod orphans;
mod probes;
mod secrets;
mod shutdown;
mod signals;
mod terminal;
