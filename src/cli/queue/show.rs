//! `mailshim queue show ID`: all that is known of one message; its content only where that is asked for.

use std::collections::HashSet;
use std::io::{self, IsTerminal as _, Write as _};

use clap::ArgMatches;

use super::look::{Failed, now, width};
use super::table::{USUAL_WIDTH, folded, with_id};
use super::view::{Recipient, View, span, when, word};
use crate::queue::entry::Entry;
use crate::redact::printable;
use crate::spool::{Browser, Found};

pub(super) fn show(given: &ArgMatches, spool: Option<&Browser>) -> Result<(), Failed> {
    let Some(id) = given.get_one::<u64>("id").copied() else { return Err(Failed::told()) };
    let unknown = || format!("{id:x}: there is no mail of this name (mailshim queue list shows all)");
    let spool = spool.ok_or_else(unknown)?;
    let found = spool.find(&HashSet::from([id])).map_err(|error| error.to_string())?;
    let found = found.first().ok_or_else(unknown)?;
    if given.get_flag("content") {
        return content(found).map_err(|error| format!("{id:x} cannot be read: {error}").into());
    }
    let text = described(found, width().unwrap_or(USUAL_WIDTH), now());
    // Nobody is left to tell if they do not take it.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(())
}

/// The octets as they will be sent; on a terminal without those that would do something there.
fn content(found: &Found) -> io::Result<()> {
    let out = io::stdout();
    let on_terminal = out.is_terminal();
    let mut out = out.lock();
    let written = found.content(&mut |octets| match on_terminal {
        false => out.write_all(octets),
        true => {
            let inert = |octet: &u8| match octet {
                b'\n' | b'\t' | b' '..=b'~' => Some(*octet),
                b'\r' => None,
                _ => Some(b'?'),
            };
            out.write_all(&octets.iter().filter_map(inert).collect::<Vec<u8>>())
        }
    });
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn described(found: &Found, width: usize, now: u64) -> String {
    let view = View::of(found);
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let lead = " ".repeat(NAMES);
        let all = folded(value, &lead, width);
        text.push_str(&format!("{name:<NAMES$}{}", all.strip_prefix(&lead).unwrap_or(&all)));
    };
    line("id", &format!("{:x}", view.id));
    line("state", view.state);
    line("accepted", &format!("{} ({} ago)", when(view.created), span(now.saturating_sub(view.created))));
    line("size", &format!("{} octets", view.bytes));
    if let Some(next) = view.next {
        let wait = if next > now { format!(" (in {})", span(next - now)) } else { " (now)".to_string() };
        line("next try", &format!("{}{wait}", when(next)));
    }
    if let Some(message_id) = &view.message_id {
        line("Message-ID", message_id);
    }
    if let Some(trouble) = &view.trouble {
        line("trouble", trouble);
    }
    if let Ok(entry) = &found.entry {
        let none = "<>".to_string();
        let (from, given) = (view.from.as_ref().unwrap_or(&none), view.given_from.as_ref().unwrap_or(&none));
        line("from", from);
        if given != from {
            line("", &format!("(the app gave {given})"));
        }
        if entry.head.sent.from_is_ours {
            line("", "(From is MAILSHIM_FROM, put there by the sender policy)");
        }
        let changes: Vec<String> = entry.head.sent.changes.iter().map(|change| printable(change)).collect();
        if !changes.is_empty() {
            line("changed", &changes.join(", "));
        }
        let same = |a: &Recipient, b: &Recipient| {
            (a.state, a.reply.as_ref(), a.fix.as_ref()) == (b.state, b.reply.as_ref(), b.fix.as_ref())
        };
        for group in view.recipients.chunk_by(same) {
            let names: Vec<&str> = group.iter().map(|recipient| recipient.address.as_str()).collect();
            line("to", &format!("{}: {}", names.join(" "), group[0].state));
            if let Some(said) = &group[0].reply {
                line("", said);
            }
            if let Some(fix) = &group[0].fix {
                line("", &format!("Fix: {}", with_id(fix, view.id)));
            }
        }
        attempts(entry, &view, &mut line);
    } else if let Some((_, Some(fix))) = view.reason() {
        line("", &format!("Fix: {}", with_id(fix, view.id)));
    }
    text
}

/// The width of the names.
const NAMES: usize = 13;

fn attempts(entry: &Entry, view: &View, line: &mut dyn FnMut(&str, &str)) {
    let nobody = "?".to_string();
    for attempt in &entry.attempts {
        let name =
            |place: &usize| view.recipients.get(*place).map_or(&nobody, |recipient| &recipient.address);
        let names = |places: &[usize]| match places {
            [place] => name(place).clone(),
            places => format!("{} recipients", places.len()),
        };
        if !attempt.again.is_empty() {
            line("brought back", &format!("{} for {}", when(attempt.at), names(&attempt.again)));
        }
        if !attempt.reported.is_empty() {
            line("reported", &format!("{} about {}", when(attempt.at), names(&attempt.reported)));
        }
        for result in &attempt.results {
            let said = format!(
                "{} {} for {}: {}",
                when(attempt.at),
                word(result.verdict),
                names(&result.recipients),
                printable(&result.reply)
            );
            line("attempt", &said);
        }
    }
}
