//! A message comes: from its first octet to the moment when it is durable.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::commit::Work;
use super::index::{Name, REPORT};
use super::store::{Phase, Store, blocking};
use crate::durable::{Disk, DiskFile};
use crate::message::{Abandoned, HeldContent, Piece};
use crate::outcome::SpoolFault;
use crate::queue::entry::{self, Head, Sum};

/// Octets of a stream that are written in one call: 64 sessions may do so at once, outside of the budget.
const GATHER: usize = 32 * 1024;

/// Why a message was not put into the spool. Nothing of it stays.
#[derive(Debug)]
pub enum PutFault {
    /// The directory is another shim's for the moment.
    Waiting,
    /// The disk has not let the spool be opened yet.
    Unusable(SpoolFault),
    /// MAILSHIM_SPOOL_MAX_BYTES is reached.
    Full,
    /// The disk would not, or cannot say whether it did.
    Disk(io::Error),
    /// The content will not become whole.
    Abandoned(Abandoned),
}

impl Store {
    /// Takes a message: when this returns it is durable, and will be delivered whatever happens to the process.
    ///
    /// # Errors
    /// Nothing of it was kept.
    pub async fn put(&self, id: u64, head: &Head, content: &mut HeldContent<'_>) -> Result<(), PutFault> {
        match self.phase() {
            Phase::Waiting => return Err(PutFault::Waiting),
            Phase::Unusable => return Err(self.unusable()),
            Phase::Reading | Phase::Open => {}
        }
        let put = self.put_in(id, head, content).await;
        match &put {
            Ok(()) if self.state().trouble.is_some() => self.disk_works(),
            Err(PutFault::Disk(error)) => self.disk_failed(error),
            _ => {}
        }
        put
    }

    fn unusable(&self) -> PutFault {
        let trouble = self.state().trouble.clone();
        trouble.map_or(PutFault::Waiting, PutFault::Unusable)
    }

    async fn put_in(&self, id: u64, head: &Head, content: &mut HeldContent<'_>) -> Result<(), PutFault> {
        self.expect(id);
        let first_line = entry::first_line(head);
        let sender = head.app.reverse_path.as_deref().unwrap_or_default();
        let sender = if head.report { REPORT } else { hash(sender) };
        let name = Name { due: head.created, id, octets: 0, sender };
        let mut room = Room { store: self, octets: 0, is_report: head.report };
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
        self.send(work, move |result| {
            if result.is_ok() {
                let now = store.now();
                store.state().index.add(name, now);
                store.0.changed.notify_one();
            }
            drop(done.send(result));
        });
        match result.await {
            Ok(result) => result.map_err(PutFault::Disk),
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
        let created = blocking(move || disk.create(&created));
        let mut unfinished = Unfinished { disk: &self.0.disk, path: None };
        let mut file: Box<dyn DiskFile> = created.await.and_then(|file| file).map_err(PutFault::Disk)?;
        unfinished.path = Some(path.clone());
        let mut octets = first_line.len();
        let mut gathered: Vec<Bytes> = vec![first_line.into()];
        loop {
            let is_end = match content.next().await {
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
            if octets >= GATHER || is_end {
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
}

/// Octets that are taken of MAILSHIM_SPOOL_MAX_BYTES while a message is written.
struct Room<'a> {
    store: &'a Store,
    octets: u64,
    /// A report finds room in a full spool: the mail that it is about leaves it.
    is_report: bool,
}

impl Room<'_> {
    fn take(&mut self, octets: u64) -> Result<(), PutFault> {
        let mut state = self.store.state();
        if !self.is_report && state.index.octets() + state.coming + octets > self.store.0.max_bytes {
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

/// The same for the same sender in every process: it stands in file names.
fn hash(sender: &str) -> u32 {
    // FNV-1a: a name tag, not a defence.
    let hash = sender.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0193)
    });
    if hash == REPORT { 1 } else { hash }
}
