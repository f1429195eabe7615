//! The one line of each mail: it answers "did Ann get her invoice?".

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime};

use tracing::Level;

use super::addresses::{masked, masked_address, masked_knowing};
use super::history::{self, Refusal};
use super::line::{Line, Value, shortened};
use super::metrics::metrics;
use super::setup;
use crate::message::{Abandoned, DeliveryRecord, Envelope, MessageId};
use crate::outcome::{Context, Outcome, judge};
use crate::redact::printable;
use crate::smtp::reply::Reply;

/// Recipients that a line names; it counts the others.
const MOST_NAMED: usize = 5;
/// What is kept of Office 365's diagnostics, which can be kilobytes, besides the host and the id at their end.
const DIAGNOSTICS: usize = 300;

/// A mail, for its line.
#[derive(Clone, Copy, Debug)]
pub struct Mail<'a> {
    /// Its name in the log.
    pub id: MessageId,
    /// The envelope as the app gave it.
    pub given: &'a Envelope,
    /// The envelope as it went to Office 365, or would have gone.
    pub envelope: &'a Envelope,
    /// Its way.
    pub record: &'a DeliveryRecord,
}

/// The one line of a message that was answered, and whether the app took the answer.
pub fn message(mail: Mail<'_>, outcome: &Outcome, context: &Context<'_>, reply: &Reply, app_heard: bool) {
    let name = outcome.name(context);
    count(mail.envelope, mail.record, outcome, name, reply);
    remember(mail, outcome, name, context, reply);
    tell(mail, outcome, name, reply, app_heard);
}

/// Keeps a mail that was not accepted for the status page.
pub(super) fn remember(
    mail: Mail<'_>,
    outcome: &Outcome,
    name: &'static str,
    context: &Context<'_>,
    reply: &Reply,
) {
    let (Outcome::Failed(fault) | Outcome::Unknown(fault)) = outcome else { return };
    let first = mail.envelope.recipients.first().map(|recipient| recipient.address.as_str());
    let fix = judge(fault, context).hint.filter(|_| matches!(outcome, Outcome::Failed(_)));
    let enhanced = reply.enhanced().map(|code| format!(" {code}")).unwrap_or_default();
    history::refused(Refusal {
        at: SystemTime::now(),
        id: mail.id.to_string(),
        outcome: name,
        code: format!("{}{enhanced}", reply.code),
        from: sender(mail.envelope),
        to: fault.recipient().or(first).map(address).unwrap_or_default(),
        recipients: mail.envelope.recipients.len(),
        reason: what_was_said(&shortened(&fault.to_string(), DIAGNOSTICS), mail.envelope),
        fix: fix.map(|fix| what_was_said(&fix, mail.envelope)),
    });
}

/// Writes the line.
pub(super) fn tell(mail: Mail<'_>, outcome: &Outcome, name: &'static str, reply: &Reply, app_heard: bool) {
    let Mail { envelope, record, .. } = mail;
    let is_well = matches!(outcome, Outcome::Accepted(_) | Outcome::Queued(_));
    let level = if is_well { Level::INFO } else { Level::WARN };
    if !setup::lets_through(level) {
        return;
    }
    let (stage, upstream) = match outcome {
        Outcome::Accepted(theirs) => ("verdict", theirs.to_string()),
        Outcome::Queued(ours) => ("spool", ours.to_string()),
        Outcome::Failed(fault) | Outcome::Unknown(fault) => (fault.stage().name(), fault.to_string()),
    };
    let about = match outcome {
        Outcome::Failed(fault) => fault.recipient(),
        _ => None,
    };
    let reply = reply.to_string();
    let mut line = begun(level, mail.id, name);
    line.text("stage", stage);
    describe(&mut line, mail);
    if let Some(about) = about {
        line.text("about", address(about));
    }
    let changes: Vec<&str> = record.changes.iter().map(|note| note.name()).collect();
    if !changes.is_empty() {
        line.text("changes", changes.join(","));
    }
    if record.possible_duplicate {
        line.plain("possible_duplicate", true);
    }
    line.plain("octets", record.octets);
    line.plain("attempts", record.attempts);
    for (name, time) in [
        ("receive_ms", record.received),
        ("wait_ms", record.waited),
        ("connect_ms", record.connected),
        ("send_ms", record.sent),
        ("total_ms", record.total),
    ] {
        line.plain(name, milliseconds(time));
    }
    line.text("reply", what_was_said(&reply, envelope));
    if upstream != reply {
        line.text("upstream", what_was_said(&brief(&upstream), envelope));
    }
    if !app_heard {
        line.plain("app_heard", false);
    }
    let said = if level == Level::INFO { None } else { Some(what_was_said(&reply, envelope)) };
    line.words = Some(words(name, mail, said.as_deref(), app_heard));
    setup::write(&line);
}

