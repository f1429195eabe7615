//! The report about a message that was not delivered (RFC 3464, in a multipart/report of RFC 6522). Pure: an entry and
//! what was said of it in, octets out.
//!
//! Whatever came from elsewhere, a subject, an address, a reply, is put on one line of printable characters first: it can
//! begin no header field and no part.

use super::entry::{Detail, Entry, State, StoredRecipient, Verdict};
use super::mime::{Boundary, one_line, shown, text_part, utf8_xtext, wrapped, xtext};
use super::words::{Failure, MOST_NAMED, and_others, date, kept, text, why};
use crate::message::address::written;
use crate::message::header::{append, fields};
use crate::message::phrase::encoded_words;
use crate::message::policy::Policy;
use crate::message::sender::is_usable;
use crate::smtp::path::Address;

/// Characters of an answer in the part for programs.
const LONGEST_ANSWER: usize = 1000;
/// Recipients of one mail that a merged report lists.
const MOST_OF_ONE: usize = 10;
/// Mails that a merged report lists.
pub const MOST_LISTED: usize = 100;

/// Who reports come from and go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportOptions {
    /// `MAILSHIM_BOUNCE_TO`.
    pub to: Option<Address>,
    /// The mailbox that signs in.
    pub mailbox: Address,
    /// What holds for senders and recipients.
    pub policy: Policy,
    /// The host that mail is submitted to.
    pub upstream: String,
}

/// When a report is written, and what is unique about it.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    /// In seconds since 1970.
    pub now: u64,
    /// Its name in log and queue.
    pub id: &'a str,
}

/// A report, ready to be put into the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its Message-ID.
    pub message_id: String,
    /// Its header block.
    pub header: Vec<u8>,
    /// The header block and all that follows.
    pub content: Vec<u8>,
}

impl ReportOptions {
    /// Who hears that this message was not delivered. `None` for nobody: it is a report itself, or came from a null
    /// reverse-path, which is the same.
    pub fn recipient(&self, entry: &Entry) -> Option<Address> {
        let head = &entry.head;
        let was_null = head.sent.was_null_sender || head.app.reverse_path.is_none();
        if head.report || was_null || is_report(head.header.as_bytes()) {
            return None;
        }
        if let Some(guard) = &self.policy.redirect_to {
            // The staging guard: nothing goes to anybody else.
            return Some(self.to.clone().unwrap_or_else(|| guard.clone()));
        }
        let sender = head.app.reverse_path.as_deref().and_then(Address::parse);
        let hears = sender.filter(|sender| self.is_inside(sender) && self.policy.judge_recipient(sender));
        Some(self.to.clone().or(hears).unwrap_or_else(|| self.mailbox.clone()))
    }

    /// An address of the mailbox's domain, or of that of MAILSHIM_FROM: nobody else gets our words.
    fn is_inside(&self, address: &Address) -> bool {
        let ours = [&self.mailbox, &self.policy.from.address];
        let domain = address.domain().filter(|_| is_usable(address));
        domain.is_some_and(|domain| {
            ours.iter().any(|ours| ours.domain().is_some_and(|ours| ours.eq_ignore_ascii_case(domain)))
        })
    }

    /// The report about these recipients of an entry, in whose attempts it stands what was said of them. `header` is the
    /// header block as it was to be sent.
    pub fn report(
        &self,
        entry: &Entry,
        places: &[usize],
        to: &Address,
        header: &[u8],
        stamp: Stamp<'_>,
    ) -> Report {
        let states = entry.states();
        let recipients = &entry.head.sent.envelope.recipients;
        let failure = |place: &usize| {
            Some(Failure { recipient: recipients.get(*place)?, state: states.get(*place)?.clone() })
        };
        let failures: Vec<Failure<'_>> = places.iter().filter_map(failure).collect();
        let text = text(&self.policy.hostname, entry, to, &states, &failures, header);
        let mut status = Vec::new();
        self.message_fields(&mut status, Some(entry));
        for failure in &failures {
            self.recipient_fields(&mut status, failure, entry, None);
        }
        let first = failures.first().map_or("", |failure| failure.recipient.address.as_str());
        let subject = format!("Not delivered to {}", and_others(first, failures.len()));
        let parts =
            [text_part(&text), part("message/delivery-status", "", &status), text_part_of_header(header)];
        self.whole(to, &subject, entry.head.message_id.as_deref(), &parts, stamp)
    }

