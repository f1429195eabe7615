//! mailshim.
pub mod secret;
pub mod config;
pub mod deadlines;
pub mod smtp;
pub mod outcome;
pub mod upstream;
pub mod identity;
