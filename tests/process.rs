//! The program as a process: what it says at start, how it ends, what its log holds.

#[path = "process/shim.rs"]
mod shim;
#[path = "process/app.rs"]
mod app;
#[path = "process/start.rs"]
mod start;
#[path = "process/life.rs"]
mod life;
#[path = "process/refused.rs"]
mod refused;
#[path = "process/log.rs"]
mod log;
