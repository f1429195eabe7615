//! A message that waits, as a file: one line of JSON, the content as it will be sent, and a line of JSON for each attempt.
//!
//! ```text
//! {"mailshim":1,"length":"000000004711","sha256":"…","head":{"id":…,"created":…,"app":…,"header":…,"sent":…}}
//! From: …                                          the content, canonical, to the octet `length`
//! {"begun":[0],"at":…}
//! {"at":…,"lived":…,"next":…,"results":[{"verdict":"delivered","recipients":[0],"reply":"250 …"}]}
//! ```
//!
//! Length and checksum have a fixed place and width: they are blank while the content is written and filled in when it
//! is whole. What a crash leaves:
//!
//! | found | what it was | what becomes of it |
//! |---|---|---|
//! | a blank length, or less than the first line | never acknowledged | removed |
//! | a checksum that does not fit | damaged after it was written | kept apart, never delivered |
//! | a last line without its line feed | an attempt whose record was torn | the line is ignored |
//! | another version | of a newer mailshim, or an older one | left alone, and said |

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::message::Envelope;
use crate::smtp::command::{Body, Mail, Recipient};
use crate::smtp::path::Address;

/// Before the length: the format's version 1, the only one that is written and read.
const BEFORE_LENGTH: &str = "{\"mailshim\":1,\"length\":\"";
/// Digits of the length.
const LENGTH_DIGITS: usize = 12;
/// Between length and checksum.
const BEFORE_SUM: &str = "\",\"sha256\":\"";
/// Digits of the checksum.
const SUM_DIGITS: usize = 64;
/// Behind the checksum.
const BEFORE_HEAD: &str = "\",\"head\":";
/// Octets before the head: what follows them, up to the length, is what the checksum is of.
pub const PREFIX: usize =
    BEFORE_LENGTH.len() + LENGTH_DIGITS + BEFORE_SUM.len() + SUM_DIGITS + BEFORE_HEAD.len();
/// The longest first line that is read: a header block of 256 KiB, escaped, and a thousand recipients.
pub const MAX_FIRST_LINE: usize = 4 * 1024 * 1024;

/// A recipient as RCPT named it (RFC 3461 for the rest).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRecipient {
    /// The forward-path.
    pub address: String,
    /// NOTIFY as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<String>,
    /// ORCPT as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orcpt: Option<String>,
}

/// An envelope (RFC 5321 section 2.3.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEnvelope {
    /// The reverse-path; null where the sender was `<>`.
    pub reverse_path: Option<String>,
    /// BODY=8BITMIME was declared.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub eight_bit: bool,
    /// RET as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ret: Option<String>,
    /// ENVID as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envid: Option<String>,
    /// At least one.
    pub recipients: Vec<StoredRecipient>,
}

impl StoredEnvelope {
    /// An envelope as it is kept.
    pub fn of(envelope: &Envelope) -> Self {
        let mail = &envelope.mail;
        let recipient = |recipient: &Recipient| StoredRecipient {
            address: recipient.address.to_string(),
            notify: recipient.notify.clone(),
            orcpt: recipient.orcpt.clone(),
        };
        Self {
            reverse_path: mail.reverse_path.as_ref().map(ToString::to_string),
            eight_bit: mail.body == Body::EightBitMime,
            ret: mail.ret.clone(),
            envid: mail.envid.clone(),
            recipients: envelope.recipients.iter().map(recipient).collect(),
        }
    }

    /// The envelope of all recipients; `None` where an address is none.
    pub fn whole(&self) -> Option<Envelope> {
        self.envelope_of(&Vec::from_iter(0..self.recipients.len()), None)
    }

