//! A message goes: claimed, tried, and settled by what became of it.
//!
//! # What is told when a process dies in between
//!
//! Office 365 may have a message whose attempt was never recorded, and it is sent once more: a copy is better than a loss.
//! That must not happen in silence, so an attempt leaves a mark before its first octet is sent ([`Store::begin`]), one line
//! that is appended and not synced. What was weighed:
//!
//! - *Synced*: as sure as the record, at one `fsync` more for each message, 0.2 to 10 ms and half the throughput of the disk.
//! - *The claim's rename* to a name that says so: costs as much as the append, but makes every name of a message differ
//!   while it is under way, and an older version would take it for a foreign file.
//! - *Appended, not synced* (this): 20 us. It outlives the death of the process, which is what happens every day. A power
//!   cut within the seconds before the kernel writes it back can take it along: then a copy is sent without a word. What is
//!   lost then is the word, never the message.
//!
//! It is made when the connection is there and signed in, not when the message is claimed: a mail that never got so far is
//! not told as a possible copy. A disk that does not take the mark would not take the record either, and the message is not
//! sent; only on a full one it is, since that is how there is room again, and a removal needs none.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::commit::Work;
use super::index::Name;
use super::reading::{self, Content, Unusable};
use super::store::{DAMAGED, DEAD, Store, blocking};
use crate::message::shown::Shown;
use crate::message::{Budget, HeldContent};
use crate::queue::entry::{Attempt, Begun, Damage, Entry, Verdict};
use crate::telemetry;

/// How long a message waits that was given back without a verdict: the part that had it has died, or its file cannot be
/// read now.
const GIVEN_BACK: u64 = 60;
/// What is due is looked at as often as this, whatever was known.
const LOOK_AGAIN: u64 = 60;

/// A message that is being tried. Dropped without [`Store::settle`] or [`Store::release`] it waits again.
pub struct Claimed {
    /// What is known of it.
    pub entry: Entry,
    /// Whom its header names as its sender.
    pub shown: Shown,
    /// Its header block as it is sent, as far as it is kept for a report.
    pub header: Vec<u8>,
    /// The recipients of an attempt that was begun and is not recorded, by their places.
    begun: Vec<usize>,
    content: Content,
    place: Place,
    /// As it is called among what was given up.
    buried: Option<Name>,
}

/// Its place in the spool, given back by Drop.
struct Place {
    name: Name,
    store: Option<Store>,
    /// It was read, and may be what makes its reader fail.
    is_read: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        match self.store.take() {
            Some(store) if self.is_read => store.rename(self.name, store.now() + GIVEN_BACK, Vec::new()),
            Some(store) => store.wait_again(self.name),
            None => {}
        }
    }
}

/// What becomes of a message after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Everybody has it.
    Remove,
    /// It is tried again, at this time in seconds since 1970.
    Again(u64),
    /// Nobody is left to deliver to, and somebody did not get it.
    Dead,
}

impl Claimed {
    /// The content as it will be sent. A second call finds none.
    pub fn content(&mut self, budget: &Budget) -> HeldContent<'static> {
        self.content.take(&self.entry, budget)
    }

    /// Whether one of these recipients may have the message: the connection died before the answer, or a process before
    /// its record.
    pub fn may_have_arrived(&self, places: &[usize]) -> bool {
        let states = self.entry.states();
        let is_unknown =
            |place: usize| states.get(place).is_some_and(|state| state.verdict == Some(Verdict::Unknown));
        places.iter().any(|place| self.begun.contains(place) || is_unknown(*place))
    }

    /// It is too long to be sent from memory.
    pub const fn streams(&self) -> bool {
        matches!(self.content, Content::File(_))
    }
}

