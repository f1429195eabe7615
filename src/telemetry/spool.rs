//! The spool: what lies in it, what is tried, and what is wrong with the disk.

use std::time::Duration;

use tracing::{error, info, warn};

use super::addresses::masked_address;
use super::alerts::alert;
use super::mail::{self, Mail, in_words};
use super::metrics::metrics;
use super::readiness::{self, NotReady};
use super::{masked, printable};
use crate::message::MessageId;
use crate::outcome::{Cause, Context, Fault, Outcome, SpoolFault, Stage};
use crate::smtp::reply::Reply;

/// What waits, after something has changed.
pub fn spool_holds(messages: usize, octets: u64, oldest: Duration) {
    let spool = &metrics().spool;
    spool.messages.set(i64::try_from(messages).unwrap_or(i64::MAX));
    spool.octets.set(i64::try_from(octets).unwrap_or(i64::MAX));
    spool.oldest.set(oldest.as_secs_f64());
}

/// The one line of a message from the spool that was tried, and what became of these recipients. `name` is `accepted`,
/// `refused`, `deferred`, `unknown` or `expired`.
pub fn spool_tried(
    mail: Mail<'_>,
    outcome: &Outcome,
    name: &'static str,
    context: &Context<'_>,
    reply: &Reply,
) {
    metrics().spool.tried(name);
    mail::remember(mail, outcome, name, context, reply);
    // What is tried again is no end of a message.
    if !matches!(name, "deferred" | "unknown") {
        mail::count(mail.envelope, mail.record, outcome, name, reply);
    }
    mail::tell(mail, outcome, name, reply, true);
}

/// What was given up and is kept, after something has changed.
pub fn spool_keeps(dead_letters: usize) {
    metrics().spool.dead_letters.set(i64::try_from(dead_letters).unwrap_or(i64::MAX));
}

/// Recipients of a dead letter that a line names.
const MOST_NAMED: usize = 20;

/// A dead letter goes: nobody has its mail any more.
pub fn spool_dead_letter_discarded(id: &str, message_id: &str, recipients: &[&str], why: &str) {
    let named: Vec<String> =
        recipients.iter().take(MOST_NAMED).map(|to| printable(&masked_address(to))).collect();
    let others = recipients.len().saturating_sub(named.len());
    let more = if others > 0 { format!(" and {others} more") } else { String::new() };
    warn!(
        id,
        message_id = &*masked(&printable(message_id)),
        to = format!("{}{more}", named.join(" ")),
        "a mail that could not be delivered is removed: {why}"
    );
}

/// A report about a mail, or about many, waits in the spool.
pub fn spool_reported(id: &str, about: &str, to: &str) {
    info!(id, about, to = printable(&masked_address(to)), "a report tells that mail was not delivered");
}

/// A report could not be put into the spool; it is tried again.
pub fn spool_not_reported(about: &str, problem: &str) {
    warn!(about, "a report about a mail that was not delivered cannot be written: {}", printable(problem));
}

/// A batch of changes was made durable, or was not.
pub fn spool_synced(took: Duration) {
    metrics().spool.syncs.observe(took.as_secs_f64());
}

/// Another mailshim has the directory.
pub fn spool_waits_for_lock() {
    info!("another mailshim still has the spool: mail is answered with 421 until it has ended");
}

/// The directory is ours, and this is what waits in it.
pub fn spool_opened(messages: usize, octets: u64) {
    info!(messages, octets, "the spool is open");
}

/// The disk does not take what it must: mail is refused until it does. Told with the fix when it begins, when its cause
/// changes and now and then.
pub fn spool_unusable(fault: &SpoolFault) {
    let fault = Fault::new(Stage::Spool, Cause::Spool(fault.clone()));
    let why = NotReady::of("", &fault);
    metrics().spool.usable.set(0);
    match readiness::disk_failed(why.clone()) {
        Some((_, 1)) => {
            error!("the spool cannot be used, mail is refused for now: {why}");
            alert("disk", "", &why.reason, why.fix.as_deref());
        }
        Some((since, times)) => {
            let since = in_words(since);
            error!("the spool cannot be used for {since}, {times} tries, mail is refused for now: {why}");
        }
        None => {}
    }
}

/// The disk takes mail, again or for the first time.
pub fn spool_usable() {
    metrics().spool.usable.set(1);
    if let Some(after) = readiness::disk_works() {
        info!("the spool can be used again after {}", in_words(after));
        readiness::tell_ready("", after);
    }
}

/// A message was not taken, since there is no more room.
pub fn spool_full(problem: &str) {
    once_a_minute!("mail is refused for now: {problem}");
}

/// A file is not what was written.
pub fn spool_file_damaged(file: &str, what: &str) {
    error!(
        file,
        "a mail in the spool is damaged ({what}): it is not delivered, and its file is kept in damaged/"
    );
}

/// A file is of another version.
pub fn spool_file_of_another_version(file: &str) {
    error!(
        file,
        "a mail in the spool was written by another version of mailshim: it is left alone until that one runs again"
    );
}

/// A file cannot be read or moved.
pub fn spool_file_unreadable(file: &str, problem: &str) {
    error!(file, "a file of the spool cannot be used: {}", printable(problem));
}

/// An attempt could not be recorded: nobody has the message, and it is tried again.
pub fn spool_not_recorded(id: &str, problem: &str) {
    warn!(id, "an attempt could not be recorded in the spool: {}", printable(problem));
}

/// Office 365 has taken a message, and the disk does not take that: nothing more is delivered here before it does.
pub fn spool_delivery_not_recorded(id: &str, problem: &str) {
    error!(
        id,
        "Office 365 has this mail, and the spool's disk does not record that ({}): should mailshim end before it does, the \
         mail is sent once more",
        printable(problem)
    );
}

/// A message goes to Office 365 that may be there already: the process died, or the connection, before that was known.
pub fn spool_sends_again(id: MessageId, message_id: Option<&str>) {
    warn!(
        %id,
        message_id = message_id.map(|id| masked(&printable(id)).into_owned()),
        possible_duplicate = true,
        "Office 365 may have this mail already, and is sent it once more: whether it had arrived was not recorded"
    );
}

/// A message was refused to its app, and its file could not be taken back for certain: a later start may find it.
pub fn spool_may_keep(id: &str) {
    warn!(
        id,
        possible_duplicate = true,
        "the disk does not say whether it has this mail, which its app heard 452 for: should a later start find it, it is \
         delivered, and twice if the app has sent it again"
    );
}

/// What stays in the spool when the process ends: how many, and the first Message-IDs.
pub fn spool_stays(messages: usize, message_ids: &[String]) {
    let shown =
        message_ids.iter().map(|id| masked(&printable(id)).into_owned()).collect::<Vec<_>>().join(" ");
    let others = messages.saturating_sub(message_ids.len());
    let more = if others > 0 { format!(" and {others} more") } else { String::new() };
    warn!(messages, "mail stays in the spool and is delivered after the next start: {shown}{more}");
}

/// Mail lies in a spool that is not used.
pub fn spool_not_used(directory: &str, messages: usize) {
    warn!(messages, "mail lies in {directory} and is not delivered: MAILSHIM_SPOOL_DIR is not set");
}
