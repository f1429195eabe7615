//! mailshim.
pub mod secret;
pub mod deadlines;
pub mod smtp;
pub mod outcome;
