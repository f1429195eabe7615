//! What needs no socket: octets and `now` in, steps, replies and header blocks out.

mod smtp_proto;
mod session;
mod dialogue;
mod headers;
mod replies;
mod linear;
mod spool;
mod reports;
mod fuzz;
mod setup;
