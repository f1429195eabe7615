//! The thread where mail becomes durable. It takes what has come up to now as one batch: writes all of it, lets the system
//! begin to write it back, syncs file after file, and the directory once. Whoever waits is told after that.
//!
//! An error is never tried over: a sync that failed may have dropped the octets, and a second one would lie. What could
//! not be made durable is removed, and its app hears 4xx.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::index::Name;
use crate::durable::{Disk, DiskFile};
use crate::queue::entry::Sum;
use crate::telemetry;

/// Jobs of one batch.
const BATCH: usize = 64;

/// One change, and who waits for it.
pub struct Job {
    /// What to do.
    pub work: Work,
    /// Told when it is durable, or why it is not.
    pub done: Box<dyn FnOnce(io::Result<()>) + Send>,
}

/// A change of files.
pub enum Work {
    /// A message that is in memory as a whole.
    Write {
        /// The file.
        name: Name,
        /// Its first line, blank.
        first_line: Vec<u8>,
        /// Its content.
        content: Vec<Bytes>,
    },
    /// A message that was streamed into a file without a size in its name.
    Finish {
        /// The file as it is called.
        written: PathBuf,
        /// As it will be called.
        name: Name,
        /// The file.
        file: Box<dyn DiskFile>,
        /// Length and checksum.
        prefix: String,
    },
    /// An attempt that leaves the message waiting.
    Again {
        /// The file as it is called.
        name: Name,
        /// When it is due.
        due: u64,
        /// The attempt's line.
        line: Vec<u8>,
        /// A recipient is done: a second copy must not follow a crash.
        sync: bool,
    },
    /// The message is delivered.
    Remove {
        /// The file.
        name: Name,
    },
    /// The message goes to another directory.
    Move {
        /// The file.
        name: Name,
        /// The directory.
        to: PathBuf,
        /// As it will be called there.
        moved: Name,
        /// A line to append before that; empty for none.
        line: Vec<u8>,
    },
    /// A file of another directory than that of what waits goes.
    Discard {
        /// The directory.
        from: PathBuf,
        /// The file.
        name: Name,
    },
    /// A line is appended to a file of another directory.
    Note {
        /// The directory.
        of: PathBuf,
        /// The file.
        name: Name,
        /// The line.
        line: Vec<u8>,
    },
}

/// The way to the thread. It ends when this is dropped.
pub enum Queue {
    /// A thread of its own.
    Thread(Sender<Job>),
    /// Nobody else: each job is a batch and done when it is sent. For a clock that stands still while a thread would work.
    InPlace(Writer),
}

impl Queue {
    /// Starts the thread for the files in a directory. The other end is told when it has ended.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(disk: Arc<dyn Disk>, directory: PathBuf) -> io::Result<(Self, oneshot::Receiver<()>)> {
        let (jobs, taken) = channel();
        let (alive, ended) = oneshot::channel::<()>();
        std::thread::Builder::new().name("spool".into()).stack_size(256 * 1024).spawn(move || {
            let _alive = alive;
            Writer { disk, directory }.run(&taken);
        })?;
        Ok((Self::Thread(jobs), ended))
    }

    /// Does without a thread.
    pub fn in_place(disk: Arc<dyn Disk>, directory: PathBuf) -> Self {
        Self::InPlace(Writer { disk, directory })
    }

    /// Hands a job over. A thread that has died drops it, which whoever waits sees.
    pub fn send(&self, job: Job) {
        match self {
            Self::Thread(jobs) => drop(jobs.send(job)),
            Self::InPlace(writer) => writer.commit(vec![job]),
        }
    }
}

/// What writes.
pub struct Writer {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
}

/// A job whose files are written.
struct Written {
    done: Box<dyn FnOnce(io::Result<()>) + Send>,
    result: io::Result<()>,
    /// To be synced.
    file: Option<Box<dyn DiskFile>>,
    /// To be removed where it cannot be made durable: nobody was told that it is there.
    new: Option<PathBuf>,
    /// After the sync.
    rename: Option<(PathBuf, PathBuf)>,
    /// The names of the directory must be durable, too.
    directory: bool,
    /// So must those of this one.
    other: Option<PathBuf>,
}

