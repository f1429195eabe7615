//! The directories and the index: put, claim, settle, list.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, oneshot, watch};

use super::commit::{Job, Queue, Work};
use super::index::{Index, Name};
use super::reading::{self, Claimed, Found, Unusable};
use crate::durable::{Disk, DiskFile};
use crate::message::{Abandoned, HeldContent, Piece};
use crate::queue::entry::{self, Attempt, Damage, Head, Sum};

/// The folder that is ours, and is judged: what else lies in MAILSHIM_SPOOL_DIR is nobody's business.
const FOLDER: &str = "mailshim";
/// Mail that waits.
const QUEUE: &str = "queue";
/// Mail that was given up.
const DEAD: &str = "dead";
/// What does not fit its checksum.
const DAMAGED: &str = "damaged";
/// What the operator asks for.
const REQUESTS: &str = "requests";
/// How often a lock that another has is tried.
const LOCK_AGAIN: Duration = Duration::from_millis(250);
/// Octets of a stream that are written in one call.
const GATHER: usize = 256 * 1024;
/// How long a message waits that was given back without a verdict: the part that had it has died.
const GIVEN_BACK: u64 = 60;

/// `MAILSHIM_SPOOL_*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `MAILSHIM_SPOOL_DIR`.
    pub directory: PathBuf,
    /// `MAILSHIM_SPOOL_MAX_BYTES`: octets of all that waits together.
    pub max_bytes: u64,
    /// `MAILSHIM_SPOOL_LIFETIME`.
    pub lifetime: Duration,
}

/// How far the start has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Another shim has the directory, as in a rolling update: nothing is taken.
    Waiting,
    /// The directory is ours and is being read: mail is taken and delivered, what waits is not yet known as a whole.
    Reading,
    /// All is known.
    Open,
}

/// Why a message was not put into the spool. Nothing of it stays.
#[derive(Debug)]
pub enum PutFault {
    /// The directory is another shim's for the moment.
    Waiting,
    /// MAILSHIM_SPOOL_MAX_BYTES is reached.
    Full,
    /// The disk would not, or cannot say whether it did.
    Disk(io::Error),
    /// The content will not become whole.
    Abandoned(Abandoned),
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

/// What waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Messages.
    pub messages: usize,
    /// Their octets.
    pub octets: u64,
    /// When the oldest was accepted, in seconds since 1970.
    pub oldest: Option<u64>,
}

/// The spool. A clone is the same one.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

struct Shared {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    max_bytes: u64,
    commit: Queue,
    state: Mutex<State>,
    /// Something may be tried earlier than was known.
    changed: Notify,
    phase: watch::Sender<Phase>,
    /// Held for as long as the process lives: the kernel gives it back, whatever ends us.
    lock: Mutex<Option<std::fs::File>>,
}

#[derive(Default)]
struct State {
    index: Index,
    /// Octets that are being written.
    coming: u64,
    /// Messages that came while the directory is read: it may show them, whole or not.
    newcomers: HashSet<u64>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("folder", &self.0.folder).finish_non_exhaustive()
    }
}

impl Store {
    /// Makes the directories. [`Store::take`] then waits for the lock and reads what is there. The other end is told when
    /// the thread that makes mail durable has ended: nothing can be taken after that.
    ///
    /// # Errors
    /// The directory cannot be used at all.
    pub fn new(options: &Options, disk: Arc<dyn Disk>) -> io::Result<(Self, oneshot::Receiver<()>)> {
        let folder = options.directory.join(FOLDER);
        disk.make_directory(&folder)?;
        for inside in [QUEUE, DEAD, DAMAGED, REQUESTS] {
            disk.make_directory(&folder.join(inside))?;
        }
        // A directory whose name is lost with the power takes all mail in it along.
        disk.sync_directory(&folder)?;
        disk.sync_directory(&options.directory)?;
        let (commit, ended) = Queue::start(Arc::clone(&disk), folder.join(QUEUE))?;
        let (phase, lock) = (watch::Sender::new(Phase::Waiting), Mutex::default());
        let state = Mutex::default();
        let max_bytes = options.max_bytes;
        let shared = Shared { disk, folder, max_bytes, commit, state, changed: Notify::new(), phase, lock };
        Ok((Self(Arc::new(shared)), ended))
    }

