//! A message of the spool as a person or a program sees it. Pure: what was found in, words out. No text of a file reaches
//! a terminal as it came.

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::queue::entry::{Damage, Entry, State, Verdict};
use crate::redact::printable;
use crate::spool::{Found, Whereabouts};

/// A recipient.
#[derive(Debug)]
pub struct Recipient {
    pub address: String,
    pub state: &'static str,
    pub reply: Option<String>,
    pub fix: Option<String>,
}

/// A message.
#[derive(Debug)]
pub struct View {
    pub id: u64,
    pub state: &'static str,
    /// In seconds since 1970.
    pub created: u64,
    /// Octets as it will be sent; of what cannot be read, those of its file.
    pub bytes: u64,
    /// The reverse-path as it will be sent; `None` for `<>`, and where it cannot be read.
    pub from: Option<String>,
    /// The one that the app gave.
    pub given_from: Option<String>,
    pub recipients: Vec<Recipient>,
    /// Those that the app gave.
    pub given_recipients: Vec<String>,
    pub attempts: usize,
    /// In seconds since 1970.
    pub next: Option<u64>,
    pub message_id: Option<String>,
    /// Why it cannot be read, or is damaged.
    pub trouble: Option<String>,
}

impl View {
    pub fn of(found: &Found) -> Self {
        let mut view = Self {
            id: found.id,
            state: "damaged",
            created: found.created,
            bytes: found.octets,
            from: None,
            given_from: None,
            recipients: Vec::new(),
            given_recipients: Vec::new(),
            attempts: 0,
            next: (found.whereabouts == Whereabouts::Queue).then_some(found.due),
            message_id: None,
            trouble: None,
        };
        let tries = match &found.entry {
            Ok(entry) => {
                view.read(entry);
                entry.tries()
            }
            Err(damage) => {
                view.trouble = Some(said_of(damage));
                0
            }
        };
        view.state = match found.whereabouts {
            Whereabouts::Damaged => "damaged",
            Whereabouts::Dead => "dead",
            Whereabouts::Queue if tries > 0 => "deferred",
            Whereabouts::Queue => "waiting",
        };
        if found.whereabouts == Whereabouts::Damaged && view.trouble.is_none() {
            view.trouble = Some("its checksum does not fit: it is not what was written".to_string());
        }
        view
    }

    fn read(&mut self, entry: &Entry) {
        let sent = &entry.head.sent.envelope;
        let recipient = |(stored, state): (&crate::queue::entry::StoredRecipient, State)| Recipient {
            address: printable(&stored.address),
            state: state.verdict.map_or("waiting", word),
            reply: Some(printable(&state.reply)).filter(|reply| !reply.is_empty()),
            fix: state.fix.as_deref().map(printable),
        };
        self.bytes = entry.length - entry.content_at;
        self.from = sent.reverse_path.as_deref().map(printable);
        self.given_from = entry.head.app.reverse_path.as_deref().map(printable);
        self.recipients = sent.recipients.iter().zip(entry.states()).map(recipient).collect();
        self.given_recipients =
            entry.head.app.recipients.iter().map(|recipient| printable(&recipient.address)).collect();
        self.attempts = entry.tries_ever();
        self.message_id = entry.head.message_id.as_deref().map(printable);
    }

    /// What was said last of a recipient who has not got it: the reply, and what to do about it.
    pub fn reason(&self) -> Option<(&str, Option<&str>)> {
        if let Some(trouble) = &self.trouble {
            return Some((trouble, Some(OF_DAMAGE)));
        }
        let failed = |recipient: &&Recipient| recipient.state != "delivered" && recipient.reply.is_some();
        let first = self.recipients.iter().find(failed)?;
        first.reply.as_deref().map(|reply| (reply, first.fix.as_deref()))
    }

    /// The object of `--json`.
    pub fn json(&self) -> Value {
        let recipient = |recipient: &Recipient| {
            json!({
                "address": recipient.address,
                "state": recipient.state,
                "reply": recipient.reply,
            })
        };
        let (reply, fix) = self.reason().map_or((None, None), |(reply, fix)| (Some(reply), fix));
        json!({
            "id": format!("{:x}", self.id),
            "state": self.state,
            "created": when(self.created),
            "bytes": self.bytes,
            "from": self.from,
            "recipients": self.recipients.iter().map(recipient).collect::<Vec<_>>(),
            "attempts": self.attempts,
            "next": self.next.map(when),
            "reply": reply,
            "fix": fix,
            "message_id": self.message_id,
        })
    }
}

/// What to do about what is damaged.
const OF_DAMAGE: &str = "Nothing delivers it. Look with mailshim queue show --content ID, send it again by hand or restore the \
                         file from a backup, then mailshim queue drop ID.";

fn said_of(damage: &Damage) -> String {
    match damage {
        Damage::Unfinished => "it was never finished, so never acknowledged".to_string(),
        Damage::Version => {
            "it was written by another version of mailshim, and waits for that one".to_string()
        }
        Damage::Damaged(what) => (*what).to_string(),
    }
}

/// A verdict's word.
pub const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Delivered => "delivered",
        Verdict::Refused => "refused",
        Verdict::Deferred => "deferred",
        Verdict::Unknown => "unknown",
        Verdict::Expired => "expired",
        Verdict::Dropped => "dropped",
    }
}

/// A time as RFC 3339 has it, in UTC.
pub fn when(seconds: u64) -> String {
    let time =
        i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| seconds.to_string())
}

/// A time in its greatest unit: `45s`, `12m`, `3h`, `5d`.
pub fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Octets in their greatest unit, of at most five characters.
pub fn size(octets: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match UNITS.into_iter().find(|(unit, _)| octets >= *unit) {
        Some((unit, name)) if octets < 10 * unit => {
            format!("{}.{}{name}", octets / unit, octets % unit * 10 / unit)
        }
        Some((unit, name)) => format!("{}{name}", octets / unit),
        None => format!("{octets}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_short() {
        let spans = [0, 119, 120, 7199, 7200, 172_799, 172_800, 90 * 86_400].map(span);
        assert_eq!(spans, ["0s", "119s", "2m", "119m", "2h", "47h", "2d", "90d"]);
        let sizes = [0, 999, 1000, 9_999, 10_000, 999_999, 1_500_000, 35_000_000, 1_000_000_000].map(size);
        assert_eq!(sizes, ["0B", "999B", "1.0kB", "9.9kB", "10kB", "999kB", "1.5MB", "35MB", "1.0GB"]);
        assert_eq!(when(1_764_118_800), "2025-11-26T01:00:00Z");
    }
}
