//! The protocol's words, used by both sides: pure functions over bytes, without IO, clock or log.

pub mod invisible;
pub mod path;
pub mod command;
pub mod reply;
pub mod data;
pub mod extension;
pub mod sasl;
