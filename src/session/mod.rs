//! The door in: the loopback listener, and one connection of the app.

pub mod accept;
pub mod connection;
pub mod machine;
pub mod options;
pub mod places;
mod auth;
mod incoming;

pub use connection::{AppConnection, Sessions};
