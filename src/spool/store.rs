//! The directories, whose they are, and what is known of their files.

use std::collections::HashSet;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot, watch};

use super::clock::Clock;
use super::commit::{Job, Queue, Work};
use super::index::{Index, Name};
use crate::durable::{Disk, System};
use crate::task;
use crate::telemetry;

/// The folder that is ours, and is judged: what else lies in MAILSHIM_SPOOL_DIR is nobody's business.
pub(super) const FOLDER: &str = "mailshim";
/// Mail that waits.
pub(super) const QUEUE: &str = "queue";
/// Mail that was given up.
pub(super) const DEAD: &str = "dead";
/// What does not fit its checksum.
pub(super) const DAMAGED: &str = "damaged";
/// What the operator asks for.
const REQUESTS: &str = "requests";
/// How often a lock that another has is tried.
const LOCK_AGAIN: Duration = Duration::from_millis(250);

/// `MAILSHIM_SPOOL_*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolOptions {
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
    /// The directory is ours and is being read: mail is taken, what waits is not yet known as a whole.
    Reading,
    /// All is known.
    Open,
}

/// What waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Messages.
    pub messages: usize,
    /// Their octets.
    pub octets: u64,
    /// For how long the oldest has been waiting, in seconds.
    pub oldest: u64,
}

/// The spool. A clone is the same one.
#[derive(Clone)]
pub struct Store(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub disk: Arc<dyn Disk>,
    pub folder: PathBuf,
    pub max_bytes: u64,
    commit: Queue,
    state: Mutex<State>,
    /// Something may be tried earlier than was known.
    pub changed: Notify,
    pub clock: Clock,
    phase: watch::Sender<Phase>,
    /// Held for as long as the process lives: the kernel gives it back, whatever ends us.
    lock: Mutex<Option<std::fs::File>>,
}

#[derive(Default)]
pub(super) struct State {
    pub index: Index,
    /// Octets that are being written.
    pub coming: u64,
    /// Messages that came while the directory is read: it may show them, whole or not.
    newcomers: HashSet<u64>,
    /// Messages whose file could not be given a later name: they wait until then all the same.
    pub later: Vec<(u64, Name)>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("folder", &self.0.folder).finish_non_exhaustive()
    }
}

impl Store {
    /// Makes the directories. [`Store::lock`] then waits for the lock, and [`Store::read_directory`] reads what is there.
    /// The other end is told when the thread that makes mail durable has ended: nothing can be taken after that.
    ///
    /// # Errors
    /// The directory cannot be used at all.
    pub fn new(options: &SpoolOptions, disk: Arc<dyn Disk>) -> io::Result<(Self, oneshot::Receiver<()>)> {
        let folder = make_directories(options, &*disk)?;
        let (commit, ended) = Queue::start(Arc::clone(&disk), folder.join(QUEUE))?;
        Ok((Self::over(options, disk, folder, commit), ended))
    }

    /// The same without a thread: what is written is written when it is asked for.
    ///
    /// # Errors
    /// The directory cannot be used at all.
    pub fn in_place(options: &SpoolOptions, disk: Arc<dyn Disk>) -> io::Result<Self> {
        let folder = make_directories(options, &*disk)?;
        let commit = Queue::in_place(Arc::clone(&disk), folder.join(QUEUE));
        Ok(Self::over(options, disk, folder, commit))
    }

    fn over(options: &SpoolOptions, disk: Arc<dyn Disk>, folder: PathBuf, commit: Queue) -> Self {
        Self(Arc::new(Shared {
            disk,
            folder,
            max_bytes: options.max_bytes,
            commit,
            state: Mutex::default(),
            changed: Notify::new(),
            clock: Clock::start(),
            phase: watch::Sender::new(Phase::Waiting),
            lock: Mutex::default(),
        }))
    }

    /// Waits until no other shim has the directory. Mail is taken from then on.
    ///
    /// # Errors
    /// The lock cannot be tried.
    pub async fn lock(&self) -> io::Result<()> {
        let path = self.0.folder.join("lock");
        let mut file = std::fs::OpenOptions::new();
        let file = file.create(true).truncate(false).write(true).mode(0o600).open(path)?;
        let mut is_told = false;
        loop {
            match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    if !std::mem::replace(&mut is_told, true) {
                        telemetry::spool_waits_for_lock();
                    }
                    tokio::time::sleep(LOCK_AGAIN).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        *self.0.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        self.0.phase.send_replace(Phase::Reading);
        Ok(())
    }

    /// Reads which messages there are. They are delivered from then on.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub async fn read_directory(&self) -> io::Result<()> {
        let store = self.clone();
        blocking(move || store.read_names()).await??;
        self.0.phase.send_replace(Phase::Open);
        self.state().newcomers = HashSet::new();
        let Waiting { messages, octets, .. } = self.waiting();
        telemetry::spool_opened(messages, octets);
        Ok(())
    }