/// What is said of a mail that came again.
const ALREADY_ACCEPTED: &str = "already accepted, the app had gone";

/// A message that was accepted before, while its app had gone: it was answered with that acceptance, and not sent.
pub fn repeated(mail: Mail<'_>, first: MessageId, reply: &Reply, app_heard: bool) {
    metrics().repeat_answered();
    if !setup::lets_through(Level::INFO) {
        return;
    }
    let mut line = Line::new(Level::INFO, ALREADY_ACCEPTED);
    line.text("id", mail.id.to_string());
    line.text("first_id", first.to_string());
    describe(&mut line, mail);
    line.plain("octets", mail.record.octets);
    line.plain("total_ms", milliseconds(mail.record.total));
    let reply = what_was_said(&reply.to_string(), mail.envelope);
    line.text("reply", reply.clone());
    if !app_heard {
        line.plain("app_heard", false);
    }
    let said = format!("{ALREADY_ACCEPTED} ({first}): {reply}");
    line.words = Some(words("repeated", mail, Some(&said), app_heard));
    setup::write(&line);
}

/// A message that nobody waits for any more: no part of it was delivered.
pub fn abandoned(mail: Mail<'_>, why: Abandoned) {
    let record = mail.record;
    metrics().message("abandoned", None);
    if !setup::lets_through(Level::WARN) {
        return;
    }
    let reason = match why {
        Abandoned::HungUp => "the app closed the connection before its mail was answered",
        Abandoned::Idle => "the app stopped in the middle of its mail",
        Abandoned::TooBig => "larger than MAILSHIM_MAX_MESSAGE_SIZE",
        Abandoned::Reset => "the app took it back",
        Abandoned::Unreadable => "its file in the spool cannot be read",
        Abandoned::ShuttingDown => "mailshim is shutting down",
        Abandoned::Accepted => ALREADY_ACCEPTED,
    };
    let mut line = begun(Level::WARN, mail.id, "abandoned");
    describe(&mut line, mail);
    line.plain("octets", record.octets);
    line.plain("attempts", record.attempts);
    line.plain("total_ms", milliseconds(record.total));
    line.text("reason", reason);
    line.words = Some(words("abandoned", mail, Some(reason), true));
    setup::write(&line);
}

pub(super) fn count(
    envelope: &Envelope,
    record: &DeliveryRecord,
    outcome: &Outcome,
    name: &'static str,
    reply: &Reply,
) {
    let metrics = metrics();
    metrics.message(name, reply.enhanced().map(|code| code.to_string()));
    if let Outcome::Accepted(_) = outcome {
        history::accepted();
        metrics.accepted(record.octets, envelope.recipients.len());
    }
    for (phase, time) in [
        ("receive", record.received),
        ("wait", record.waited),
        ("connect", record.connected),
        ("send", record.sent),
    ] {
        metrics.phase(phase, time);
    }
}

fn begun(level: Level, id: MessageId, outcome: &'static str) -> Line {
    let mut line = Line::new(level, format!("mail {outcome}"));
    line.text("id", id.to_string());
    line.text("outcome", outcome);
    line
}

/// Who and whom.
fn describe(line: &mut Line, mail: Mail<'_>) {
    let envelope = mail.envelope;
    if let Some(message_id) = &mail.record.message_id {
        line.text("message_id", printable(message_id));
    }
    line.text("from", sender(envelope));
    if let Some(was) = was(mail) {
        line.text("was", was);
    }
    line.plain("recipients", envelope.recipients.len());
    let named = envelope.recipients.iter().take(MOST_NAMED);
    let to = named.map(|recipient| address(recipient.address.as_str())).collect();
    line.fields.push(("to", Value::List(to)));
}

fn sender(envelope: &Envelope) -> String {
    envelope.mail.reverse_path.as_ref().map_or_else(|| "<>".to_string(), |sender| address(sender.as_str()))
}

