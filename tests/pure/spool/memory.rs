//! A disk in memory that knows what is durable: what an `fsync` has covered. Any call can fail, and the power can go at
//! any call.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use mailshim::testing::durable::{Disk, DiskFile, Free, directory_of};

/// What a call meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// EIO, and nothing of the call is done.
    Nothing,
    /// ENOSPC after half of the octets.
    Half,
    /// EIO although all of it was done.
    Done,
    /// The power goes: this call and all after it do nothing.
    Power,
}

#[derive(Clone, Default)]
struct Inode {
    now: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Changes of names that no sync of their directory has covered.
    pending: Vec<Change>,
    directories: BTreeSet<PathBuf>,
    calls: usize,
    troubles: BTreeMap<usize, Trouble>,
    is_dead: bool,
    /// The kernel has marked the pages of a failed sync clean: a later one succeeds over lost octets.
    lost: BTreeSet<usize>,
}

/// A change of names. Each is atomic, as on every file system with a journal; what order they come to the disk in, and
/// whether at all, is open until a sync.
#[derive(Clone)]
enum Change {
    Made(PathBuf, usize),
    Gone(PathBuf),
    Renamed(PathBuf, PathBuf, usize),
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Made(path, inode) => drop(names.insert(path.clone(), *inode)),
            Self::Gone(path) => drop(names.remove(path)),
            Self::Renamed(from, to, inode) => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
        }
    }

    /// What of it another directory's sync is needed for.
    fn besides(self, directory: &Path) -> Option<Self> {
        let is_here = |path: &Path| directory_of(path) == directory;
        match self {
            Self::Made(path, _) | Self::Gone(path) if is_here(&path) => None,
            Self::Renamed(from, to, _) if is_here(&from) && is_here(&to) => None,
            Self::Renamed(from, to, _) if is_here(&to) => Some(Self::Gone(from)),
            Self::Renamed(from, to, inode) if is_here(&from) => Some(Self::Made(to, inode)),
            other => Some(other),
        }
    }
}

/// The disk. A clone is the same one.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<State>>);

/// What becomes of what was not synced when the power goes.
#[derive(Clone, Copy, Debug)]
pub enum Unsynced {
    /// All of it is lost.
    Lost,
    /// All of it was written.
    Written,
    /// Some of it was, by these bits: of names each for itself, of content a part, or zeros.
    Some(u64),
}

impl Memory {
    /// The calls so far.
    pub fn calls(&self) -> usize {
        self.state().calls
    }

    /// This call, counted from 0, and no other, meets trouble.
    pub fn fail(&self, call: usize, trouble: Trouble) {
        self.state().troubles.insert(call, trouble);
    }

    /// The disk as the next process finds it.
    pub fn after_power_cut(&self, unsynced: Unsynced) -> Self {
        let state = self.state();
        let mut bits = match unsynced {
            Unsynced::Lost => Bits::All(false),
            Unsynced::Written => Bits::All(true),
            Unsynced::Some(seed) => Bits::Random(seed),
        };
        let mut names = state.durable_names.clone();
        for change in &state.pending {
            if bits.next() {
                change.apply(&mut names);
            }
        }
        let content = |inode: &Inode| {
            let mut octets = inode.durable.clone();
            if inode.now != inode.durable && bits.next() {
                // Of what was written some sectors have come, in no order; what lies before them and has not is zeros.
                octets = inode.now.clone();
                if let Bits::Random(_) = bits {
                    let keep = |place: usize| inode.durable.get(place).copied().unwrap_or_default();
                    for begin in (0..octets.len()).step_by(SECTOR) {
                        if bits.next() {
                            let end = (begin + SECTOR).min(octets.len());
                            (begin..end).for_each(|place| octets[place] = keep(place));
                        }
                    }
                    if bits.next() {
                        octets.truncate((octets.len() / 2).max(inode.durable.len()));
                    }
                }
            }
            Inode { now: octets.clone(), durable: octets }
        };
        let inodes = state.inodes.iter().map(content).collect();
        let directories = state.directories.clone();
        let fresh = State { inodes, durable_names: names.clone(), names, directories, ..State::default() };
        Self(Arc::new(Mutex::new(fresh)))
    }

    /// The disk as the next process finds it where only the process was killed.
    pub fn after_kill(&self) -> Self {
        self.after_power_cut(Unsynced::Written)
    }

