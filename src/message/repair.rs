//! The header block as it goes to Office 365: the sender policy applied, what is missing added, what must not be seen
//! dropped. All other octets stay, and in their order.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::address;
use super::header::{self, Field};
use super::phrase::encoded_words;
use super::policy::{Given, Policy, Verdict};
use super::refusal::{MAX_OWN_HOPS, Refusal};
use super::shown::{Shown, sole};
use super::{Envelope, HeaderBlock};
use crate::smtp::command::Recipient;
use crate::smtp::path::Address;

/// The most Received fields: RFC 5321 section 6.3 asks for a limit of at least 100. A lower one would refuse mail that
/// Office 365 takes (it stops its own loops after 20 rounds).
const MAX_HOPS: usize = 100;

/// Something that was changed, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The reverse-path.
    ReversePath,
    /// From, by the policy.
    From,
    /// Reply-To was added.
    ReplyTo,
    /// Sender was dropped.
    SenderDropped,
    /// Bcc or Resent-Bcc was dropped.
    BccDropped,
    /// Date was added.
    Date,
    /// Message-ID was added.
    MessageId,
    /// MIME-Version was added.
    MimeVersion,
    /// Auto-Submitted was added, in place of a null reverse-path.
    AutoSubmitted,
    /// The header block ended without a blank line.
    BlankLine,
    /// Something before the first field was dropped.
    Noise,
    /// A line that was no field became a continuation.
    Continuation,
    /// A field that a DKIM-Signature covers was changed, so that the signature does not hold.
    Signature,
    /// A recipient that no world has was replaced by MAILSHIM_LOCAL_TO.
    LocalTo,
    /// The recipients were replaced by MAILSHIM_REDIRECT_TO.
    Redirected,
}

impl Note {
    /// A stable word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReversePath => "reverse_path",
            Self::From => "from",
            Self::ReplyTo => "reply_to_added",
            Self::SenderDropped => "sender_dropped",
            Self::BccDropped => "bcc_dropped",
            Self::Date => "date_added",
            Self::MessageId => "message_id_added",
            Self::MimeVersion => "mime_version_added",
            Self::AutoSubmitted => "auto_submitted_added",
            Self::BlankLine => "blank_line_added",
            Self::Noise => "leading_noise_dropped",
            Self::Continuation => "continuation_indented",
            Self::Signature => "signature_broken",
            Self::LocalTo => "local_to",
            Self::Redirected => "redirected",
        }
    }
}

/// A message as the app gave it.
#[derive(Clone, Copy, Debug)]
pub struct Original<'a> {
    /// The envelope.
    pub envelope: &'a Envelope,
    /// The header block.
    pub header: &'a HeaderBlock,
    /// The body has octets above 127, as far as is known.
    pub is_eight_bit: bool,
}

/// What a message is given on its way.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    /// For Date and Received.
    pub now: SystemTime,
    /// The message's name in our log, for Received.
    pub id: &'a str,
    /// What no other message in the world has, for Message-ID: dot-atom text.
    pub unique: &'a str,
}

/// A message as it goes to Office 365.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// The envelope.
    pub envelope: Envelope,
    /// The header block, with the blank line behind it where a body may follow.
    pub block: Vec<u8>,
    /// What was changed.
    pub notes: Vec<Note>,
    /// The sender as Office 365 will see it: [`Shown::key`].
    pub sender: String,
    /// MAILSHIM_FROM stands in From because of the policy, not the app.
    pub from_is_ours: bool,
    /// The app's reverse-path was null: this message must never cause another one.
    pub was_null_sender: bool,
}

/// What the first pass over the fields finds.
#[derive(Default)]
struct Seen {
    from: Vec<address::List>,
    sender: Vec<address::List>,
    /// A From or Sender is not one mailbox beyond doubt.
    from_is_unclear: bool,
    sender_is_unclear: bool,
    /// Names of fields that a DKIM-Signature covers, in lower case.
    signed: HashSet<String>,
    has_reply_to: bool,
    has_date: bool,
    has_message_id: bool,
    has_mime_version: bool,
    has_auto_submitted: bool,
    is_answer: bool,
    is_mime: bool,
    is_partial: bool,
    hops: usize,
    own_hops: usize,
}

