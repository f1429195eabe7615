//! What needs no socket: octets and `now` in, steps, replies and header blocks out.

mod smtp_proto;
mod session;
mod dialogue;
mod headers;
mod replies;
mod spool;
mod linear;
mod fuzz;
mod setup;
