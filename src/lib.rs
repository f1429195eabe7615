//! mailshim: a loopback-only SMTP listener that submits what the app beside it sends to Office 365, over
//! authenticated TLS.
//!
//! The path of a message is the order of the modules:
//!
//! 1. [`config`]: the environment, read once, before a port is bound.
//! 2. [`listener`]: a loopback socket accepts the app's connection.
//! 3. [`session`]: a pure machine makes an envelope and canonical content of what the app says, in the words of
//!    [`smtp`].
//! 4. [`message`]: the content is held as far as it may be, and pulled as it is sent: not pulling is the back-pressure.
//! 5. [`handoff`]: direct mode or, later, the spool: who answers for the message.
//! 6. [`relay`]: a turn, a connection, an attempt; another attempt only where nothing can double.
//! 7. [`upstream`]: the connections of one mailbox, each a pure dialogue with a socket around it, signed in by
//!    [`identity`].
//! 8. [`outcome`]: what became of it, and the only place where that turns into a reply to the app.
//!
//! Invariants: a 2xx to the end of the content is Office 365's own; what may pass later is 4xx; nothing leaves but over
//! verified TLS; every wait is in [`deadlines`], every buffer has a named limit; a [`secret`] is never printed.

pub mod config;
pub mod secret;
pub mod certificate;
pub mod deadlines;
pub mod listener;
pub mod session;
pub mod smtp;
pub mod message;
pub mod handoff;
pub mod relay;
pub mod accounts;
pub mod account;
pub mod limits;
pub mod upstream;
pub mod identity;
pub mod outcome;
pub mod wire;
pub mod telemetry;
pub mod cli;
