//! The shim against the simulated Office 365, in one process: a file per fault, or family of faults.

mod accepted;
mod idle_connections;
mod pool;
mod any_stage;
mod matrix;
mod starttls_and_tls;
mod missing_extensions;
mod refused_in_a_flight;
mod token_service;
mod sign_in;
mod refused_recipient;
mod app_goes_away;
mod told_once;
mod slow_app;
mod slow_lines;
mod places;
mod broken_stream;
mod hold;
mod shutdown;
mod budget;
mod pacing;
mod identity;
mod ways;
mod policy;
mod minutes;
mod spool;
