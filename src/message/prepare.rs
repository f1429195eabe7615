//! A message made ready to send: the policy applied to what the app gave.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::SystemTime;

use bytes::Bytes;

use super::block::Repairs;
use super::content::{Abandoned, HeaderBlock, HeldContent, Missing};
use super::envelope::Envelope;
use super::header::{self, Field};
use super::id::MessageId;
use super::policy::Policy;
use super::refusal::Refusal;
use super::repair::{self, Note, Original, Rewritten, Stamp};

/// A message as it goes to Office 365, without its content: all that decides on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its name in the log.
    pub id: MessageId,
    /// The envelope, with the policy applied.
    pub envelope: Envelope,
    /// The sender as Office 365 will see it, in all that it judges: envelope, From, Sender, Resent-From, Resent-Sender.
    /// What it refuses of one sender is remembered of that one alone. Empty where none can be told.
    pub sender: String,
    /// MAILSHIM_FROM stands in From because of the policy: that it is refused is no fault of the message.
    pub from_is_ours: bool,
    /// The app's reverse-path was null: this message must never cause another one.
    pub was_null_sender: bool,
}

/// A message that is ready to send, and what its log line says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The message; its content stands in the content that was given.
    pub message: Message,
    /// The header block that the app gave, mended where it could not be read otherwise.
    pub header: Bytes,
    /// What was changed.
    pub changes: Vec<Note>,
    /// The Message-ID: the app's, or the one that was added.
    pub message_id: Option<String>,
}

/// Why a message is not ready to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotPrepared {
    /// It will never pass.
    Unsendable(Refusal),
    /// Its content will not become whole.
    Abandoned(Abandoned),
    /// There is no memory for its header block now.
    NoRoom,
}

impl From<Refusal> for NotPrepared {
    fn from(refusal: Refusal) -> Self {
        Self::Unsendable(refusal)
    }
}

impl From<Missing> for NotPrepared {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Abandoned(why) => Self::Abandoned(why),
            Missing::NoRoom => Self::NoRoom,
        }
    }
}

impl From<Abandoned> for NotPrepared {
    fn from(why: Abandoned) -> Self {
        Self::Abandoned(why)
    }
}

/// Applies the policy to the envelope and to the header block. Call it before anything of the content is sent.
///
/// # Errors
/// The message will never pass, its content will not become whole, or there is no room for its header block.
pub async fn prepare(
    id: MessageId,
    envelope: &Envelope,
    content: &mut HeldContent<'_>,
    policy: &Policy,
    now: SystemTime,
) -> Result<Prepared, NotPrepared> {
    let block = content.take_header_block().await?.ok_or(Refusal::HeaderTooLong)?;
    let original =
        Original { envelope, header: &block, is_eight_bit: content.kept().any(|chunk| !chunk.is_ascii()) };
    let shown_id = id.to_string();
    let stamp = Stamp { now, id: &shown_id, unique: &unique(&shown_id) };
    let rewritten = repair::rewrite(&original, policy, &stamp)?;
    let mut envelope = rewritten.envelope;
    // What the app announced was its own.
    let size = |size: u64| size.saturating_sub(block.taken as u64) + rewritten.block.len() as u64;
    envelope.mail.size = envelope.mail.size.map(size);
    let message_id = header::first(&rewritten.block, "Message-ID");
    content.put_header_block(rewritten.block);
    let message = Message {
        id,
        envelope,
        sender: rewritten.sender,
        from_is_ours: rewritten.from_is_ours,
        was_null_sender: rewritten.was_null_sender,
    };
    Ok(Prepared { message, header: block.fields, changes: rewritten.notes, message_id })
}

/// A message that was made ready before, as the app gave it.
#[derive(Clone, Copy, Debug)]
pub struct Again<'a> {
    /// Its name in the log.
    pub id: &'a str,
    /// The envelope.
    pub envelope: &'a Envelope,
    /// The header block, mended.
    pub header: &'a [u8],
    /// The Message-ID that it was given, or had.
    pub message_id: Option<&'a str>,
    /// The body has octets above 127.
    pub is_eight_bit: bool,
    /// When it was accepted.
    pub accepted: SystemTime,
}

/// Applies the policy once more, to a message that waits. It stays the same message: Date and Message-ID are those that it
/// was given, so that a copy that Office 365 has already is known for one.
///
/// # Errors
/// With this policy the message will never pass.
pub fn prepare_again(given: &Again<'_>, policy: &Policy) -> Result<Rewritten, Refusal> {
    let is_empty = |field: &Field<'_>| field.is("Message-ID") && field.value().text.is_empty();
    let mut fields: Vec<u8> = header::fields(given.header)
        .filter(|field| !is_empty(field))
        .flat_map(|field| field.raw().to_vec())
        .collect();
    let has_one = header::fields(&fields).any(|field| field.is("Message-ID"));
    let known = given.message_id.filter(|id| !id.is_empty() && !id.contains(char::is_control));
    if let Some(id) = known.filter(|_| !has_one) {
        if !fields.is_empty() && !fields.ends_with(b"\r\n") {
            fields.extend_from_slice(b"\r\n");
        }
        header::append(&mut fields, "Message-ID", id);
    }
    let block = HeaderBlock {
        taken: fields.len(),
        fields: fields.into(),
        repairs: Repairs::default(),
        has_blank_line: true,
        shows_bcc: false,
    };
    let original = Original { envelope: given.envelope, header: &block, is_eight_bit: given.is_eight_bit };
    let stamp = Stamp { now: given.accepted, id: given.id, unique: &unique(given.id) };
    repair::rewrite(&original, policy, &stamp)
}

/// A name that no other message in the world has. The log's would not do: two replicas that start in the same second
/// use the same ones, and Exchange drops what it takes for a copy.
fn unique(id: &str) -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{id}.{:016x}", random())
}
