//! What every queue of mail has in common, on a disk or in a shared engine: the record of a message that waits, when it is
//! tried again, and what is reported of it. Pure: octets and times in, values out.

pub mod entry;
pub mod schedule;
pub mod lifetime;
mod mime;
mod words;
pub mod report;
pub mod flood;