    /// Waits until no other shim has the directory, then reads which messages there are. Mail is taken from the lock on.
    ///
    /// # Errors
    /// The lock cannot be tried, or the directory cannot be read.
    pub async fn take(&self) -> io::Result<()> {
        let path = self.0.folder.join("lock");
        let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        loop {
            match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK) => tokio::time::sleep(LOCK_AGAIN).await,
                Err(error) => return Err(error.into()),
            }
        }
        *self.0.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        self.0.phase.send_replace(Phase::Reading);
        let store = self.clone();
        blocking(move || store.read_directory()).await??;
        self.0.phase.send_replace(Phase::Open);
        self.state().newcomers = HashSet::new();
        self.0.changed.notify_waiters();
        Ok(())
    }

    fn read_directory(&self) -> io::Result<()> {
        let queue = self.0.folder.join(QUEUE);
        let now = now();
        for name in self.0.disk.list(&queue)? {
            // Foreign names are left alone: an editor's, or a backup's.
            let Some(name) = name.to_str().and_then(Name::parse) else { continue };
            let mut state = self.state();
            if state.newcomers.contains(&name.id) {
                continue;
            }
            if name.octets > 0 {
                state.index.add(name, now);
            } else {
                drop(state);
                // A stream that was never finished, so never acknowledged.
                let _ = self.0.disk.remove(&queue.join(name.to_string()));
            }
        }
        Ok(())
    }

    /// How far the start has come.
    pub fn phase(&self) -> Phase {
        *self.0.phase.borrow()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits.
    pub fn waiting(&self) -> Waiting {
        let state = self.state();
        let index = &state.index;
        Waiting { messages: index.len(), octets: index.octets(), oldest: index.oldest() }
    }

    fn path(&self, name: Name) -> PathBuf {
        self.0.folder.join(QUEUE).join(name.to_string())
    }

    /// Takes a message: when this returns it is durable, and will be delivered whatever happens to the process.
    ///
    /// # Errors
    /// Nothing of it was kept.
    pub async fn put(&self, id: u64, head: &Head, content: &mut HeldContent<'_>) -> Result<Name, PutFault> {
        match self.phase() {
            Phase::Waiting => return Err(PutFault::Waiting),
            Phase::Reading => drop(self.state().newcomers.insert(id)),
            Phase::Open => {}
        }
        let first_line = entry::first_line(head);
        let sender = head.app.reverse_path.as_deref().unwrap_or_default();
        let name = Name { due: head.created, id, octets: 0, sender: hash(sender) };
        let mut room = Room { store: self, octets: 0 };
        room.take(first_line.len() as u64)?;
        let (work, name) = if content.is_complete() {
            let chunks: Vec<Bytes> = content.kept().cloned().collect();
            room.take(chunks.iter().map(|chunk| chunk.len() as u64).sum())?;
            let name = Name { octets: room.octets, ..name };
            (Work::Write { name, first_line, content: chunks }, name)
        } else {
            self.stream(name, first_line, content, &mut room).await?
        };
        let (done, result) = oneshot::channel();
        let store = self.clone();
        // In the thread, not here: a session that is gone by then leaves a message that is there all the same.
        let told = move |result: io::Result<()>| {
            if result.is_ok() {
                store.state().index.add(name, now());
                store.0.changed.notify_one();
            }
            drop(done.send(result));
        };
        self.0.commit.send(Job { work, done: Box::new(told) });
        match result.await {
            Ok(Ok(())) => Ok(name),
            Ok(Err(error)) => Err(PutFault::Disk(error)),
            Err(_) => Err(PutFault::Disk(io::Error::other("the thread that writes the spool has ended"))),
        }
    }

    /// Writes content as it comes. The file has no size in its name until it is whole.
    async fn stream(
        &self,
        name: Name,
        first_line: Vec<u8>,
        content: &mut HeldContent<'_>,
        room: &mut Room<'_>,
    ) -> Result<(Work, Name), PutFault> {
        let path = self.path(name);
        let mut sum = Sum::of_first_line(&first_line);
        let (disk, created) = (Arc::clone(&self.0.disk), path.clone());
        let created = blocking(move || {
            let mut file = disk.create(&created)?;
            file.write(&first_line)?;
            Ok::<_, io::Error>(file)
        });
        let mut unfinished = Unfinished { disk: &self.0.disk, path: Some(path.clone()) };
        let mut file: Box<dyn DiskFile> = created.await.and_then(|file| file).map_err(PutFault::Disk)?;
        let mut gathered: Vec<Bytes> = Vec::new();
        let mut octets = 0;
        loop {
            let piece = content.next().await;
            let is_end = match piece {
                Piece::Chunk(chunk) => {
                    room.take(chunk.len() as u64)?;
                    sum.add(&chunk);
                    octets += chunk.len();
                    gathered.push(chunk);
                    false
                }
                Piece::End => true,
                Piece::Abandoned(why) => return Err(PutFault::Abandoned(why)),
            };
            if octets >= GATHER || (is_end && octets > 0) {
                let chunks = std::mem::take(&mut gathered);
                octets = 0;
                let writing = blocking(move || {
                    let result = chunks.iter().try_for_each(|chunk| file.write(chunk));
                    result.map(|()| file)
                });
                file = writing.await.and_then(|file| file).map_err(PutFault::Disk)?;
            }
            if is_end {
                unfinished.path = None;
                let name = Name { octets: sum.length(), ..name };
                let prefix = sum.prefix();
                return Ok((Work::Finish { written: path, name, file, prefix }, name));
            }
        }
    }

    /// Takes the message that is to be tried next; waits until one is due. `large` says whether one may be taken that
    /// streams. Never ends while there is none.
    pub async fn claim(&self, large: impl Fn() -> bool) -> Found {
        loop {
            // Before the look, so that nothing that comes after it is missed.
            let changed = self.0.changed.notified();
            let now = now();
            let (claimed, due) = {
                let mut state = self.state();
                let large = large();
                (state.index.claim(now, large), state.index.next_due(large))
            };
            if let Some(name) = claimed {
                match self.read(name).await {
                    Some(found) => return found,
                    None => continue,
                }
            }
            // Looked at again now and then: a wall clock may jump.
            let wait = due.map_or(60, |due| due.saturating_sub(now).clamp(1, 60));
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(Duration::from_secs(wait)) => {}
            }
        }
    }

    async fn read(&self, name: Name) -> Option<Found> {
        let (disk, path) = (Arc::clone(&self.0.disk), self.path(name));
        let read = blocking(move || reading::read(&disk, &path, name)).await;
        match read {
            Ok(Ok(read)) => Some(Found::Message(Box::new(Claimed::new(name, read, self.clone())))),
            Ok(Err(Unusable::Damage(Damage::Unfinished))) => {
                // Never acknowledged.
                let _ = self.change(Work::Remove { name }).await;
                self.state().index.remove(name.id);
                None
            }
            Ok(Err(Unusable::Damage(Damage::Version))) => {
                self.state().index.remove(name.id);
                Some(Found::Version(name))
            }
            Ok(Err(Unusable::Damage(Damage::Damaged(what)))) => {
                let to = self.0.folder.join(DAMAGED);
                let _ = self.change(Work::Move { name, to, line: None }).await;
                self.state().index.remove(name.id);
                Some(Found::Damaged(name, what))
            }
            Ok(Err(Unusable::Io(error))) | Err(error) => {
                self.give_back(name);
                Some(Found::Unreadable(name, error))
            }
        }
    }

    /// Records an attempt and what becomes of the message.
    ///
    /// # Errors
    /// It could not be recorded. What was delivered is remembered for as long as the process lives: the message is not
    /// tried again before the record succeeds.
    pub async fn settle(&self, mut claimed: Box<Claimed>, attempt: &Attempt, then: Then) -> io::Result<()> {
        let name = claimed.name;
        let is_done = attempt.results.iter().any(|result| result.verdict == entry::Verdict::Delivered);
        let work = match then {
            Then::Remove => Work::Remove { name },
            Then::Again(due) => Work::Again { name, due, line: attempt.line(), sync: is_done },
            Then::Dead => {
                Work::Move { name, to: self.0.folder.join(DEAD), line: Some(attempt.line()) }
            }
        };
        let changed = self.change(work).await;
        // From here on Drop has nothing to give back.
        claimed.store = None;
        match (&changed, then) {
            (Ok(()), Then::Again(due)) => {
                self.state().index.add(Name { due, ..name }, now());
                self.0.changed.notify_one();
            }
            // A message of which the record failed stays claimed: to send it again could double it.
            (Err(_), _) if is_done => {}
            (Err(_), _) => self.give_back(name),
            (Ok(()), _) => self.state().index.remove(name.id),
        }
        changed
    }

    /// It waits again, for a while: nobody knows what was done with it. Where even its name cannot be changed it is left
    /// to the next start.
    pub(super) fn give_back(&self, name: Name) {
        let due = now() + GIVEN_BACK;
        let store = self.clone();
        let told = move |result: io::Result<()>| {
            if result.is_ok() {
                store.state().index.add(Name { due, ..name }, now());
                store.0.changed.notify_one();
            }
        };
        let work = Work::Again { name, due, line: Vec::new(), sync: false };
        self.0.commit.send(Job { work, done: Box::new(told) });
    }

    async fn change(&self, work: Work) -> io::Result<()> {
        let (done, result) = oneshot::channel();
        self.0.commit.send(Job { work, done: Box::new(move |result| drop(done.send(result))) });
        result.await.unwrap_or_else(|_| Err(io::Error::other("the thread that writes the spool has ended")))
    }
}

/// Octets that are taken of MAILSHIM_SPOOL_MAX_BYTES while a message is written.
struct Room<'a> {
    store: &'a Store,
    octets: u64,
}

impl Room<'_> {
    fn take(&mut self, octets: u64) -> Result<(), PutFault> {
        let mut state = self.store.state();
        if state.index.octets() + state.coming + octets > self.store.0.max_bytes {
            return Err(PutFault::Full);
        }
        state.coming += octets;
        self.octets += octets;
        Ok(())
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.store.state().coming -= self.octets;
    }
}

/// A file that is not whole: it goes when its writer does.
struct Unfinished<'a> {
    disk: &'a Arc<dyn Disk>,
    path: Option<PathBuf>,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = self.disk.remove(path);
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| io::Error::other("a fault in mailshim"))
}

/// Seconds since 1970.
fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The same for the same sender in every process: it stands in file names.
fn hash(sender: &str) -> u32 {
    // FNV-1a: a name tag, not a defence.
    sender.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0193)
    })
}
