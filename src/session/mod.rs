//! The door in: the loopback listener, and one connection of the app.

pub mod accept;
pub mod connection;
pub mod machine;
pub mod step;
pub mod options;
pub mod places;
pub mod peer;
pub mod repeats;
mod patience;
mod sock_diag;
mod app;
mod auth;
mod incoming;
mod replies;

pub use connection::{Memory, Sessions};