    /// One report about many messages that were not delivered for the same reason. It has no headers of theirs.
    pub fn merged(&self, listed: &[Listed], all: usize, to: &Address, stamp: Stamp<'_>) -> Report {
        let mut text = String::new();
        let failure = listed.first().map(|listed| &listed.state);
        wrapped(&mut text, "", &format!("{all} more mails were not delivered, all for the same reason."));
        if let Some(state) = failure {
            why(&mut text, state, "They were tried again and again");
        }
        text.push_str(
            "\r\nAfter ten reports within an hour about the same reason this one lists the rest.\r\n",
        );
        if all > listed.len() {
            let more = all - listed.len();
            wrapped(
                &mut text,
                "",
                &format!(
                    "These are the first {}; {more} more are in the list that `mailshim queue list --state dead` prints.",
                    listed.len()
                ),
            );
        }
        text.push_str("\r\n");
        let mut status = Vec::new();
        self.message_fields(&mut status, None);
        for listed in listed {
            let names: Vec<String> =
                listed.recipients.iter().take(MOST_NAMED).map(|to| shown(&to.address)).collect();
            let more = listed.all.saturating_sub(names.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            wrapped(
                &mut text,
                "- ",
                &format!(
                    "{}: {} of {}, to {}{more}",
                    shown(&listed.id),
                    shown(listed.message_id.as_deref().unwrap_or("a mail")),
                    date(listed.created),
                    names.join(", ")
                ),
            );
            for recipient in &listed.recipients {
                let failure = Failure { recipient, state: listed.state.clone() };
                self.recipient_fields_of(&mut status, &failure, listed.at, listed.message_id.as_deref());
            }
        }
        kept(&mut text, &self.policy.hostname, "ID");
        let subject = format!("Not delivered: {all} more mails");
        let parts = [text_part(&text), part("message/delivery-status", "", &status)];
        self.whole(to, &subject, None, &parts, stamp)
    }

    /// RFC 3464 section 2.2.
    fn message_fields(&self, status: &mut Vec<u8>, entry: Option<&Entry>) {
        let envid = entry.and_then(|entry| entry.head.app.envid.as_deref()).and_then(xtext);
        if let Some(envid) = envid {
            append(status, "Original-Envelope-Id", &envid);
        }
        append(status, "Reporting-MTA", &format!("dns; {}", one_line(&self.policy.hostname)));
        if let Some(entry) = entry {
            append(status, "Arrival-Date", &date(entry.head.created));
            append(status, "X-Mailshim-Id", &one_line(&entry.head.id));
        }
    }

    fn recipient_fields(
        &self,
        status: &mut Vec<u8>,
        failure: &Failure<'_>,
        entry: &Entry,
        about: Option<&str>,
    ) {
        let at = entry.attempts.last().map_or(entry.head.created, |attempt| attempt.at);
        self.recipient_fields_of(status, failure, at, about);
    }

    /// RFC 3464 section 2.3.
    fn recipient_fields_of(&self, status: &mut Vec<u8>, failure: &Failure<'_>, at: u64, about: Option<&str>) {
        let none = Detail::default();
        let detail = failure.state.detail.as_ref().unwrap_or(&none);
        status.extend_from_slice(b"\r\n");
        if let Some(original) = failure.recipient.orcpt.as_deref().and_then(original_recipient) {
            append(status, "Original-Recipient", &original);
        }
        append(status, "Final-Recipient", &typed(&failure.recipient.address));
        append(status, "Action", "failed");
        let code = match failure.state.verdict {
            // RFC 3463 section 3.5: delivery time expired.
            Some(Verdict::Expired) => "4.4.7",
            _ if is_status(&detail.status) => detail.status.as_str(),
            _ => "5.0.0",
        };
        append(status, "Status", code);
        match &detail.reply {
            Some(reply) => {
                append(status, "Remote-MTA", &format!("dns; {}", one_line(&self.upstream)));
                append(status, "Diagnostic-Code", &format!("smtp; {}", ascii(reply)));
            }
            None => {
                let words = if detail.words.is_empty() { &failure.state.reply } else { &detail.words };
                append(status, "Diagnostic-Code", &format!("x-mailshim; {}", ascii(words)));
            }
        }
        append(status, "Last-Attempt-Date", &date(at));
        if let Some(id) = about {
            append(status, "X-Mailshim-Message-ID", &ascii(id));
        }
    }

    /// Puts the parts together, in the order of RFC 6522.
    fn whole(
        &self,
        to: &Address,
        subject: &str,
        about: Option<&str>,
        parts: &[Vec<u8>],
        stamp: Stamp<'_>,
    ) -> Report {
        let message_id = format!("<{}.report@{}>", stamp.id, self.policy.domain);
        let from = written(Some("Mail delivery"), &self.policy.from.address);
        let mut header = Vec::new();
        append(&mut header, "From", &from);
        append(&mut header, "To", &written(None, to));
        let subject = one_line(subject);
        let subject = if subject.is_ascii() { subject } else { encoded_words(&subject) };
        append(&mut header, "Subject", &subject);
        append(&mut header, "Date", &date(stamp.now));
        append(&mut header, "Message-ID", &message_id);
        if let Some(id) = about.filter(|id| is_message_id(id)) {
            append(&mut header, "In-Reply-To", id);
            append(&mut header, "References", id);
        }
        append(&mut header, "Auto-Submitted", "auto-replied");
        // Exchange answers no such mail with an out-of-office note.
        append(&mut header, "X-Auto-Response-Suppress", "All");
        append(&mut header, "MIME-Version", "1.0");
        let boundary = Boundary::not_in(stamp.id, parts);
        append(
            &mut header,
            "Content-Type",
            &format!("multipart/report; report-type=delivery-status; boundary=\"{}\"", boundary.0),
        );
        let mut content = header.clone();
        content.extend_from_slice(b"\r\n");
        for part in parts {
            content.extend_from_slice(format!("--{}\r\n", boundary.0).as_bytes());
            content.extend_from_slice(part);
            content.extend_from_slice(b"\r\n");
        }
        content.extend_from_slice(format!("--{}--\r\n", boundary.0).as_bytes());
        Report { message_id, header, content }
    }
}

/// A mail of a merged report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name in log and queue.
    pub id: String,
    /// Its Message-ID.
    pub message_id: Option<String>,
    /// When it was accepted, in seconds since 1970.
    pub created: u64,
    /// When it was tried for the last time.
    pub at: u64,
    /// Who did not get it: the first of them.
    pub recipients: Vec<StoredRecipient>,
    /// How many did not.
    pub all: usize,
    /// What was said.
    pub state: State,
}

