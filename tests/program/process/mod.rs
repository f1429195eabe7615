//! The program as a process: what it says at start, how it ends, what its log holds.

mod start;
mod life;
mod refused;
mod log;

/// What the app sends: Date is missing.
pub const MAIL: &str = "Subject: process\r\nFrom: <app@contoso.com>\r\nMessage-ID: <1@erp>\r\n\r\nbody\r\n";
