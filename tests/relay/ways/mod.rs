//! The ways to send that are not one mailbox with a token, through the running shim against the simulated Office 365.

mod shim;
mod connector;
mod as_sender;
