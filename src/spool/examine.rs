//! Whether a directory can hold a spool: what `mailshim check` tries in it, and what a running shim there does not feel.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use super::index::Name;
use super::mount::{Mount, mount_of};
use super::store::{DAMAGED, DEAD, FOLDER, QUEUE, SpoolOptions};
use crate::durable::{Disk as _, Free, System};

/// Octets that are written and synced to try the disk: those of a small mail.
const TRIED: usize = 4096;
/// The bits of a mode that let somebody else in.
const OTHERS: u32 = 0o077;

/// What a directory is worth as a spool.
#[derive(Debug, Default)]
pub struct Examination {
    /// Why it cannot hold one; `None` where it can.
    pub unfit: Option<Unfit>,
    /// The file system that it lies on.
    pub mount: Option<Mount>,
    /// What is left of that file system.
    pub free: Option<Free>,
    /// How long it took to make one small file and its name durable.
    pub synced_in: Option<Duration>,
    /// Mail that waits.
    pub queued: Lying,
    /// Mail that was given up.
    pub dead: Lying,
    /// Files that did not fit their checksum.
    pub damaged: Lying,
    /// What is worth a look and stops nothing.
    pub doubts: Vec<Doubt>,
}

/// Files of one of the spool's directories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lying {
    /// How many.
    pub messages: u64,
    /// Their octets.
    pub octets: u64,
}

/// Why a directory cannot hold a spool.
#[derive(Debug)]
pub enum Unfit {
    /// The system refused a step, named by what was being done.
    Refused(&'static str, io::Error),
    /// A file that was made for its owner alone has this mode: others may read the mail.
    Mode(u32),
    /// A lock that one holds does not keep another out, or there are none; the system's words, where it said some.
    NoLocks(Option<io::Error>),
    /// The names in a directory cannot be made durable.
    NoDirectorySync(io::Error),
}

/// What is worth a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Somebody else may enter the spool's own folder, which has this mode.
    Open(PathBuf, u32),
    /// The folder is another user's than the one who looks: what that one may do was not tried.
    OfAnother {
        /// Whose it is.
        owner: u32,
        /// Who looks.
        us: u32,
    },
    /// Anybody may rename the spool's folder away: its parent is world-writable without the sticky bit.
    Unsticky(PathBuf),
    /// The file system has less room than MAILSHIM_SPOOL_MAX_BYTES: this much is left, and this much may come.
    LittleRoom(u64, u64),
}

/// Tries the directory as a running shim would use it, in a file of its own that it takes away again.
pub fn examine(options: &SpoolOptions) -> Examination {
    let mut found = Examination::default();
    if let Err(unfit) = found.fill(options) {
        found.unfit = Some(unfit);
    }
    found
}

impl Examination {
    fn fill(&mut self, options: &SpoolOptions) -> Result<(), Unfit> {
        let parent = &options.directory;
        let is = fs::metadata(parent).map_err(|error| Unfit::Refused("looking for it", error))?;
        if !is.is_dir() {
            return Err(Unfit::Refused("looking for it", io::ErrorKind::NotADirectory.into()));
        }
        self.mount = mount_under(parent);
        self.free = System.free(parent).ok();
        if is.mode() & 0o1002 == 0o002 {
            self.doubts.push(Doubt::Unsticky(parent.clone()));
        }
        let folder = parent.join(FOLDER);
        let us = rustix::process::geteuid().as_raw();
        if let Ok(is) = fs::metadata(&folder) {
            if is.mode() & OTHERS != 0 {
                self.doubts.push(Doubt::Open(folder.clone(), is.mode() & 0o7777));
            }
            if is.uid() != us {
                self.doubts.push(Doubt::OfAnother { owner: is.uid(), us });
            }
        }
        self.queued = lying_in(&folder.join(QUEUE));
        self.dead = lying_in(&folder.join(DEAD));
        self.damaged = lying_in(&folder.join(DAMAGED));
        let may_come = options.max_bytes.saturating_sub(self.queued.octets);
        if let Some(free) = self.free.filter(|free| free.octets < may_come) {
            self.doubts.push(Doubt::LittleRoom(free.octets, may_come));
        }
        let inside = [folder.join(QUEUE), folder, parent.clone()];
        let inside = inside.iter().find(|path| path.is_dir()).unwrap_or(parent);
        self.synced_in = Some(try_in(inside)?);
        Ok(())
    }
}

/// The mount that a path lies on; `None` where the kernel does not say.
fn mount_under(path: &Path) -> Option<Mount> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mount_of(&mounts, &fs::canonicalize(path).ok()?)
}

/// What must be said of a directory whose file system goes before the mail in it may.
pub fn warning_of(directory: &Path) -> Option<&'static str> {
    mount_under(directory)?.stays().warning()
}

/// The directory and the file that are made to try, gone with this value.
struct Tried {
    directory: PathBuf,
    file: PathBuf,
}

impl Drop for Tried {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
        let _ = fs::remove_dir(&self.directory);
    }
}

/// How long it takes to make a small file durable in a directory like this one.
fn try_in(inside: &Path) -> Result<Duration, Unfit> {
    let refused = |doing| move |error| Unfit::Refused(doing, error);
    // No name that a running shim takes for a mail's.
    let directory = inside.join(format!(".check-{}", std::process::id()));
    let tried = Tried { file: directory.join("mail"), directory };
    // What one that was killed has left: a container's process ids come again.
    let _ = fs::remove_dir_all(&tried.directory);
    let made = DirBuilder::new().mode(0o700).create(&tried.directory);
    made.map_err(refused("making a directory in it"))?;
    let begun = Instant::now();
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&tried.file);
    let mut file = file.map_err(refused("making a file in it"))?;
    file.write_all(&[b'x'; TRIED]).map_err(refused("writing to it"))?;
    file.sync_all().map_err(refused("syncing a file in it"))?;
    let directory = File::open(&tried.directory).map_err(refused("opening a directory in it"))?;
    directory.sync_all().map_err(Unfit::NoDirectorySync)?;
    let took = begun.elapsed();
    let mode = file.metadata().map_err(refused("reading a file's mode"))?.mode() & 0o777;
    if mode & OTHERS != 0 {
        return Err(Unfit::Mode(mode));
    }
    try_lock(&tried.file, &file)?;
    let renamed = tried.directory.join("renamed");
    fs::rename(&tried.file, &renamed).map_err(refused("renaming a file in it"))?;
    fs::remove_file(&renamed).map_err(refused("removing a file in it"))?;
    Ok(took)
}

/// A lock must keep out whoever opens the file for himself.
fn try_lock(path: &Path, held: &File) -> Result<(), Unfit> {
    let no_locks = |error: rustix::io::Errno| Unfit::NoLocks(Some(error.into()));
    flock(held, FlockOperation::NonBlockingLockExclusive).map_err(no_locks)?;
    let other = OpenOptions::new().write(true).open(path);
    let other = other.map_err(|error| Unfit::Refused("opening a file in it", error))?;
    match flock(&other, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(()),
        Ok(()) => Err(Unfit::NoLocks(None)),
        Err(error) => Err(no_locks(error)),
    }
}

/// What lies in one of the spool's directories, by its names alone; nothing where it cannot be read.
fn lying_in(directory: &Path) -> Lying {
    let mut lying = Lying::default();
    let count = &mut |name: std::ffi::OsString| {
        if let Some(name) = name.to_str().and_then(Name::parse).filter(|name| name.octets > 0) {
            lying.messages += 1;
            lying.octets += name.octets;
        }
    };
    let _ = System.list(directory, count);
    lying
}
