//! What becomes of dead letters beyond their bounds.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::commit::Work;
use super::index::Name;
use super::reading;
use super::store::{DEAD, Store, blocking};
use crate::queue::entry::{Attempt, Entry, Head};
use crate::telemetry;

/// How often it is written down for how long the spool was used, in seconds.
const SAVE_EVERY: u64 = 600;

/// Letters of this time may be owed a report by a process that has died, in seconds.
const RECENT: u64 = 2 * 3600;
/// Letters that are read again for that.
const MOST_RECENT: usize = 1000;

impl Store {
    /// Seconds that this spool has been used, by this process and those before it.
    pub fn ran(&self) -> u64 {
        self.0.ran.before.load(Ordering::Relaxed) + self.now().saturating_sub(self.started_at())
    }

    /// Letters that were given up and are kept.
    pub fn dead_letters(&self) -> usize {
        self.state().dead.len()
    }

    /// Lets go of dead letters beyond their bounds, and says which.
    pub async fn tidy(&self) {
        if self.ran() >= self.0.ran.saved.load(Ordering::Relaxed) + SAVE_EVERY {
            self.save_ran();
        }
        loop {
            // In a statement of its own: the lock is given back before anything is awaited.
            let too_much = self.state().dead.too_much(self.ran());
            let Some((letter, why)) = too_much else { return };
            let from = self.0.folder.join(DEAD);
            let (disk, path) = (Arc::clone(&self.0.disk), from.join(letter.to_string()));
            let head = blocking(move || reading::read_head(&disk, &path).ok()).await.ok().flatten();
            // Before it goes: a process that dies between the two says it twice, not never.
            tell(letter, head.as_ref(), why);
            if let Err(error) = self.change(Work::Discard { from, name: letter }).await {
                telemetry::spool_file_unreadable(&letter.to_string(), &error.to_string());
            }
            // Also where it could not be removed: the next process tries again.
            self.state().dead.remove(letter);
        }
    }
}

impl Store {
    /// What was laid aside lately, each with its header block, oldest first.
    pub async fn recent_dead_letters(&self) -> Vec<(Entry, Vec<u8>)> {
        let names = self.state().dead.since(self.ran().saturating_sub(RECENT), MOST_RECENT);
        let mut letters = Vec::new();
        for name in names {
            let (disk, path) = (Arc::clone(&self.0.disk), self.0.folder.join(DEAD).join(name.to_string()));
            let read = blocking(move || reading::read(&disk, &path, name).ok()).await.ok().flatten();
            letters.extend(read.map(|read| (read.entry, read.header)));
        }
        letters
    }

    /// Appends a line to each of these dead letters, by their ids.
    pub async fn note(&self, letters: Vec<(u64, Attempt)>) {
        let wanted: HashMap<u64, Attempt> = letters.into_iter().collect();
        let names = self.state().dead.find(|id| wanted.contains_key(&id));
        for name in names {
            let Some(attempt) = wanted.get(&name.id) else { continue };
            let work = Work::Note { of: self.0.folder.join(DEAD), name, line: attempt.line() };
            if let Err(error) = self.change(work).await {
                telemetry::spool_not_recorded(&format!("{:x}", name.id), &error.to_string());
            }
        }
    }
}

fn tell(letter: Name, head: Option<&Head>, why: &'static str) {
    let id = format!("{:x}", letter.id);
    let message_id = head.and_then(|head| head.message_id.as_deref()).unwrap_or_default();
    let recipients = head.map(|head| head.app.recipients.as_slice()).unwrap_or_default();
    let recipients: Vec<&str> = recipients.iter().map(|recipient| recipient.address.as_str()).collect();
    telemetry::spool_dead_letter_discarded(&id, message_id, &recipients, why);
}
