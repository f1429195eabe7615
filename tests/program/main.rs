//! The real binary: what it prints, how it ends, what it sends, what it tells.

mod process;
mod telemetry;
mod canary;
mod memory;
mod check;
mod login;
mod exec;
mod sendmail;
mod fleet;
mod spool;
mod queue;
mod spool_faults;
mod status;
mod alert;
mod soak;
