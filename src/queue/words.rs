//! The part of a report that is for people.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::entry::{Entry, State, StoredRecipient, Verdict};
use super::mime::{shown, wrapped};
use crate::message::header::fields;
use crate::message::phrase::readable;
use crate::smtp::path::Address;

/// Recipients that the first lines name.
pub const MOST_NAMED: usize = 3;
/// Characters of a subject in the first line.
const LONGEST_SUBJECT: usize = 60;
/// Characters of an answer in the part for people; the part for programs has all of it.
const LONGEST_WORDS: usize = 600;
/// What a report says of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure<'a> {
    /// Who it is.
    pub recipient: &'a StoredRecipient,
    /// What was said.
    pub state: State,
}

/// For people. The first lines say what was not delivered to whom, why, and what to do.
pub fn text(
    host: &str,
    entry: &Entry,
    to: &Address,
    states: &[State],
    failures: &[Failure<'_>],
    header: &[u8],
) -> String {
    let mut text = String::new();
    let mail = named(entry, to, header);
    let tried = match entry.tries() {
        1 => "It was tried once".to_string(),
        more => format!("It was tried {more} times"),
    };
    let tried = format!("{tried} since {}", date(entry.head.created));
    let mut left: Vec<&Failure<'_>> = failures.iter().collect();
    while let Some(first) = left.first().copied() {
        let alike = |failure: &&Failure<'_>| same_reason(&failure.state, &first.state);
        let (group, others): (Vec<_>, Vec<_>) = left.into_iter().partition(alike);
        left = others;
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        let names: Vec<String> =
            group.iter().take(MOST_NAMED).map(|failure| shown(&failure.recipient.address)).collect();
        let whom = match group.len() - names.len() {
            0 => names.join(", "),
            more => format!("{} and {more} more", names.join(", ")),
        };
        wrapped(&mut text, "", &format!("{mail} was not delivered to {whom}."));
        why(&mut text, &first.state, &tried);
        if group.len() > names.len() {
            text.push_str("Everybody whom this is about:\r\n");
            group.iter().for_each(|one| wrapped(&mut text, "  ", &shown(&one.recipient.address)));
        }
    }
    text.push_str("\r\n");
    let have_it = states.iter().filter(|state| state.verdict == Some(Verdict::Delivered)).count();
    let wait = states.iter().filter(|state| state.waits()).count();
    if have_it > 0 {
        wrapped(&mut text, "", &format!("Recipients who have it: {have_it}."));
    }
    if wait > 0 {
        wrapped(&mut text, "", &format!("Recipients for whom it is still being tried: {wait}."));
    }
    if have_it + wait > 0 {
        text.push_str("\r\n");
    }
    text.push_str("The mail:\r\n");
    for name in ["Subject", "From", "Date"] {
        if let Some(field) = fields(header).find(|field| field.is(name)) {
            wrapped(&mut text, "  ", &format!("{name}: {}", shown(&readable(&field.value().text))));
        }
    }
    if let Some(id) = &entry.head.message_id {
        wrapped(&mut text, "  ", &format!("Message-ID: {}", shown(id)));
    }
    wrapped(&mut text, "  ", &format!("Accepted: {}", date(entry.head.created)));
    wrapped(&mut text, "  ", &format!("Attempts: {}", entry.tries()));
    kept(&mut text, host, &entry.head.id);
    text
}

pub fn kept(text: &mut String, host: &str, id: &str) {
    text.push_str("\r\n");
    let words = format!(
        "This was written by mailshim, which hands the mail of {} to Office 365. It keeps the mail itself for 30 days; \
         whoever looks after it reads more with `mailshim queue show {id}` and sends it again with `mailshim queue retry \
         {id}`.",
        shown(host)
    );
    wrapped(text, "", &words);
}

fn same_reason(a: &State, b: &State) -> bool {
    a.verdict == b.verdict && a.reply == b.reply && a.fix == b.fix
}

/// The second and the third of the lines for people.
pub fn why(text: &mut String, state: &State, tried: &str) {
    let words = state.detail.as_ref().map_or(state.reply.as_str(), |detail| detail.words.as_str());
    let mut words = shown(words);
    if let Some((end, _)) = words.char_indices().nth(LONGEST_WORDS) {
        words.truncate(end);
        words.push_str("...");
    }
    let why = match state.verdict {
        Some(Verdict::Expired) => {
            format!("{tried}, until its time (MAILSHIM_SPOOL_LIFETIME) was over. At the last: {words}")
        }
        _ => words,
    };
    wrapped(text, "Why: ", &why);
    let fix = state
        .fix
        .as_deref()
        .unwrap_or("Show this report to whoever looks after the program that sent the mail.");
    wrapped(text, "What to do: ", &shown(fix));
}

/// Which mail, to the one who gets the report.
fn named(entry: &Entry, to: &Address, header: &[u8]) -> String {
    let sender = entry.head.app.reverse_path.as_deref().unwrap_or_default();
    let whose = match sender.eq_ignore_ascii_case(to.as_str()) {
        true => "Your mail".to_string(),
        false => format!("A mail from {}", shown(sender)),
    };
    let subject = fields(header).find(|field| field.is("Subject")).map(|field| field.value().text);
    let mut subject = shown(&readable(&subject.unwrap_or_default()));
    if let Some((end, _)) = subject.char_indices().nth(LONGEST_SUBJECT) {
        subject.truncate(end);
        subject.push_str("...");
    }
    if subject.is_empty() { whose } else { format!("{whose} \"{subject}\"") }
}

pub fn and_others(first: &str, all: usize) -> String {
    match all.saturating_sub(1) {
        0 => shown(first),
        1 => format!("{} and one more", shown(first)),
        more => format!("{} and {more} more", shown(first)),
    }
}

/// A time as RFC 5322 section 3.3 has it.
pub fn date(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok().and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
    at.and_then(|at| at.format(&Rfc2822).ok()).unwrap_or_default()
}
