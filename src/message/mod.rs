//! A message on its way: its envelope, where its content comes from, and how much of it is held; and, in [`repair`],
//! what of its header block has to change before Office 365 takes it.

pub mod id;
pub mod envelope;
pub mod budget;
pub mod content;
pub mod header;
pub mod block;
mod tokens;
pub mod phrase;
pub mod address;
pub mod sender;
pub mod shown;
pub mod refusal;
pub mod policy;
pub mod repair;
pub mod prepare;
pub mod record;

pub use budget::{Budget, Share};
pub use content::{Abandoned, Awaited, HeaderBlock, HeldContent, Piece, Source};
pub use envelope::Envelope;
pub use id::MessageId;
pub use prepare::{Message, NotPrepared, prepare};
pub use record::DeliveryRecord;