    fn read_names(&self) -> io::Result<()> {
        let queue = self.0.folder.join(QUEUE);
        let now = self.now();
        self.0.disk.list(&queue, &mut |name| {
            // Foreign names are left alone: an editor's, or a backup's.
            let Some(name) = name.to_str().and_then(Name::parse) else { return };
            let mut state = self.state();
            if state.newcomers.contains(&name.id) {
                return;
            }
            if name.octets > 0 {
                state.index.add(name, now);
            } else {
                drop(state);
                // A stream that was never finished, so never acknowledged.
                let _ = self.0.disk.remove(&queue.join(name.to_string()));
            }
        })
    }

    /// A message comes that the directory may show while it is read.
    pub(super) fn expect(&self, id: u64) {
        // Asked under the lock: the list is forgotten under it, after the phase has changed.
        let mut state = self.state();
        if self.phase() != Phase::Open {
            state.newcomers.insert(id);
        }
    }

    /// How far the start has come.
    pub fn phase(&self) -> Phase {
        *self.0.phase.borrow()
    }

    /// Ends when all is known that waits.
    pub async fn opened(&self) {
        // The sender lives as long as the store.
        let _ = self.0.phase.subscribe().wait_for(|phase| *phase == Phase::Open).await;
    }

    /// Seconds since 1970, by the spool's own clock.
    pub fn now(&self) -> u64 {
        self.0.clock.now()
    }

    /// When this process began to count the lifetime of what waits, by that clock.
    pub fn started_at(&self) -> u64 {
        self.0.clock.started_at()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits.
    pub fn waiting(&self) -> Waiting {
        let now = self.now();
        let state = self.state();
        let index = &state.index;
        let oldest = index.oldest().map_or(0, |created| now.saturating_sub(created));
        Waiting { messages: index.len(), octets: index.octets(), oldest }
    }

    /// The names of the messages that wait, at most so many, oldest first.
    pub(super) fn oldest(&self, most: usize) -> Vec<Name> {
        let mut oldest = std::collections::BTreeMap::new();
        for name in self.state().index.names() {
            oldest.insert(name.id, name);
            if oldest.len() > most {
                oldest.pop_last();
            }
        }
        oldest.into_values().collect()
    }

    pub(super) fn path(&self, name: Name) -> PathBuf {
        self.0.folder.join(QUEUE).join(name.to_string())
    }

    pub(super) fn send(&self, work: Work, done: impl FnOnce(io::Result<()>) + Send + 'static) {
        self.0.commit.send(Job { work, done: Box::new(done) });
    }

    pub(super) async fn change(&self, work: Work) -> io::Result<()> {
        let (done, result) = oneshot::channel();
        self.send(work, move |result| drop(done.send(result)));
        result.await.unwrap_or_else(|_| Err(io::Error::other("the thread that writes the spool has ended")))
    }
}

/// How many messages wait in a spool that is not used now; 0 too where it cannot be read.
pub fn left_in(directory: &Path) -> usize {
    let queue = directory.join(FOLDER).join(QUEUE);
    let mut messages = 0;
    let count = &mut |name: std::ffi::OsString| {
        let name = name.to_str().and_then(Name::parse);
        messages += usize::from(name.is_some_and(|name| name.octets > 0));
    };
    let _ = System.list(&queue, count);
    messages
}

fn make_directories(options: &SpoolOptions, disk: &dyn Disk) -> io::Result<PathBuf> {
    let folder = options.directory.join(FOLDER);
    disk.make_directory(&folder)?;
    for inside in [QUEUE, DEAD, DAMAGED, REQUESTS] {
        disk.make_directory(&folder.join(inside))?;
    }
    // A directory whose name is lost with the power takes all mail in it along.
    disk.sync_directory(&folder)?;
    disk.sync_directory(&options.directory)?;
    Ok(folder)
}

/// Work that may wait for the disk.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    task::blocking(work).await.ok_or_else(|| io::Error::other("a fault in mailshim"))
}
