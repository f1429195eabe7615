//! What the running program tells: `/livez`, `/readyz`, `/metrics`, and the log's level and addresses. A child process each:
//! counters, readiness and the log are one a process.

#[path = "process/app.rs"]
#[allow(dead_code, reason = "shared with the process tests")]
mod app;
#[path = "process/shim.rs"]
#[allow(dead_code, reason = "shared with the process tests")]
mod shim;

#[path = "telemetry/http.rs"]
mod http;
#[path = "telemetry/log.rs"]
mod log;
#[path = "telemetry/metrics.rs"]
mod metrics;
#[path = "telemetry/readiness.rs"]
mod readiness;
#[path = "telemetry/unread.rs"]
mod unread;
