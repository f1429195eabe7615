//! The spool on a disk: mail that is durable before the app hears its 250, and waits there until it is delivered.
//!
//! ```text
//! MAILSHIM_SPOOL_DIR/mailshim/
//!   lock        held by the one shim that uses the directory
//!   queue/      mail that waits: one file a message, its name is all that the index needs
//!   dead/       mail that was given up, with what was said about it
//!   damaged/    files whose checksum does not fit: never delivered, never deleted
//!   requests/   what `mailshim queue` asks the running shim to do
//! ```
//!
//! A message is in exactly one directory. It comes there by one rename, with both directories synced; what a crash leaves
//! in a file stands in [`crate::queue::entry`]. All that changes a file goes through one thread ([`commit`]), in batches:
//! that is where mail becomes durable.

mod clock;
mod index;
mod commit;
mod store;
mod put;
mod dead;
mod reading;
mod tidy;
mod claim;
mod examine;
mod mount;

pub use claim::{Claimed, Then};
pub use examine::{Doubt, Examination, Lying, Unfit, examine, warning_of};
pub use mount::Mount;
pub use put::PutFault;
pub use store::{Phase, SpoolOptions, Store, TRY_AGAIN, left_in};
