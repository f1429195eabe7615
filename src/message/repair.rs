//! The header block as it goes to Office 365: the sender policy applied, what is missing added, what must not be seen
//! dropped. All other octets stay, and in their order.

use std::fmt::{self, Write as _};
use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::Envelope;
use super::address::{self, encoded_words};
use super::header::{self, Field};
use super::policy::{Given, Policy, Verdict};
use crate::smtp::command::Recipient;

/// The most Received fields: RFC 5321 section 6.3 asks for a limit of at least 100. A lower one would refuse mail that
/// Office 365 takes (it stops its own loops after 20 rounds).
const MAX_HOPS: usize = 100;
/// A message that was here so often already goes in a circle, which each round pays for with a recipient's quota.
const MAX_OWN_HOPS: usize = 3;

/// Why a message will never pass: told to the app without troubling Office 365.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The header block is longer than [`header::MAX_HEADER_BLOCK`].
    HeaderTooLong,
    /// Too many Received fields: how many.
    TooManyHops(usize),
    /// It has passed through here too often.
    Loop,
    /// `message/partial` (RFC 2046 section 5.2.2): Exchange refuses it.
    Partial,
    /// From names a sender that is not in MAILSHIM_ALLOWED_SENDERS.
    SenderNotAllowed,
    /// Envelope and From name different senders, of which one signs in as itself.
    SendersDiffer,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeaderTooLong => {
                let kibibytes = header::MAX_HEADER_BLOCK / 1024;
                write!(f, "Header size exceeds fixed maximum size ({kibibytes} KiB)")
            }
            Self::TooManyHops(hops) => write!(f, "Hop count exceeded ({hops} Received fields), a mail loop"),
            Self::Loop => {
                write!(f, "a mail loop: this message came through here {MAX_OWN_HOPS} times before")
            }
            Self::Partial => f.write_str("Messages of type message/partial are not supported"),
            Self::SendersDiffer => f.write_str(
                "envelope and From name different senders, and a sender of MAILSHIM_LOGIN_AS_SENDER must be both",
            ),
            Self::SenderNotAllowed => f.write_str("the sender in From is not in MAILSHIM_ALLOWED_SENDERS"),
        }
    }
}

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
    /// A line ended the header block without being blank.
    BlankLine,
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
            Self::Redirected => "redirected",
        }
    }
}

/// A message as the app gave it.
#[derive(Clone, Copy, Debug)]
pub struct Original<'a> {
    /// The envelope.
    pub envelope: &'a Envelope,
    /// The header block's fields.
    pub fields: &'a [u8],
    /// What follows the fields.
    pub body: Body,
    /// The body has octets above 127, as far as is known.
    pub is_eight_bit: bool,
}