impl Listed {
    /// These recipients of an entry.
    pub fn of(entry: &Entry, places: &[usize]) -> Option<Self> {
        let states = entry.states();
        let named = places.iter().take(MOST_OF_ONE);
        let recipients = named.filter_map(|place| entry.head.sent.envelope.recipients.get(*place));
        Some(Self {
            id: entry.head.id.clone(),
            message_id: entry.head.message_id.clone(),
            created: entry.head.created,
            at: entry.attempts.last().map_or(entry.head.created, |attempt| attempt.at),
            recipients: recipients.cloned().collect(),
            all: places.len(),
            state: states.get(*places.first()?)?.clone(),
        })
    }
}

/// Recipients of an entry that failed, about whom a report is owed, by their places. NOTIFY without FAILURE wants none
/// (RFC 3461 section 4.1).
pub fn owed(entry: &Entry) -> Vec<usize> {
    let wants = |place: &usize| {
        let notify = entry.head.sent.envelope.recipients.get(*place).and_then(|one| one.notify.as_deref());
        notify.is_none_or(|words| words.split(',').any(|word| word.trim().eq_ignore_ascii_case("FAILURE")))
    };
    let states = entry.states();
    let failed = entry.failed().into_iter().filter(|place| {
        // What the operator dropped he knows.
        states[*place].verdict != Some(Verdict::Dropped) && !states[*place].reported
    });
    failed.filter(wants).collect()
}

/// The reason in a word: reports about the same one are counted together.
pub fn reason(state: &State) -> String {
    let rule = state.detail.as_ref().map_or("", |detail| detail.rule.as_str());
    match state.verdict {
        Some(Verdict::Expired) => format!("expired {rule}"),
        _ => rule.to_string(),
    }
}

/// A report of somebody's, or an answer that a program gave.
fn is_report(header: &[u8]) -> bool {
    let begins =
        |text: &str, with: &str| text.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with));
    fields(header).any(|field| {
        field.is("Content-Type") && begins(&field.value().text, "multipart/report")
            || field.is("Auto-Submitted") && begins(&field.value().text, "auto-replied")
    })
}

/// An address with its type (RFC 3464 section 2.1.2; RFC 6533 section 3 for what is not ASCII).
fn typed(address: &str) -> String {
    if address.is_ascii() {
        format!("rfc822; {}", one_line(address))
    } else {
        format!("utf-8; {}", utf8_xtext(address))
    }
}

/// ORCPT as it is reported: decoded, but for the type whose own form is ASCII (RFC 6533 section 3).
fn original_recipient(orcpt: &str) -> Option<String> {
    let (kind, address) = orcpt.split_once(';')?;
    let is_kind =
        !kind.is_empty() && kind.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
    let address = match kind.eq_ignore_ascii_case("utf-8") {
        true if address.is_ascii() => one_line(address),
        true => utf8_xtext(address),
        false => xtext(address)?,
    };
    is_kind.then(|| format!("{kind}; {address}"))
}

fn is_status(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    parts.len() == 3
        && matches!(parts[0], "4" | "5")
        && parts.iter().all(|part| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit()))
}

fn is_message_id(text: &str) -> bool {
    text.len() < 250
        && text.starts_with('<')
        && text.ends_with('>')
        && text.bytes().all(|octet| octet.is_ascii_graphic())
}

/// One line of ASCII, for a field that knows no other.
fn ascii(text: &str) -> String {
    let text: String =
        text.chars().take(LONGEST_ANSWER).map(|c| if c.is_ascii() { c } else { '?' }).collect();
    shown(&text)
}

fn part(kind: &str, encoding: &str, body: &[u8]) -> Vec<u8> {
    let mut part = format!("Content-Type: {kind}\r\n").into_bytes();
    if !encoding.is_empty() {
        part.extend_from_slice(format!("Content-Transfer-Encoding: {encoding}\r\n").as_bytes());
    }
    part.extend_from_slice(b"\r\n");
    part.extend_from_slice(body);
    part
}

/// The headers of the message (RFC 6522 section 4), without its body, whatever RET asks for: the one who gets this need
/// not be one of those who may read the mail.
fn text_part_of_header(header: &[u8]) -> Vec<u8> {
    let (encoding, body) = super::mime::encoded(header);
    part("text/rfc822-headers", encoding, &body)
}
