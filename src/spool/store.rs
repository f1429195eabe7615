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
use super::dead::{Dead, Ran};
use super::index::{Index, Name};
use crate::durable::{Disk, System, directory_of};
use crate::outcome::SpoolFault;
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
/// How often a disk is tried that has failed.
pub const TRY_AGAIN: Duration = Duration::from_secs(5);
/// Octets that are written to try it: with less room than this it is as good as full.
const TRIED: usize = 64 * 1024;

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
    /// The disk does not let it be opened: each message is refused with the reason, until it does.
    Unusable,
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
    /// Wakes [`Store::keep_trying`].
    trouble: Notify,
    phase: watch::Sender<Phase>,
    /// Held for as long as the process lives: the kernel gives it back, whatever ends us. In it stands for how long the
    /// spool has been used.
    lock: Mutex<Option<std::fs::File>>,
    /// For how long the spool has been used.
    pub ran: Ran,
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
    /// What was given up and is kept.
    pub dead: Dead,
    /// Why the disk does not take what it must, since when it does not.
    pub trouble: Option<SpoolFault>,
}

impl State {
    fn forget_all_but_newcomers(&mut self) {
        self.index.keep_only(&self.newcomers);
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("folder", &self.0.folder).finish_non_exhaustive()
    }
}

impl Store {
    /// A spool that is not open yet: [`Store::make_directories`], [`Store::lock`] and [`Store::read_directory`] open it, in
    /// this order. The other end is told when the thread that makes mail durable has ended: nothing can be taken after
    /// that.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn new(options: &SpoolOptions, disk: Arc<dyn Disk>) -> io::Result<(Self, oneshot::Receiver<()>)> {
        let queue = options.directory.join(FOLDER).join(QUEUE);
        let (commit, ended) = Queue::start(Arc::clone(&disk), queue)?;
        Ok((Self::over(options, disk, commit), ended))
    }

    /// The same without a thread: what is written is written when it is asked for.
    pub fn in_place(options: &SpoolOptions, disk: Arc<dyn Disk>) -> Self {
        let queue = options.directory.join(FOLDER).join(QUEUE);
        let commit = Queue::in_place(Arc::clone(&disk), queue);
        Self::over(options, disk, commit)
    }

    fn over(options: &SpoolOptions, disk: Arc<dyn Disk>, commit: Queue) -> Self {
        Self(Arc::new(Shared {
            disk,
            folder: options.directory.join(FOLDER),
            max_bytes: options.max_bytes,
            commit,
            state: Mutex::default(),
            changed: Notify::new(),
            clock: Clock::start(),
            trouble: Notify::new(),
            phase: watch::Sender::new(Phase::Waiting),
            lock: Mutex::default(),
            ran: Ran::default(),
        }))
    }

    /// Makes the directories, where they are not there.
    ///
    /// # Errors
    /// The directory cannot be used.
    pub fn make_directories(&self) -> io::Result<()> {
        let Shared { disk, folder, .. } = &*self.0;
        disk.make_directory(folder)?;
        for inside in [QUEUE, DEAD, DAMAGED, REQUESTS] {
            disk.make_directory(&folder.join(inside))?;
        }
        // A directory whose name is lost with the power takes all mail in it along.
        disk.sync_directory(folder)?;
        disk.sync_directory(directory_of(folder))
    }

    /// Waits until no other shim has the directory. Mail is taken from then on.
    ///
    /// # Errors
    /// The lock cannot be tried.
    pub async fn lock(&self) -> io::Result<()> {
        let is_ours = self.0.lock.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if !is_ours {
            self.take_lock().await?;
        }
        self.disk_works();
        self.0.phase.send_replace(Phase::Reading);
        Ok(())
    }

    async fn take_lock(&self) -> io::Result<()> {
        let path = self.0.folder.join("lock");
        let mut file = std::fs::OpenOptions::new();
        let file = file.create(true).truncate(false).read(true).write(true).mode(0o600).open(path)?;
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
        self.0.ran.read(&file);
        *self.0.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        Ok(())
    }

    /// The disk does not let the spool be opened: messages are refused with the reason until it does.
    pub fn cannot_open(&self, error: &io::Error) {
        self.disk_failed(error);
        self.0.phase.send_replace(Phase::Unusable);
    }

    /// The disk does not take what it must. What is gone was taken away by somebody, which says nothing of the disk.
    pub(super) fn disk_failed(&self, error: &io::Error) {
        if error.kind() == io::ErrorKind::NotFound {
            return;
        }
        let fault = SpoolFault::of(error);
        telemetry::spool_unusable(&fault);
        let is_news = self.state().trouble.replace(fault).is_none();
        if is_news {
            self.0.trouble.notify_one();
        }
    }

    /// The disk takes what comes.
    pub(super) fn disk_works(&self) {
        self.state().trouble = None;
        telemetry::spool_usable();
    }

    /// Tries a disk that has failed again and again, until it takes a file: nobody may send a mail that would find it out.
    /// Never ends.
    pub async fn keep_trying(&self) {
        loop {
            self.0.trouble.notified().await;
            while self.state().trouble.is_some() {
                tokio::time::sleep(TRY_AGAIN).await;
                let store = self.clone();
                match blocking(move || store.try_disk()).await.and_then(|tried| tried) {
                    Ok(()) => self.disk_works(),
                    Err(error) => self.disk_failed(&error),
                }
            }
        }
    }

    /// Writes a file as a mail is written, and takes it away again. Its name is none of a mail's.
    fn try_disk(&self) -> io::Result<()> {
        let queue = self.0.folder.join(QUEUE);
        let (path, disk) = (queue.join(".try"), &self.0.disk);
        // What one that was killed has left.
        let _ = disk.remove(&path);
        let mut file = disk.create(&path)?;
        let written = file.write(&[b'x'; TRIED]).and_then(|()| file.sync());
        disk.remove(&path)?;
        written.and_then(|()| disk.sync_directory(&queue))
    }

    /// Reads which messages there are. They are delivered from then on.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub async fn read_directory(&self) -> io::Result<()> {
        // What a reading that failed has found is found again.
        self.state().forget_all_but_newcomers();
        let store = self.clone();
        blocking(move || store.read_names()).await??;
        self.0.phase.send_replace(Phase::Open);
        self.state().newcomers = HashSet::new();
        let Waiting { messages, octets, .. } = self.waiting();
        telemetry::spool_opened(messages, octets);
        Ok(())
    }

    /// Writes down for how long the spool has been used.
    pub(super) fn save_ran(&self) {
        if let Some(file) = &*self.0.lock.lock().unwrap_or_else(PoisonError::into_inner) {
            self.0.ran.write(file, self.ran());
        }
    }

    /// Reports that may be tried in a minute; `None` for no limit.
    pub fn pace_reports(&self, in_a_minute: Option<usize>) {
        self.state().index.reports_in_a_minute = in_a_minute;
    }

    fn read_names(&self) -> io::Result<()> {
        self.0.disk.list(&self.0.folder.join(DEAD), &mut |name| {
            let name = name.to_str().and_then(Name::parse);
            if let Some(name) = name.filter(|name| name.octets > 0) {
                self.state().dead.add(name);
            }
        })?;
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

/// Work that may wait for the disk.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| io::Error::other("a fault in mailshim"))
}