/// What follows the fields of a header block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing, not even a blank line.
    Missing,
    /// A blank line, and what there is behind it.
    BehindBlankLine,
    /// A body without a blank line before it.
    AtOnce,
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
    fn field(&mut self, field: &Field<'_>, own: &str) {
        let has_value = || !field.value().text.is_empty();
        if field.is("From") {
            self.from.push(address::parse(&field.value()));
        } else if field.is("Sender") {
            self.sender.push(address::parse(&field.value()));
        } else if field.is("Received") {
            self.hops += 1;
            // The next hop may have folded it elsewhere.
            self.own_hops += usize::from(single_blanks(&field.value().text).contains(own));
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

/// The word behind `by <hostname>` that marks a Received field as ours.
const OURS: &str = "(mailshim)";

/// Applies the policy.
///
/// # Errors
/// The message will never pass.
pub fn rewrite(given: &Original<'_>, policy: &Policy, stamp: &Stamp<'_>) -> Result<Rewritten, Refusal> {
    if given.fields.len() > header::MAX_HEADER_BLOCK {
        return Err(Refusal::HeaderTooLong);
    }
    let own = format!("by {} {OURS}", policy.hostname);
    let mut seen = Seen::default();
    header::fields(given.fields).for_each(|field| seen.field(&field, &own));
    refuse(&seen, policy)?;
    let sender = Given {
        reverse_path: given.envelope.mail.reverse_path.clone(),
        from: std::mem::take(&mut seen.from),
        sender: std::mem::take(&mut seen.sender),
        has_reply_to: seen.has_reply_to,
    };
    let verdict = policy.decide(&sender);
    if policy.senders_differ(&verdict) {
        return Err(Refusal::SendersDiffer);
    }
    let mut notes = Vec::new();
    let envelope = envelope(given.envelope, &verdict, policy, &mut notes);
    let mut block = Vec::with_capacity(given.fields.len() + 512);
    let date = OffsetDateTime::from(stamp.now).format(&Rfc2822).unwrap_or_default();
    // RFC 5321 section 4.4, without what a stranger could learn of the network that the app stands in.
    let received = format!("Received: from localhost {own} with ESMTP id {};\r\n\t{date}\r\n", stamp.id);
    block.extend_from_slice(received.as_bytes());
    copy(given.fields, &verdict, &seen, &mut block, &mut notes);
    if policy.redirect_to.is_some() {
        header::append(&mut block, "X-Mailshim-Original-To", &originals(&given.envelope.recipients));
    }
    add_missing(given, &verdict, &seen, policy, stamp, &date, &mut block, &mut notes);
    match given.body {
        Body::Missing => {}
        Body::BehindBlankLine => block.extend_from_slice(b"\r\n"),
        Body::AtOnce => {
            notes.push(Note::BlankLine);
            block.extend_from_slice(b"\r\n");
        }
    }
    let was_null_sender = given.envelope.mail.reverse_path.is_none();
    Ok(Rewritten { envelope, block, notes, from_is_ours: verdict.from_is_ours, was_null_sender })
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
        return Err(Refusal::SenderNotAllowed);
    }
    Ok(())
}

fn envelope(given: &Envelope, verdict: &Verdict, policy: &Policy, notes: &mut Vec<Note>) -> Envelope {
    let mut envelope = given.clone();
    if envelope.mail.reverse_path != verdict.reverse_path {
        envelope.mail.reverse_path.clone_from(&verdict.reverse_path);
        notes.push(Note::ReversePath);
    }
    if let Some(address) = &policy.redirect_to {
        envelope.recipients = vec![Recipient { address: address.clone(), notify: None, orcpt: None }];
        notes.push(Note::Redirected);
    }
    envelope
}

/// The fields as they came, but for those that the policy names.
fn copy(fields: &[u8], verdict: &Verdict, seen: &Seen, block: &mut Vec<u8>, notes: &mut Vec<Note>) {
    let mut from = verdict.from.as_deref();
    for field in header::fields(fields) {
        let is_empty = || field.value().text.is_empty();
        if field.is("Bcc") || field.is("Resent-Bcc") {
            if !notes.contains(&Note::BccDropped) {
                notes.push(Note::BccDropped);
            }
        } else if field.is("From") && verdict.from.is_some() {
            // The first makes place for the new one, the others go.
            if let Some(value) = from.take() {
                header::append(block, "From", value);
                notes.push(Note::From);
            }
        } else if field.is("Sender") && verdict.drop_sender {
            if !notes.contains(&Note::SenderDropped) {
                notes.push(Note::SenderDropped);
            }
        } else if replaced_if_empty(&field, verdict, seen) && is_empty() {
            // A field of this kind is added below, and there may be one only (RFC 5322 section 3.6).
        } else {
            block.extend_from_slice(field.raw());
            if !block.ends_with(b"\r\n") {
                block.extend_from_slice(b"\r\n");
            }
        }
    }
    if let Some(value) = from {
        header::append(block, "From", value);
        notes.push(Note::From);
    }
}

fn replaced_if_empty(field: &Field<'_>, verdict: &Verdict, seen: &Seen) -> bool {
    (field.is("Date") && !seen.has_date)
        || (field.is("Message-ID") && !seen.has_message_id)
        || (field.is("Reply-To") && verdict.reply_to.is_some())
        || (field.is("Auto-Submitted") && verdict.null_replaced && !seen.has_auto_submitted)
}

#[allow(clippy::too_many_arguments)]
fn add_missing(
    given: &Original<'_>,
    verdict: &Verdict,
    seen: &Seen,
    policy: &Policy,
    stamp: &Stamp<'_>,
    date: &str,
    block: &mut Vec<u8>,
    notes: &mut Vec<Note>,
) {
    let message_id = format!("<{}@{}>", stamp.unique, policy.domain);
    let auto_submitted = if seen.is_answer { "auto-replied" } else { "auto-generated" };
    let needs_mime = seen.is_mime || given.is_eight_bit || given.envelope.is_eight_bit();
    let missing = [
        ("Reply-To", verdict.reply_to.as_deref(), Note::ReplyTo),
        ("Date", (!seen.has_date).then_some(date), Note::Date),
        ("Message-ID", (!seen.has_message_id).then_some(&message_id), Note::MessageId),
        ("MIME-Version", (needs_mime && !seen.has_mime_version).then_some("1.0"), Note::MimeVersion),
        // RFC 3834 section 5: what the null reverse-path said, said in another place.
        (
            "Auto-Submitted",
            (verdict.null_replaced && !seen.has_auto_submitted).then_some(auto_submitted),
            Note::AutoSubmitted,
        ),
    ];
    for (name, value, note) in missing {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            header::append(block, name, value);
            notes.push(note);
        }
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