/// The sender that the app gave, where it was changed.
fn was(mail: Mail<'_>) -> Option<String> {
    let is_another = mail.given.mail.reverse_path != mail.envelope.mail.reverse_path;
    is_another.then(|| sender(mail.given))
}

/// An address, made harmless, shown as far as it may be.
fn address(address: &str) -> String {
    printable(&masked_address(address))
}

/// What Office 365 wrote of this mail, made harmless, its addresses shown as far as they may be.
fn what_was_said(text: &str, envelope: &Envelope) -> String {
    let recipients = envelope.recipients.iter().map(|recipient| recipient.address.as_str());
    let sender = envelope.mail.reverse_path.iter().map(|sender| sender.as_str());
    masked(&printable(&masked_knowing(text, recipients.chain(sender)))).into_owned()
}

/// Office 365's diagnostics without their middle: the host, the time and the id that its support asks for stand in
/// brackets at the end. Whole at debug level.
fn brief(text: &str) -> Cow<'_, str> {
    if text.len() <= DIAGNOSTICS || setup::lets_through(Level::DEBUG) {
        return text.into();
    }
    let trace = text.ends_with(']').then(|| text.rfind('[')).flatten();
    let trace =
        trace.filter(|begin| (DIAGNOSTICS..text.len()).contains(begin)).map_or("", |begin| &text[begin..]);
    let kept = shortened(text, DIAGNOSTICS);
    if trace.is_empty() { kept } else { format!("{kept} {trace}").into() }
}

/// The line for people: outcome, first recipient and how many more, sender, size, seconds, id; and what was said.
fn words(outcome: &str, mail: Mail<'_>, said: Option<&str>, app_heard: bool) -> String {
    let recipients = &mail.envelope.recipients;
    let first = recipients.first().map_or_else(String::new, |to| address(to.address.as_str()));
    let to = match recipients.len().saturating_sub(1) {
        0 => first,
        others => format!("{first} +{others}"),
    };
    let was = was(mail).map(|was| format!(" (was {was})")).unwrap_or_default();
    let from = format!("from {}{was}", sender(mail.envelope));
    let seconds = mail.record.total.as_secs_f64();
    let size = Size(mail.record.octets).to_string();
    let heard = if app_heard { "" } else { "  the app was gone and did not hear it" };
    let said = said.map(|said| format!("  {said}")).unwrap_or_default();
    format!("{outcome:<9} {to:<30} {from:<30} {size:>8} {seconds:>6.2} s  {}{heard}{said}", mail.id)
}

/// Octets as a person says them.
struct Size(u64);

impl fmt::Display for Size {
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            octets @ ..1_000 => write!(f, "{octets} B"),
            octets @ ..1_000_000 => write!(f, "{:.1} KB", octets as f64 / 1e3),
            octets => write!(f, "{:.1} MB", octets as f64 / 1e6),
        }
    }
}

/// Milliseconds with two decimals: a phase may take less than one.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}

/// A time as a person says it: `45 s`, `12 min`, `3 h`.
pub(super) fn in_words(time: Duration) -> String {
    match time.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ ..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagnostics_keep_their_beginning_and_their_trace() {
        let short = "554 5.2.252 SendAsDenied [Hostname=A.PROD.OUTLOOK.COM]";
        assert_eq!(brief(short), short);
        let trace = "[A.PROD.OUTLOOK.COM 2025-04-26T18:06:35.781Z 08DD842467C8274D]";
        let long = format!("554 5.2.252 SendAsDenied; {} {trace}", "[diagnostics] ".repeat(200));
        let kept = brief(&long);
        assert!(kept.starts_with("554 5.2.252 SendAsDenied; [diag") && kept.ends_with(trace), "{kept}");
        assert!(kept.len() < DIAGNOSTICS + trace.len() + 8, "{}", kept.len());
        let untraced = "x".repeat(1000);
        assert_eq!(brief(&untraced).len(), DIAGNOSTICS + '…'.len_utf8());
    }

    #[test]
    fn sizes_and_times_are_said_as_people_do() {
        let sizes = [(253, "253 B"), (4_200, "4.2 KB"), (35_000_000, "35.0 MB")];
        for (octets, said) in sizes {
            assert_eq!(Size(octets).to_string(), said);
        }
        let times = [(45, "45 s"), (720, "12 min"), (10_800, "3 h")];
        for (seconds, said) in times {
            assert_eq!(in_words(Duration::from_secs(seconds)), said);
        }
    }
}
