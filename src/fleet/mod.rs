//! What the replicas of a fleet share, on PostgreSQL: one mailbox's pace, connections, pauses, breaker and recipients a
//! day. No content of a mail goes there.
//!
//! ```text
//!  keeper ── connects, renews what is held, learns how things stand ──► News ──► delivery/gate.rs
//!  a mail ── slot() ─► a Term, with which a connection is opened ── reserve() ─► its time
//!  teller ── what Office 365 said, slots that are given back: nobody waits for it
//! ```
//!
//! The engine's clock is the only one; it gives durations. A right counts from before the question, so that this replica
//! never believes in it for longer than the engine does.

pub mod engine;
mod keeper;
mod member;
pub mod options;
mod pace;
mod schema;
mod slots;
pub mod status;

pub use member::{Concern, Fleet, FleetMailbox, News, Shares};
pub use options::{FleetAuth, FleetOptions, FleetPassword, Unreachable};
pub use pace::{Booking, Reserved};
pub use schema::{init, script};
pub use slots::Denied;
