//! The protocol's words, used by both sides: pure functions over bytes, without IO, clock or log.

pub mod reply;
