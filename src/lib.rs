//! mailshim: a loopback-only SMTP listener that submits what the app beside it sends to Office 365, over
//! authenticated TLS.
//!
//! The way of a message, each step with the room that has it; docs/flow.md goes it file by file:
//!
//! 1. [`config`]: the environment, read once, before a port is bound; [`cli`] wires the rooms with what it says.
//! 2. [`session`]: a loopback socket accepts the app's connection, and a pure machine makes an envelope and canonical
//!    content of what the app says, in the words of [`smtp`].
//! 3. [`message`]: the content is held as far as it may be, and pulled as it is sent: not pulling is the back-pressure.
//! 4. [`delivery`]: who answers for the message; a turn, a connection, an attempt; another attempt only where nothing
//!    can double.
//! 5. [`upstream`]: the connections of one mailbox, each a pure dialogue with a socket around it that [`transport`]
//!    made, signed in by [`identity`].
//! 6. [`spool`]: with a spool 4 and 5 come after the app's answer; what waits is a record of [`queue`] on a disk.
//! 7. [`outcome`]: what became of it, and the only place where that turns into a reply to the app.
//!
//! The floors. A room imports what its line says, and itself; a room beside it only where the line names that floor.
//! `config` takes nothing of a room but the options that it fills, a command of `cli` nothing of another command. No
//! files need each other in a circle. tests/rules holds all of it, this table too.
//!
//! | floor | rooms | may import |
//! |---|---|---|
//! | 9 | `main` `cli` | floors up to 9 |
//! | 8.5 | `config` | floors up to 8 |
//! | 8 | `session` | floors up to 4, `telemetry`, `delivery` |
//! | 7 | `delivery` | floors up to 6 |
//! | 6 | `upstream` `identity` `spool` `fleet` `alert` | floors up to 5 |
//! | 5 | `telemetry` `transport` | floors up to 4 |
//! | 4 | `outcome` `queue` | floors up to 3 |
//! | 3 | `message` | floors up to 2 |
//! | 2 | `smtp` | `secret` |
//! | 1 | `wire` `secret` `redact` `names` `deadlines` `life` `term` `durable` `single_flight` `task` | nothing of ours |
//! | 1 | `credential` | `secret` |
//!
//! Invariants: a 2xx to the end of the content is Office 365's own, or with a spool says that the mail is durable; what
//! may pass later is 4xx; nothing leaves but over verified TLS; every wait is in [`deadlines`], every buffer has a named
//! limit; a [`secret`] is never printed.

#![allow(rustdoc::private_intra_doc_links, reason = "the documentation is made with private items")]

#[doc(hidden)]
pub mod testing;
mod cli;
mod config;
mod session;
mod delivery;
mod upstream;
mod identity;
mod spool;
mod fleet;
mod alert;
mod telemetry;
mod transport;
mod outcome;
mod queue;
mod message;
mod smtp;
mod wire;
mod secret;
mod redact;
mod credential;
mod names;
mod deadlines;
mod life;
mod term;
mod durable;
mod single_flight;
mod task;

pub use cli::main;
