//! The real binary: what it prints, how it ends, what it sends, what it tells.

#[path = "../relay/client.rs"]
#[allow(dead_code, reason = "shared with tests/relay")]
mod client;
#[path = "../relay/setup.rs"]
#[allow(dead_code, reason = "shared with tests/relay")]
mod setup;

mod process;
mod telemetry;
mod canary;
mod check;
mod exec;
mod sendmail;
