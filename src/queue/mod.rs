//! What every queue of mail has in common, on a disk or in a shared engine: the record of a message that waits, when it is
//! tried again, what is reported of it, and what the operator asks of it. Pure: octets and times in, values out.

pub mod entry;
mod header;
pub mod schedule;
pub mod lifetime;
mod mime;
mod verdict;
mod words;
pub mod report;
pub mod flood;
pub mod request;
