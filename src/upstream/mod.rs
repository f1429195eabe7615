//! The way out: everything between a message that is ready and Office 365's answer.

pub mod dial;
pub mod tls;