impl Seen {
    fn field(&mut self, field: &Field<'_>, own: &str, reverse_path: Option<&Address>) {
        let has_value = || !field.value().text.is_empty();
        if field.is("From") {
            let value = field.value();
            self.from.push(address::author(&value, reverse_path));
            self.from_is_unclear |= sole(&value).is_none();
        } else if field.is("Sender") {
            let value = field.value();
            self.sender.push(address::author(&value, reverse_path));
            self.sender_is_unclear |= sole(&value).is_none();
        } else if field.is("Received") {
            self.hops += 1;
            // The next hop may have folded it elsewhere.
            self.own_hops += usize::from(single_blanks(&field.value().text).contains(own));
        } else if field.is("DKIM-Signature") {
            self.signed.extend(signed_names(&field.value().text));
        } else if field.is("Content-Type") {
            self.is_mime = true;
            let value = field.value().text.to_ascii_lowercase();
            let kind: String = value.split([';', '(']).next().unwrap_or("").split_whitespace().collect();
            self.is_partial |= kind == "message/partial";
            self.is_answer |= kind == "multipart/report";
        } else {
            self.has_reply_to |= field.is("Reply-To") && has_value();
            self.has_date |= field.is("Date") && has_value();
            self.has_message_id |= field.is("Message-ID") && has_value();
            self.has_mime_version |= field.is("MIME-Version");
            self.has_auto_submitted |= field.is("Auto-Submitted") && has_value();
            self.is_answer |= field.is("In-Reply-To") || field.is("References");
            self.is_mime |= field.is("Content-Transfer-Encoding");
        }
    }
}

/// The names in a signature's `h=` (RFC 6376 section 3.5), in lower case.
fn signed_names(signature: &str) -> impl Iterator<Item = String> {
    let tag = signature.split(';').find_map(|tag| {
        let (name, value) = tag.split_once('=')?;
        (name.trim() == "h").then_some(value)
    });
    tag.unwrap_or_default().split(':').map(|name| name.trim().to_ascii_lowercase())
}

/// The word behind `by <hostname>` that marks a Received field as ours.
const OURS: &str = "(mailshim)";

/// Applies the policy.
///
/// # Errors
/// The message will never pass.
pub fn rewrite(given: &Original<'_>, policy: &Policy, stamp: &Stamp<'_>) -> Result<Rewritten, Refusal> {
    if given.header.fields.len() > header::MAX_HEADER_BLOCK {
        return Err(Refusal::HeaderTooLong);
    }
    if given.header.shows_bcc {
        return Err(Refusal::BccShown);
    }
    let own = format!("by {} {OURS}", policy.hostname);
    let mut seen = Seen::default();
    let reverse_path = given.envelope.mail.reverse_path.as_ref();
    header::fields(&given.header.fields).for_each(|field| seen.field(&field, &own, reverse_path));
    refuse(&seen, policy)?;
    let sender = Given {
        reverse_path: given.envelope.mail.reverse_path.clone(),
        from: std::mem::take(&mut seen.from),
        sender: std::mem::take(&mut seen.sender),
        has_reply_to: seen.has_reply_to,
        from_is_signed: seen.signed.contains("from"),
        from_is_unclear: seen.from_is_unclear,
        sender_is_unclear: seen.sender_is_unclear,
    };
    let verdict = policy.decide(&sender);
    let from_is_ours = verdict.from_is_ours;
    let date = OffsetDateTime::from(stamp.now).format(&Rfc2822).unwrap_or_default();
    let block = Vec::with_capacity(given.header.fields.len() + 512);
    let mut writer = Writer { given, policy, verdict, seen, block, notes: Vec::new() };
    let envelope = writer.envelope();
    // RFC 5321 section 4.4, without what a stranger could learn of the network that the app stands in.
    let received = format!("Received: from localhost {own} with ESMTP id {};\r\n\t{date}\r\n", stamp.id);
    writer.block.extend_from_slice(received.as_bytes());
    writer.mended();
    writer.copy();
    writer.add_missing(&date, &format!("<{}@{}>", stamp.unique, policy.domain));
    writer.blank_line();
    let was_null_sender = given.envelope.mail.reverse_path.is_none();
    let (block, notes) = (writer.block, writer.notes);
    let shown = Shown::of(&block);
    policy.guard(&shown, envelope.mail.reverse_path.as_ref())?;
    let sender = shown.key(envelope.mail.reverse_path.as_ref());
    Ok(Rewritten { envelope, block, notes, sender, from_is_ours, was_null_sender })
}

