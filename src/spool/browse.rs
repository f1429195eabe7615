//! The spool as `mailshim queue` sees it: files are read, and nothing is changed or locked. A shim may be working on them
//! meanwhile.

use std::collections::{BinaryHeap, HashSet};
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::index::Name;
use super::reading::{self, Unusable};
use super::store::{DAMAGED, DEAD, FOLDER, QUEUE};
use crate::durable::{Disk, System};
use crate::queue::entry::{Damage, Entry};

/// Names that are kept at once. A directory with more of them is read more than once, so that looking into a spool of any
/// size costs no more memory than this: it may be done inside the shim's own container.
const KEPT: usize = 16 * 1024;

/// The directory that a message lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whereabouts {
    /// It waits.
    Queue,
    /// It was given up.
    Dead,
    /// It is not what was written.
    Damaged,
}

impl Whereabouts {
    /// All of them, in the order in which a message may come through them.
    pub const ALL: [Self; 3] = [Self::Queue, Self::Dead, Self::Damaged];

    pub(super) const fn folder(self) -> &'static str {
        match self {
            Self::Queue => QUEUE,
            Self::Dead => DEAD,
            Self::Damaged => DAMAGED,
        }
    }
}

/// A message as it lies there.
#[derive(Debug)]
pub struct Found {
    /// Where.
    pub whereabouts: Whereabouts,
    /// Its name in log and queue, as a number.
    pub id: u64,
    /// When it is tried, in seconds since 1970.
    pub due: u64,
    /// When it was accepted, in seconds since 1970.
    pub created: u64,
    /// Octets of the file as it was accepted.
    pub octets: u64,
    /// What its file says. Its checksum is not looked at.
    pub entry: Result<Entry, Damage>,
    path: PathBuf,
}

impl Found {
    /// Gives the content piece by piece: all that lies behind the first line of what is damaged.
    ///
    /// # Errors
    /// The system's, or the visitor's.
    pub fn content(&self, visit: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let (mut at, end) = match &self.entry {
            Ok(entry) => (entry.content_at, entry.length),
            Err(_) => (0, u64::MAX),
        };
        let file = System.open(&self.path)?;
        let mut buffer = vec![0; 64 * 1024];
        while at < end {
            let most = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
            match file.read_at(&mut buffer[..most], at)? {
                0 => break,
                octets => {
                    visit(&buffer[..octets])?;
                    at += octets as u64;
                }
            }
        }
        Ok(())
    }
}

/// The user whose a directory is.
pub fn owner_of(directory: &Path) -> Option<u32> {
    fs::metadata(directory).ok().map(|is| is.uid())
}

/// A spool that is looked into.
#[derive(Debug)]
pub struct Browser {
    folder: PathBuf,
    owner: u32,
}

impl Browser {
    /// Looks into the spool of `MAILSHIM_SPOOL_DIR`; `None` where none was ever kept.
    ///
    /// # Errors
    /// It cannot be looked into.
    pub fn open(directory: &Path) -> io::Result<Option<Self>> {
        let folder = directory.join(FOLDER);
        match fs::metadata(&folder) {
            Ok(is) => Ok(Some(Self { folder, owner: is.uid() })),
            // A directory that is not there is a mistake, one that was never used is none.
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::metadata(directory).map(|_| None),
            Err(error) => Err(error),
        }
    }

    /// Whether its folder can be read.
    ///
    /// # Errors
    /// It cannot.
    pub fn try_to_read(&self) -> io::Result<()> {
        fs::read_dir(&self.folder).map(drop)
    }

    /// The user whose spool it is.
    pub const fn owner(&self) -> u32 {
        self.owner
    }

    /// The spool's own folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Gives the messages of a directory to the visitor, oldest first, until that one has enough.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn each(
        &self,
        whereabouts: Whereabouts,
        visit: &mut dyn FnMut(Found) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let mut past = None;
        loop {
            let names = self.next_names(whereabouts, past, None)?;
            let Some(last) = names.last() else { return Ok(()) };
            past = Some(last.id);
            let mut moved = HashSet::new();
            for name in names {
                match self.look(whereabouts, name) {
                    Some(found) => {
                        if visit(found).is_break() {
                            return Ok(());
                        }
                    }
                    None => {
                        moved.insert(name.id);
                    }
                }
            }
            // What was tried meanwhile has another name now. What is not there under that either has left the directory.
            if !moved.is_empty() {
                for name in self.next_names(whereabouts, None, Some(&moved))? {
                    if let Some(found) = self.look(whereabouts, name)
                        && visit(found).is_break()
                    {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// The messages of these names, in no order.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn find(&self, ids: &HashSet<u64>) -> io::Result<Vec<Found>> {
        let mut all: Vec<Found> = Vec::new();
        for whereabouts in Whereabouts::ALL {
            let mut wanted = ids.clone();
            // Twice: it may be renamed between the look at the directory and the one at the file.
            for _ in 0..2 {
                for found in &all {
                    wanted.remove(&found.id);
                }
                if wanted.is_empty() {
                    break;
                }
                for name in self.next_names(whereabouts, None, Some(&wanted))? {
                    all.extend(self.look(whereabouts, name));
                }
            }
        }
        Ok(all)
    }

    /// The oldest names that come after this one, as many as are kept, in order.
    fn next_names(
        &self,
        whereabouts: Whereabouts,
        past: Option<u64>,
        only: Option<&HashSet<u64>>,
    ) -> io::Result<Vec<Name>> {
        let mut kept: BinaryHeap<(u64, u64, u64, u32)> = BinaryHeap::new();
        let keep = &mut |name: std::ffi::OsString| {
            let Some(name) = name.to_str().and_then(Name::parse) else { return };
            let is_wanted = only.is_none_or(|only| only.contains(&name.id));
            // Without octets: it is still being written, so nobody was told that it is there.
            if name.octets == 0 || !is_wanted || past.is_some_and(|past| name.id <= past) {
                return;
            }
            kept.push((name.id, name.due, name.octets, name.sender));
            if kept.len() > KEPT {
                kept.pop();
            }
        };
        match System.list(&self.folder.join(whereabouts.folder()), keep) {
            // An older mailshim did not make it, or none has yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            listed => listed?,
        }
        let name = |(id, due, octets, sender)| Name { due, id, octets, sender };
        Ok(kept.into_sorted_vec().into_iter().map(name).collect())
    }

    /// Reads one; `None` where it is not there any more.
    fn look(&self, whereabouts: Whereabouts, name: Name) -> Option<Found> {
        let path = self.folder.join(whereabouts.folder()).join(name.to_string());
        let is = match fs::symlink_metadata(&path) {
            Ok(is) => is,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(_) => return Some(found(whereabouts, name, path, Err(Damage::Damaged("it cannot be read")))),
        };
        if !is.is_file() {
            // Opening a pipe would wait for whoever writes into it.
            return Some(found(whereabouts, name, path, Err(Damage::Damaged("it is no file"))));
        }
        let disk: Arc<dyn Disk> = Arc::new(System);
        let entry = match reading::read_record(&disk, &path) {
            Ok(entry) => Ok(entry),
            Err(Unusable::Damage(damage)) => Err(damage),
            Err(Unusable::Io(error)) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(Unusable::Io(_)) => Err(Damage::Damaged("it cannot be read")),
        };
        Some(found(whereabouts, name, path, entry))
    }
}

fn found(whereabouts: Whereabouts, name: Name, path: PathBuf, entry: Result<Entry, Damage>) -> Found {
    Found {
        whereabouts,
        id: name.id,
        due: name.due,
        created: name.created(),
        octets: name.octets,
        entry,
        path,
    }
}