    /// The names under this path.
    pub fn names_in(&self, directory: &Path) -> Vec<String> {
        let state = self.state();
        let inside = state.names.keys().filter(|path| directory_of(path) == directory);
        inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_string())).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Counts a call; what it meets.
    fn call(&self) -> (MutexGuard<'_, State>, Option<Trouble>) {
        let mut state = self.state();
        let trouble = state.troubles.get(&state.calls).copied();
        state.calls += 1;
        state.is_dead |= trouble == Some(Trouble::Power);
        let trouble = if state.is_dead { Some(Trouble::Power) } else { trouble };
        (state, trouble)
    }

    /// A call that is done as a whole or not at all.
    fn whole<T>(&self, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let (mut state, trouble) = self.call();
        match trouble {
            None => work(&mut state),
            Some(Trouble::Nothing | Trouble::Half | Trouble::Power) => Err(error()),
            Some(Trouble::Done) => work(&mut state).and(Err(error())),
        }
    }
}

const SECTOR: usize = 64;

enum Bits {
    All(bool),
    Random(u64),
}

impl Bits {
    fn next(&mut self) -> bool {
        match self {
            Self::All(bit) => *bit,
            Self::Random(state) => {
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                *state & 8 != 0
            }
        }
    }
}

fn error() -> io::Error {
    io::Error::from_raw_os_error(5)
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk for Memory {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let inode = self.whole(|state| {
            if state.names.contains_key(path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.inodes.push(Inode::default());
            let inode = state.inodes.len() - 1;
            state.names.insert(path.to_path_buf(), inode);
            state.pending.push(Change::Made(path.to_path_buf(), inode));
            Ok(inode)
        })?;
        Ok(Box::new(Open { disk: self.clone(), inode, position: Some(0) }))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let inode = self.whole(|state| state.names.get(path).copied().ok_or_else(missing))?;
        Ok(Box::new(Open { disk: self.clone(), inode, position: None }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.append(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.whole(|state| {
            let inode = state.names.remove(from).ok_or_else(missing)?;
            state.names.insert(to.to_path_buf(), inode);
            state.pending.push(Change::Renamed(from.to_path_buf(), to.to_path_buf(), inode));
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.whole(|state| {
            state.names.remove(path).ok_or_else(missing)?;
            state.pending.push(Change::Gone(path.to_path_buf()));
            Ok(())
        })
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.whole(|state| {
            state.durable_names.retain(|name, _| directory_of(name) != path);
            let names = state.names.iter().filter(|(name, _)| directory_of(name) == path);
            let names: Vec<_> = names.map(|(name, inode)| (name.clone(), *inode)).collect();
            state.durable_names.extend(names);
            let pending = std::mem::take(&mut state.pending);
            state.pending = pending.into_iter().filter_map(|change| change.besides(path)).collect();
            Ok(())
        })
    }

    fn list(&self, path: &Path, name: &mut dyn FnMut(OsString)) -> io::Result<()> {
        self.whole(|_| Ok(()))?;
        self.names_in(path).into_iter().for_each(|found| name(found.into()));
        Ok(())
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        self.whole(|state| {
            state.directories.insert(path.to_path_buf());
            Ok(())
        })
    }

    fn free(&self, _: &Path) -> io::Result<Free> {
        Ok(Free { octets: u64::MAX, files: None })
    }
}

struct Open {
    disk: Memory,
    inode: usize,
    /// `None` appends.
    position: Option<usize>,
}

impl Open {
    fn put(&mut self, octets: &[u8], at: Option<usize>) -> io::Result<()> {
        let (mut state, trouble) = self.disk.call();
        let (written, result) = match trouble {
            None => (octets.len(), Ok(())),
            Some(Trouble::Nothing | Trouble::Power) => (0, Err(error())),
            Some(Trouble::Half) => (octets.len() / 2, Err(io::Error::from_raw_os_error(28))),
            Some(Trouble::Done) => (octets.len(), Err(error())),
        };
        let content = &mut state.inodes[self.inode].now;
        let at = at.unwrap_or(content.len());
        content.resize(content.len().max(at + written), 0);
        content[at..at + written].copy_from_slice(&octets[..written]);
        result
    }
}

impl DiskFile for Open {
    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        let at = self.position;
        self.put(octets, at)?;
        self.position = at.map(|at| at + octets.len());
        Ok(())
    }

    fn write_at(&mut self, octets: &[u8], offset: u64) -> io::Result<()> {
        self.put(octets, Some(usize::try_from(offset).unwrap()))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let inode = self.inode;
        self.disk.whole(|state| {
            let content = &state.inodes[inode].now;
            let rest = content.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
            let octets = rest.len().min(buffer.len());
            buffer[..octets].copy_from_slice(&rest[..octets]);
            Ok(octets)
        })
    }

    fn start_write_back(&mut self) {}

    fn sync(&mut self) -> io::Result<()> {
        let inode = self.inode;
        let (mut state, trouble) = self.disk.call();
        match trouble {
            None if state.lost.contains(&inode) => Ok(()),
            None => {
                state.inodes[inode].durable = state.inodes[inode].now.clone();
                Ok(())
            }
            // The octets are not on the disk, and the next sync of this file will say that they are.
            Some(_) => {
                state.lost.insert(inode);
                Err(error())
            }
        }
    }
}