    /// The envelope of these recipients, by their places; `None` where an address is none, or no recipient is left.
    pub fn envelope_of(&self, places: &[usize], size: Option<u64>) -> Option<Envelope> {
        let reverse_path = match &self.reverse_path {
            Some(text) => Some(Address::parse(text)?),
            None => None,
        };
        let recipient = |place: &usize| {
            let stored = self.recipients.get(*place)?;
            Some(Recipient {
                address: Address::parse(&stored.address)?,
                notify: stored.notify.clone(),
                orcpt: stored.orcpt.clone(),
            })
        };
        let recipients = places.iter().map(recipient).collect::<Option<Vec<_>>>()?;
        let body = if self.eight_bit { Body::EightBitMime } else { Body::SevenBit };
        let mail = Mail { reverse_path, size, body, ret: self.ret.clone(), envid: self.envid.clone() };
        (!recipients.is_empty()).then_some(Envelope { mail, recipients })
    }
}

/// What the sender policy made of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The envelope that Office 365 sees.
    pub envelope: StoredEnvelope,
    /// MAILSHIM_FROM stands in From because of the policy.
    #[serde(default)]
    pub from_is_ours: bool,
    /// The app's reverse-path was null: nothing may be reported about this message.
    #[serde(default)]
    pub was_null_sender: bool,
    /// What was changed, in the log's words.
    #[serde(default)]
    pub changes: Vec<String>,
}

/// The first line of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The message's name in log and queue.
    pub id: String,
    /// When it was accepted, in seconds since 1970, by the spool's own clock.
    pub created: u64,
    /// Its Message-ID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// The envelope that the app gave.
    pub app: StoredEnvelope,
    /// The header block that the app gave; `queue retry --prepare` applies today's policy to it. Octets that are no
    /// UTF-8 stand as U+FFFD.
    pub header: String,
    /// What was made of it.
    pub sent: Sent,
    /// It is a report of mailshim's own about another one: none is made about it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub report: bool,
}

/// What became of some recipients in an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Office 365 has taken the message for them.
    Delivered,
    /// It never will.
    Refused,
    /// It may later.
    Deferred,
    /// The connection died between the last octet and the reply: it may have, and is asked again.
    Unknown,
    /// Given up at the end of the message's lifetime.
    Expired,
    /// Dropped by the operator.
    Dropped,
}

/// Why a message was not delivered, for a report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// The row of the table of replies that decided.
    pub rule: String,
    /// The enhanced status code (RFC 3463).
    pub status: String,
    /// What happened, in a sentence without what only Microsoft's support can read.
    pub words: String,
    /// The reply, where the other side gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
}

/// One verdict and whom it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Result {
    /// What became of them.
    pub verdict: Verdict,
    /// Places in [`Sent::envelope`].
    pub recipients: Vec<usize>,
    /// Office 365's reply, or our own words.
    pub reply: String,
    /// What an administrator can do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// The same for a report; none where the message was delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Detail>,
}

/// An attempt, as it is appended to the entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When, in seconds since 1970.
    pub at: u64,
    /// Seconds of its lifetime that the message has used up: time in which the shim ran and no set-up fault held it.
    pub lived: u64,
    /// When it is tried again, in seconds since 1970; 0 where it is not.
    #[serde(default)]
    pub next: u64,
    /// What became of the recipients that it was for.
    #[serde(default)]
    pub results: Vec<Result>,
    /// Recipients that a report was sent about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reported: Vec<usize>,
}

/// Office 365 is about to be asked: appended before the first octet of the envelope is sent, and outlived by the record of
/// the attempt. One that no result follows belongs to a process that was killed in between, and the next attempt may be a
/// second copy. One of nobody takes it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// Places in [`Sent::envelope`].
    pub begun: Vec<usize>,
    /// When, in seconds since 1970.
    pub at: u64,
}

/// Where one recipient stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The last verdict; `None` where it was not tried yet.
    pub verdict: Option<Verdict>,
    /// The last reply; empty where there was none.
    pub reply: String,
    /// What an administrator can do.
    pub fix: Option<String>,
    /// The same for a report.
    pub detail: Option<Detail>,
    /// A report was sent about it.
    pub reported: bool,
}

impl State {
    /// Whether it is still to be tried.
    pub const fn waits(&self) -> bool {
        matches!(self.verdict, None | Some(Verdict::Deferred | Verdict::Unknown))
    }

    /// Whether it will never be delivered to.
    pub const fn failed(&self) -> bool {
        matches!(self.verdict, Some(Verdict::Refused | Verdict::Expired | Verdict::Dropped))
    }
}