fn refuse(seen: &Seen, policy: &Policy) -> Result<(), Refusal> {
    if seen.own_hops >= MAX_OWN_HOPS {
        return Err(Refusal::Loop);
    }
    if seen.hops > MAX_HOPS {
        return Err(Refusal::TooManyHops(seen.hops));
    }
    if seen.is_partial {
        return Err(Refusal::Partial);
    }
    let authors = seen.from.iter().flat_map(|list| &list.mailboxes);
    let mut addresses = authors.filter_map(|mailbox| mailbox.address.as_ref());
    if !addresses.all(|address| policy.judge_sender(address)) {
        return Err(Refusal::SenderNotAllowed("From"));
    }
    Ok(())
}

/// The second pass: everything is known, the new block is written.
struct Writer<'a> {
    given: &'a Original<'a>,
    policy: &'a Policy,
    verdict: Verdict,
    seen: Seen,
    block: Vec<u8>,
    notes: Vec<Note>,
}

impl Writer<'_> {
    fn envelope(&mut self) -> Envelope {
        let mut envelope = self.given.envelope.clone();
        if envelope.mail.reverse_path != self.verdict.reverse_path {
            envelope.mail.reverse_path.clone_from(&self.verdict.reverse_path);
            self.notes.push(Note::ReversePath);
        }
        if let Some(address) = &self.policy.redirect_to {
            envelope.recipients = vec![Recipient { address: address.clone(), notify: None, orcpt: None }];
            self.notes.push(Note::Redirected);
        } else {
            self.local(&mut envelope.recipients);
        }
        envelope
    }

    /// Gives the mail of recipients that no world has to MAILSHIM_LOCAL_TO: once, however many they are.
    fn local(&mut self, recipients: &mut Vec<Recipient>) {
        let Some(instead) = &self.policy.local_to else { return };
        let is_local =
            |recipient: &Recipient| self.policy.recipient(&recipient.address) != &recipient.address;
        if !recipients.iter().any(is_local) {
            return;
        }
        let mut has_it = recipients.iter().any(|recipient| recipient.address == *instead);
        recipients.retain_mut(|recipient| {
            if !is_local(recipient) {
                return true;
            }
            recipient.address = instead.clone();
            !std::mem::replace(&mut has_it, true)
        });
        self.notes.push(Note::LocalTo);
    }

    /// The fields as they came, but for those that the policy names.
    fn copy(&mut self) {
        let mut from = self.verdict.from.take();
        let replaces_from = from.is_some();
        for field in header::fields(&self.given.header.fields) {
            if field.is("Bcc") || field.is("Resent-Bcc") {
                self.changes(if field.is("Bcc") { "bcc" } else { "resent-bcc" });
                self.note_once(Note::BccDropped);
            } else if field.is("From") && replaces_from {
                // The first makes place for the new one, the others go.
                self.from(from.take());
            } else if field.is("Sender") && self.verdict.drop_sender {
                self.changes("sender");
                self.note_once(Note::SenderDropped);
            } else if self.is_replaced_if_empty(&field) && field.value().text.is_empty() {
                // A field of this kind is added below, and there may be one only (RFC 5322 section 3.6).
            } else {
                self.block.extend_from_slice(field.raw());
                if !self.block.ends_with(b"\r\n") {
                    self.block.extend_from_slice(b"\r\n");
                }
            }
        }
        self.from(from);
    }

    fn from(&mut self, value: Option<String>) {
        if let Some(value) = value {
            header::append(&mut self.block, "From", &value);
            self.changes("from");
            self.notes.push(Note::From);
        }
    }

    /// Something of this field changes.
    fn changes(&mut self, name: &str) {
        if self.seen.signed.contains(&name.to_ascii_lowercase()) {
            self.note_once(Note::Signature);
        }
    }

    fn mended(&mut self) {
        let repairs = &self.given.header.repairs;
        if repairs.noise {
            self.notes.push(Note::Noise);
        }
        if !repairs.continued.is_empty() {
            self.notes.push(Note::Continuation);
        }
        repairs.continued.iter().for_each(|name| self.changes(name));
    }

    fn note_once(&mut self, note: Note) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn is_replaced_if_empty(&self, field: &Field<'_>) -> bool {
        (field.is("Date") && !self.seen.has_date)
            || (field.is("Message-ID") && !self.seen.has_message_id)
            || (field.is("Reply-To") && self.verdict.reply_to.is_some())
            || (field.is("Auto-Submitted") && self.needs_auto_submitted())
    }

    const fn needs_auto_submitted(&self) -> bool {
        self.verdict.null_replaced && !self.seen.has_auto_submitted
    }

    fn add_missing(&mut self, date: &str, message_id: &str) {
        if self.policy.redirect_to.is_some() {
            let list = originals(&self.given.envelope.recipients);
            header::append(&mut self.block, "X-Mailshim-Original-To", &list);
        }
        let eight_bit = self.given.is_eight_bit || self.given.envelope.is_eight_bit();
        let needs_mime = (self.seen.is_mime || eight_bit) && !self.seen.has_mime_version;
        // RFC 3834 section 5: what the null reverse-path said, said in another place.
        let submitted = if self.seen.is_answer { "auto-replied" } else { "auto-generated" };
        let reply_to = self.verdict.reply_to.take();
        let missing = [
            (Note::ReplyTo, "Reply-To", reply_to.as_deref()),
            (Note::Date, "Date", (!self.seen.has_date).then_some(date)),
            (Note::MessageId, "Message-ID", (!self.seen.has_message_id).then_some(message_id)),
            (Note::MimeVersion, "MIME-Version", needs_mime.then_some("1.0")),
            (Note::AutoSubmitted, "Auto-Submitted", self.needs_auto_submitted().then_some(submitted)),
        ];
        for (note, name, value) in missing {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                header::append(&mut self.block, name, value);
                self.changes(name);
                self.notes.push(note);
            }
        }
    }

    fn blank_line(&mut self) {
        if !self.given.header.has_blank_line {
            self.notes.push(Note::BlankLine);
        }
        self.block.extend_from_slice(b"\r\n");
    }
}

/// The longest list of original recipients, in octets: all of them might not fit into a header block.
const MAX_ORIGINALS: usize = 32 * 1024;

fn originals(recipients: &[Recipient]) -> String {
    let mut list = String::new();
    for (index, recipient) in recipients.iter().enumerate() {
        let address = recipient.address.as_str();
        let shown = if address.is_ascii() { address.to_string() } else { encoded_words(address) };
        if list.len() + shown.len() > MAX_ORIGINALS {
            let _ = write!(list, ", and {} more", recipients.len() - index);
            break;
        }
        let separator = if index > 0 { ", " } else { "" };
        let _ = write!(list, "{separator}{}", single_blanks(&shown));
    }
    list
}

/// A quoted local part may hold blanks, and runs of them.
fn single_blanks(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