impl Store {
    /// Takes the message that is to be tried next; waits until one is due. `large` says whether one may be taken that
    /// streams. Never ends while there is none. Dropped, it has taken none.
    pub async fn claim(&self, large: impl Fn() -> bool) -> Box<Claimed> {
        self.opened().await;
        loop {
            // Before the look, so that nothing that comes after it is missed.
            let changed = self.0.changed.notified();
            let now = self.now();
            let (claimed, due) = {
                let mut state = self.state();
                let state = &mut *state;
                state.later.retain(|(due, name)| {
                    let is_due = *due <= now;
                    if is_due {
                        state.index.add(*name, now);
                    }
                    !is_due
                });
                let large = large();
                let later = state.later.iter().map(|(due, _)| *due).min();
                let due = [state.index.next_due(large), later].into_iter().flatten().min();
                (state.index.claim(now, large), due)
            };
            if let Some(name) = claimed {
                let place = Place { name, store: Some(self.clone()), is_read: false };
                match self.read(place).await {
                    Some(claimed) => return claimed,
                    None => continue,
                }
            }
            let wait = due.map_or(LOOK_AGAIN, |due| due.saturating_sub(now).clamp(1, LOOK_AGAIN));
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(Duration::from_secs(wait)) => {}
            }
        }
    }

    /// Nothing is under way, and nothing is due before then.
    pub fn is_idle_until(&self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now()).as_secs();
        let now = self.now();
        let state = self.state();
        let later = state.later.iter().map(|(due, _)| *due).min();
        let due = [state.index.next_due(true), later].into_iter().flatten().min();
        left == 0 || due.is_none_or(|due| due > now + left)
    }

    /// The Message-IDs of what waits, or else the names in the log, of at most so many, oldest first.
    pub async fn message_ids(&self, most: usize) -> Vec<String> {
        let (disk, names) = (Arc::clone(&self.0.disk), self.oldest(most));
        let paths: Vec<_> = names.into_iter().map(|name| (self.path(name), name)).collect();
        let read = blocking(move || {
            let id = |(path, name): (std::path::PathBuf, Name)| {
                let id = reading::read_head(&disk, &path).ok().and_then(|head| head.message_id);
                id.unwrap_or_else(|| format!("{:x}", name.id))
            };
            paths.into_iter().map(id).collect()
        });
        read.await.unwrap_or_default()
    }

    async fn read(&self, mut place: Place) -> Option<Box<Claimed>> {
        let name = place.name;
        let (disk, path) = (Arc::clone(&self.0.disk), self.path(name));
        let read = blocking(move || reading::read(&disk, &path, name)).await;
        place.is_read = true;
        let error = match read {
            Ok(Ok(reading::Read { entry, begun, shown, header, content })) => {
                return Some(Box::new(Claimed { entry, shown, header, begun, content, place, buried: None }));
            }
            Ok(Err(Unusable::Damage(damage))) => {
                self.set_apart(place, damage).await;
                return None;
            }
            Ok(Err(Unusable::Io(error))) | Err(error) => error,
        };
        telemetry::spool_file_unreadable(&name.to_string(), &error.to_string());
        if error.kind() == io::ErrorKind::NotFound {
            // Somebody has taken the file away: there is nothing to try again.
            self.forget(place);
        }
        None
    }

    async fn set_apart(&self, place: Place, damage: Damage) {
        let name = place.name;
        let result = match damage {
            // Never acknowledged.
            Damage::Unfinished => self.change(Work::Remove { name }).await,
            Damage::Version => {
                telemetry::spool_file_of_another_version(&name.to_string());
                Ok(())
            }
            Damage::Damaged(what) => {
                telemetry::spool_file_damaged(&name.to_string(), what);
                let to = self.0.folder.join(DAMAGED);
                self.change(Work::Move { name, to, moved: name, line: Vec::new() }).await
            }
        };
        if let Err(error) = result {
            telemetry::spool_file_unreadable(&name.to_string(), &error.to_string());
        }
        // Wherever it lies now, this process does not look at it again.
        self.forget(place);
    }

    fn forget(&self, mut place: Place) {
        place.store = None;
        self.state().index.remove(place.name.id);
    }

    /// Records an attempt and what becomes of the message.
    ///
    /// # Errors
    /// It could not be recorded, and somebody may have the message: it must not be tried before the record succeeds, so it
    /// is given back to be settled again. Where nobody has it, it waits again and there is no error.
    pub async fn settle(
        &self,
        mut claimed: Box<Claimed>,
        attempt: &Attempt,
        then: Then,
    ) -> Result<(), (Box<Claimed>, io::Error)> {
        let name = claimed.place.name;
        let is_done = attempt.results.iter().any(|result| result.verdict == Verdict::Delivered);
        let work = match then {
            Then::Remove => Work::Remove { name },
            Then::Again(due) => Work::Again { name, due, line: attempt.line(), sync: is_done },
            Then::Dead => {
                // The same at every try to record it: the file may have been moved by one that failed after that.
                let moved = *claimed.buried.get_or_insert(Name { due: self.ran(), ..name });
                Work::Move { name, to: self.0.folder.join(DEAD), moved, line: attempt.line() }
            }
        };
        let buried = claimed.buried;
        // A record that is under way when this is dropped must not have its file renamed beneath it.
        claimed.place.store = None;
        match (self.change(work).await, then) {
            (Err(error), _) if is_done => {
                self.disk_failed(&error);
                claimed.place.store = Some(self.clone());
                Err((claimed, error))
            }
            (Err(error), _) => {
                self.disk_failed(&error);
                telemetry::spool_not_recorded(&claimed.entry.head.id, &error.to_string());
                self.rename(name, self.now() + GIVEN_BACK, Vec::new());
                Ok(())
            }
            (Ok(()), Then::Again(due)) => {
                self.wait_again(Name { due, ..name });
                Ok(())
            }
            (Ok(()), _) => {
                let mut state = self.state();
                state.index.remove(name.id);
                buried.into_iter().for_each(|name| state.dead.add(name));
                Ok(())
            }
        }
    }

    /// Marks that Office 365 is about to be asked for these recipients. Whether it may be.
    pub fn begin(&self, claimed: &Claimed, places: &[usize]) -> impl Future<Output = bool> + use<> {
        let (store, path, begun) = (self.clone(), self.path(claimed.place.name), places.to_vec());
        async move {
            let disk = Arc::clone(&store.0.disk);
            let line = Begun { begun, at: store.now() }.line();
            let marked = blocking(move || disk.append(&path)?.write(&line)).await;
            let Err(error) = marked.and_then(|marked| marked) else { return true };
            store.disk_failed(&error);
            matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        }
    }

    /// Gives a message back that nobody has, to wait for so long. `begun` says that it was marked.
    pub fn release(&self, mut claimed: Box<Claimed>, wait: Duration, begun: bool) {
        claimed.place.store = None;
        let name = claimed.place.name;
        let taken_back = || Begun { begun: Vec::new(), at: self.now() }.line();
        let line = begun.then(taken_back).unwrap_or_default();
        match wait.as_secs() {
            0 if !begun => self.wait_again(name),
            seconds => self.rename(name, self.now() + seconds, line),
        }
    }

    /// Lets go of a message that this process must not try again: somebody has it, and it cannot be recorded.
    pub fn abandon(&self, mut claimed: Box<Claimed>) {
        claimed.place.store = None;
    }

    fn wait_again(&self, name: Name) {
        let now = self.now();
        self.state().index.add(name, now);
        self.0.changed.notify_one();
    }

    /// It waits again, until then. Where even its name cannot be changed this process remembers it.
    fn rename(&self, name: Name, due: u64, line: Vec<u8>) {
        let store = self.clone();
        self.send(Work::Again { name, due, line, sync: false }, move |result| match result {
            Ok(()) => store.wait_again(Name { due, ..name }),
            Err(error) => {
                store.disk_failed(&error);
                store.state().later.push((due, name));
            }
        });
    }
}
