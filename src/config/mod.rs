//! The environment in, a valid [`Config`] or every mistake out.
//!
//! Names, defaults and meanings stand in one table, `variables.rs`. The way of a value:
//!
//! 1. `environment.rs`: which variables are set, by value or by `X_FILE`, under which name; envy makes one map of them.
//!    `unknown.rs` judges the names that are not in the table.
//! 2. `whole.rs`, and for the single commands `partial.rs`: each variable is visited once, with its parser, and fills
//!    the options of the room that uses it. What takes more than a line stands in `app.rs`, `application.rs`, `sign_in.rs`, `managed.rs`,
//!    `network.rs`, `policy.rs`, `spool.rs` and `fleet.rs`; plain values are parsed by `value.rs`, the others by their own types.
//!
//! A value is repeated in an error only where it cannot be a secret.

mod variables;
mod error;
mod unknown;
mod cloud;
mod environment;
mod value;
mod app;
mod application;
mod managed;
mod sign_in;
mod network;
mod policy;
mod spool;
mod fleet;
mod whole;
mod partial;
mod setup;
mod report;
#[cfg(test)]
mod tests;

pub use cloud::CLOUDS;
pub use error::ConfigErrors;
pub use fleet::for_scope;
pub use partial::{
    Client, FleetCommand, Login, age, client, fleet_command, http_listen_only, listen_only, login,
    sender_policy, spool_directory, timeout,
};
pub use report::{Report, Row, names_in_force, report};
pub use setup::{SetUp, setup};
pub use sign_in::Way;
pub use variables::{DefaultValue, VARIABLES};
pub use whole::{Config, OnFailure};
