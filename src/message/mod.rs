//! A message on its way: its envelope, where its content comes from, and how much of it is held; and, in [`repair`],
//! what of its header block has to change before Office 365 takes it.

pub mod id;
pub mod envelope;
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

pub use content::{
    Abandoned, Awaited, Budget, HeaderBlock, HeldContent, MAX_HELD, MAX_HELD_TOGETHER, Piece, Released,
    Source, header_field,
};
pub use envelope::Envelope;
pub use id::MessageId;
pub use prepare::{Message, NotPrepared, Prepared, prepare};
pub use record::DeliveryRecord;