impl Writer {
    fn run(&self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH
                && let Ok(job) = jobs.try_recv()
            {
                batch.push(job);
            }
            self.commit(batch);
        }
    }

    fn commit(&self, batch: Vec<Job>) {
        let mut batch: Vec<Written> = batch.into_iter().map(|job| self.write(job)).collect();
        let begun = Instant::now();
        for written in &mut batch {
            if let Some(file) = &mut written.file
                && written.result.is_ok()
            {
                written.result = file.sync();
            }
            written.file = None;
            if let Some((from, to)) = written.rename.take().filter(|_| written.result.is_ok()) {
                written.result = self.disk.rename(&from, &to);
                if written.new.is_some() && written.result.is_ok() {
                    written.new = Some(to);
                }
            }
        }
        let mut others: Vec<&Path> = Vec::new();
        for written in batch.iter().filter(|written| written.result.is_ok()) {
            others.extend(written.other.as_deref().filter(|other| !others.contains(other)));
        }
        // The new place first: between the two a crash leaves a message in both rather than in none.
        let moved = others.into_iter().try_for_each(|other| self.disk.sync_directory(other));
        let wanted = batch.iter().any(|written| written.directory && written.result.is_ok());
        let synced = if wanted { self.disk.sync_directory(&self.directory) } else { Ok(()) };
        telemetry::spool_synced(begun.elapsed());
        for mut written in batch {
            if let (true, Ok(()), Err(error)) = (written.directory, &written.result, &synced) {
                written.result = Err(copy(error));
            }
            // What failed of another directory concerns those alone that went there.
            if let (Some(_), Ok(()), Err(error)) = (&written.other, &written.result, &moved) {
                written.result = Err(copy(error));
            }
            if let (Err(_), Some(path)) = (&written.result, &written.new) {
                self.take_back(path);
            }
            (written.done)(written.result);
        }
    }

    /// Removes a file whose length may be filled in, and for which nobody heard 250. A copy that a crash keeps is one that is
    /// sent twice (promise 5 (d)), and said.
    fn take_back(&self, path: &Path) {
        let removed = match self.disk.remove(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        };
        if removed.and_then(|()| self.disk.sync_directory(&self.directory)).is_err() {
            let name = path.file_name().and_then(|name| Name::parse(name.to_str()?));
            name.into_iter().for_each(|name| telemetry::spool_may_keep(&format!("{:x}", name.id)));
        }
    }

    fn path(&self, name: Name) -> PathBuf {
        self.directory.join(name.to_string())
    }

    fn write(&self, Job { work, done }: Job) -> Written {
        let mut written = Written {
            done,
            result: Ok(()),
            file: None,
            new: None,
            rename: None,
            directory: true,
            other: None,
        };
        written.result = self.prepare(work, &mut written);
        if let Some(file) = &mut written.file
            && written.result.is_ok()
        {
            file.start_write_back();
        }
        written
    }

    fn prepare(&self, work: Work, written: &mut Written) -> io::Result<()> {
        match work {
            Work::Write { name, first_line, content } => {
                let path = self.path(name);
                let mut file = self.disk.create(&path)?;
                written.new = Some(path);
                let mut sum = Sum::of_first_line(&first_line);
                // One call for a small message.
                let mut octets = first_line;
                for chunk in content {
                    sum.add(&chunk);
                    octets.extend_from_slice(&chunk);
                }
                file.write(&octets)?;
                file.write_at(sum.prefix().as_bytes(), 0)?;
                written.file = Some(file);
            }
            Work::Finish { written: path, name, mut file, prefix } => {
                written.new = Some(path.clone());
                file.write_at(prefix.as_bytes(), 0)?;
                written.file = Some(file);
                written.rename = Some((path, self.path(name)));
            }
            Work::Again { name, due, line, sync } => {
                let path = self.path(name);
                let mut file = self.disk.append(&path)?;
                file.write(&line)?;
                written.file = Some(file).filter(|_| sync);
                written.rename = Some((path, self.path(Name { due, ..name })));
                // A name that comes back with an earlier time only means that it is tried earlier.
                written.directory = false;
            }
            // What is gone already was removed by a job whose directory could not be synced: now it can, maybe.
            Work::Remove { name } => match self.disk.remove(&self.path(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            },
            Work::Discard { from, name } => {
                written.directory = false;
                match self.disk.remove(&from.join(name.to_string())) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => written.other = Some(from),
                }
            }
            Work::Note { of, name, line } => {
                written.directory = false;
                let mut file = self.disk.append(&of.join(name.to_string()))?;
                file.write(&line)?;
                written.file = Some(file);
            }
            Work::Move { name, to, moved, line } => {
                let (path, moved) = (self.path(name), to.join(moved.to_string()));
                written.other = Some(to);
                match self.disk.append(&path) {
                    Ok(mut file) => {
                        file.write(&line)?;
                        written.file = Some(file);
                        written.rename = Some((path, moved));
                    }
                    // It was moved by a job whose directories could not be synced.
                    Err(error)
                        if error.kind() == io::ErrorKind::NotFound && self.disk.open(&moved).is_ok() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}
