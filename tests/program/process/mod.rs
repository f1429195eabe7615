//! The program as a process: what it says at start, how it ends, what its log holds.

pub mod shim;
pub mod app;
mod start;
mod life;
mod refused;
mod log;
