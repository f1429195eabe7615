//! The simulator driven by a plain client.

mod client;
mod dialogue;
mod faults;
mod grants;
