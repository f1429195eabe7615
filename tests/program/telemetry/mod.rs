//! What the running program tells: `/livez`, `/readyz`, `/metrics`, and the log's level and addresses. A child process each:
//! counters, readiness and the log are one a process.

pub mod http;
mod log;
mod metrics;
mod readiness;
mod unread;
mod watching;