/// A message that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its first line.
    pub head: Head,
    /// Where its content begins in the file.
    pub content_at: u64,
    /// Where its content ends.
    pub length: u64,
    /// What was tried, in order.
    pub attempts: Vec<Attempt>,
}

/// Why octets are no entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Never finished, so never acknowledged.
    Unfinished,
    /// Written by another version.
    Version,
    /// Not what was written.
    Damaged(&'static str),
}

/// The first line as it is written before the content: length and checksum are blank.
pub fn first_line(head: &Head) -> Vec<u8> {
    let mut line = prefix(None).into_bytes();
    // A struct of strings and numbers can always be written.
    serde_json::to_writer(&mut line, head).unwrap_or_default();
    line.extend_from_slice(b"}\n");
    line
}

fn prefix(whole: Option<(u64, &str)>) -> String {
    let (length, sum) = match whole {
        Some((length, sum)) => (format!("{length:0LENGTH_DIGITS$}"), sum.to_string()),
        None => (" ".repeat(LENGTH_DIGITS), " ".repeat(SUM_DIGITS)),
    };
    format!("{BEFORE_LENGTH}{length}{BEFORE_SUM}{sum}{BEFORE_HEAD}")
}

/// The checksum of an entry, fed with all that stands behind its prefix.
pub struct Sum {
    context: Context,
    octets: u64,
}

impl Default for Sum {
    fn default() -> Self {
        Self { context: Context::new(&SHA256), octets: 0 }
    }
}

impl Sum {
    /// Of a first line that [`first_line`] made.
    pub fn of_first_line(line: &[u8]) -> Self {
        let mut sum = Self::default();
        sum.add(line.get(PREFIX..).unwrap_or_default());
        sum
    }

    /// What comes next.
    pub fn add(&mut self, octets: &[u8]) {
        self.context.update(octets);
        self.octets += octets.len() as u64;
    }

    /// Octets of the entry so far, its prefix included.
    pub const fn length(&self) -> u64 {
        self.octets + PREFIX as u64
    }

    /// The prefix of the whole entry: written over the blank one.
    pub fn prefix(self) -> String {
        let length = self.length();
        prefix(Some((length, &hexadecimal(self.context.finish().as_ref()))))
    }

    /// Whether this is what a prefix says.
    pub fn fits(self, wanted: &Wanted) -> bool {
        self.length() == wanted.length && hexadecimal(self.context.finish().as_ref()) == wanted.sum
    }
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// What a prefix says of its entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Octets of first line and content.
    pub length: u64,
    sum: String,
}

/// Reads the prefix of an entry.
///
/// # Errors
/// It is not there as a whole, is blank, or is of another version.
pub fn read_prefix(octets: &[u8]) -> std::result::Result<Wanted, Damage> {
    let Some(octets) = octets.get(..PREFIX) else { return Err(Damage::Unfinished) };
    if octets == prefix(None).as_bytes() || octets.iter().all(|octet| *octet == 0) {
        // A file that was made longer before its octets came reads as zeros after a crash.
        return Err(Damage::Unfinished);
    }
    let text = std::str::from_utf8(octets).map_err(|_| Damage::Damaged("its first line is not text"))?;
    let rest = text.strip_prefix(BEFORE_LENGTH).ok_or_else(|| match text.starts_with("{\"mailshim\":") {
        true => Damage::Version,
        false => Damage::Damaged("its first line is none of mailshim's"),
    })?;
    let damaged = || Damage::Damaged("its length or checksum is damaged");
    let (length, rest) = rest.split_at_checked(LENGTH_DIGITS).ok_or_else(damaged)?;
    let sum = rest.strip_prefix(BEFORE_SUM).and_then(|rest| rest.strip_suffix(BEFORE_HEAD));
    let length = length.parse().ok().filter(|_| length.bytes().all(|digit| digit.is_ascii_digit()));
    match (length, sum) {
        (Some(length), Some(sum)) if sum.len() == SUM_DIGITS => Ok(Wanted { length, sum: sum.to_string() }),
        _ => Err(damaged()),
    }
}

/// Reads a first line, with its line feed.
///
/// # Errors
/// It is no head.
pub fn read_head(line: &[u8]) -> std::result::Result<Head, Damage> {
    let json = line.get(PREFIX..).and_then(|rest| rest.strip_suffix(b"}\n"));
    let head = json.and_then(|json| serde_json::from_slice::<Head>(json).ok());
    head.filter(|head| !head.sent.envelope.recipients.is_empty() && !head.app.recipients.is_empty())
        .ok_or(Damage::Damaged("its head cannot be read"))
}

impl Attempt {
    /// As it is appended.
    pub fn line(&self) -> Vec<u8> {
        appended(self)
    }
}

impl Begun {
    /// As it is appended.
    pub fn line(&self) -> Vec<u8> {
        appended(self)
    }
}

/// The line feed before it ends a line that a crash or a full disk has torn: behind it this one would be lost as well, and
/// with it that somebody has the message.
fn appended(record: &impl Serialize) -> Vec<u8> {
    let mut line = vec![b'\n'];
    // A struct of strings and numbers can always be written.
    serde_json::to_writer(&mut line, record).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Reads the attempts behind a content. A torn last line is no attempt: its record had not come back durable.
pub fn read_attempts(octets: &[u8]) -> Vec<Attempt> {
    lines(octets).filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

/// Reads the recipients of the attempt behind a content that was begun and is not recorded.
pub fn read_begun(octets: &[u8]) -> Vec<usize> {
    let mut begun = Vec::new();
    for line in lines(octets) {
        if let Ok(mark) = serde_json::from_slice::<Begun>(line) {
            begun = mark.begun;
        } else if serde_json::from_slice::<Attempt>(line).is_ok_and(|attempt| !attempt.results.is_empty()) {
            begun = Vec::new();
        }
    }
    begun
}

/// Whole lines. One that a crash tore before others were appended is none of ours when it is read.
fn lines(octets: &[u8]) -> impl Iterator<Item = &[u8]> {
    let whole = octets.iter().rposition(|octet| *octet == b'\n').map_or(0, |end| end + 1);
    octets[..whole].split(|octet| *octet == b'\n').filter(|line| !line.is_empty())
}

impl Entry {
    /// Where each recipient stands.
    pub fn states(&self) -> Vec<State> {
        let new = State { verdict: None, reply: String::new(), fix: None, detail: None, reported: false };
        let mut states = vec![new; self.head.sent.envelope.recipients.len()];
        for attempt in &self.attempts {
            for result in &attempt.results {
                for place in &result.recipients {
                    // What is done stays done, whatever stands behind it.
                    if let Some(state) = states.get_mut(*place).filter(|state| state.waits()) {
                        state.verdict = Some(result.verdict);
                        state.reply.clone_from(&result.reply);
                        state.fix.clone_from(&result.fix);
                        state.detail.clone_from(&result.detail);
                    }
                }
            }
            for place in &attempt.reported {
                if let Some(state) = states.get_mut(*place) {
                    state.reported = true;
                }
            }
        }
        states
    }

    /// The recipients that are still to be tried, by their places.
    pub fn waiting(&self) -> Vec<usize> {
        self.places(State::waits)
    }

    /// The recipients that will never be delivered to, by their places.
    pub fn failed(&self) -> Vec<usize> {
        self.places(State::failed)
    }

    fn places(&self, is: impl Fn(&State) -> bool) -> Vec<usize> {
        self.states().iter().enumerate().filter(|(_, state)| is(state)).map(|(place, _)| place).collect()
    }

    /// Seconds of its lifetime that it has used up at its last attempt.
    pub fn lived(&self) -> u64 {
        self.attempts.last().map_or(0, |attempt| attempt.lived)
    }

    /// Attempts to deliver it.
    pub fn tries(&self) -> usize {
        self.attempts.iter().filter(|attempt| !attempt.results.is_empty()).count()
    }
}

#[cfg(test)]
#[path = "entry_tests.rs"]
mod tests;
