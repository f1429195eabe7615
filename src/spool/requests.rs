//! `requests/`: what `mailshim queue` leaves there for the shim that has the spool, and the shim's answers.
//!
//! | file | who writes it | who removes it |
//! |---|---|---|
//! | `STEM.new` | `mailshim queue`, until it is whole | its rename to `STEM.request` |
//! | `STEM.request` | | the shim, when it is done; or `mailshim queue`, when nobody took it |
//! | `STEM.answer` | the shim, whole by rename | `mailshim queue` |
//!
//! Other names are left alone. Of ours, what lies there for longer than [`OLD`] goes: whoever wrote it has gone. Who may
//! write there may write the mail itself (SECURITY.md): a request gives nobody a right that they had not.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::OFlags;

use super::store::{FOLDER, REQUESTS, Store, blocking};
use crate::message::policy::Policy;
use crate::queue::request::{Answers, MAX_ANSWER, MAX_REQUEST, Request, answers_text, read_answers};
use crate::telemetry;

/// How often the directory is looked at; well below the second within which a request is taken.
const LOOK_AGAIN: Duration = Duration::from_millis(400);
/// The same right after one was taken: more may come.
const LOOK_SOON: Duration = Duration::from_millis(20);
/// For how long after a change the directory is read, whatever its time says: two changes may have the same one.
const AFTER_A_CHANGE: Duration = Duration::from_secs(2);
/// Requests that are taken at one look.
const AT_ONCE: usize = 8;
/// What is ours and older than this has lost its writer.
const OLD: Duration = Duration::from_secs(600);
/// Names that are remembered as none of ours.
const MOST_FOREIGN: usize = 1000;

const NEW: &str = "new";
const REQUEST: &str = "request";
const ANSWER: &str = "answer";

/// The stem of a name of ours.
fn stem<'a>(name: &'a str, ending: &str) -> Option<&'a str> {
    let stem = name.strip_suffix(ending)?.strip_suffix('.')?;
    let is_ours = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
    (!stem.is_empty() && stem.len() <= 64 && stem.bytes().all(is_ours)).then_some(stem)
}

/// Reads a regular file of at most so many octets that this user or root has written. No link is followed, and no pipe
/// waited for.
fn read(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let is = file.metadata()?;
    let us = rustix::process::geteuid().as_raw();
    if !is.is_file() || (is.uid() != us && is.uid() != 0) {
        return Err(io::Error::other("it is no file of this user's"));
    }
    let mut octets = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut octets)?;
    if octets.len() > most {
        return Err(io::Error::other("it is too long"));
    }
    Ok(octets)
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// What the shim remembers between two looks.
struct Looker {
    directory: PathBuf,
    seen: Option<(i64, i64)>,
    changed: Instant,
    foreign: HashSet<String>,
}

impl Looker {
    fn look(&mut self) -> Vec<(PathBuf, Request)> {
        let Ok(is) = fs::metadata(&self.directory) else { return Vec::new() };
        let changed = Some((is.mtime(), is.mtime_nsec()));
        if changed != self.seen {
            (self.seen, self.changed) = (changed, Instant::now());
        }
        // A directory that somebody has filled is not read again and again.
        if self.changed.elapsed() > AFTER_A_CHANGE {
            return Vec::new();
        }
        let Ok(entries) = fs::read_dir(&self.directory) else { return Vec::new() };
        let mut found = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| !self.foreign.contains(*name)) else { continue };
            if stem(name, REQUEST).is_some() {
                if let Some(request) = self.read(&entry.path(), name) {
                    found.push((entry.path(), request));
                }
                if found.len() >= AT_ONCE {
                    // The rest is looked at as soon as these are done.
                    self.changed = Instant::now();
                    break;
                }
            } else if (stem(name, ANSWER).is_some() || stem(name, NEW).is_some()) && is_old(&entry) {
                let _ = fs::remove_file(entry.path());
            }
        }
        found
    }

    fn read(&mut self, path: &Path, name: &str) -> Option<Request> {
        let problem = match read(path, MAX_REQUEST) {
            Ok(octets) => match Request::parse(&octets) {
                Some(request) => return Some(request),
                None => "it is not what mailshim queue writes".to_string(),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => error.to_string(),
        };
        telemetry::spool_request_refused(name, &problem);
        if self.foreign.len() >= MOST_FOREIGN {
            self.foreign.clear();
        }
        self.foreign.insert(name.to_string());
        None
    }
}

fn is_old(entry: &fs::DirEntry) -> bool {
    let written = entry.metadata().and_then(|is| is.modified());
    written.is_ok_and(|written| SystemTime::now().duration_since(written).is_ok_and(|age| age > OLD))
}

fn answer(request: &Path, text: &str) -> io::Result<()> {
    // Its writer has taken it back: nobody waits for an answer.
    let is_there = fs::symlink_metadata(request).is_ok();
    if is_there {
        let new = request.with_extension(NEW);
        let _ = fs::remove_file(&new);
        create(&new)?.write_all(text.as_bytes())?;
        fs::rename(&new, request.with_extension(ANSWER))?;
    }
    fs::remove_file(request)
}

impl Store {
    /// Takes what `mailshim queue` asks for, and does it. Never ends.
    pub async fn take_requests(&self, policy: Arc<Policy>) {
        self.opened().await;
        let directory = self.0.folder.join(REQUESTS);
        let mut looker = Looker { directory, seen: None, changed: Instant::now(), foreign: HashSet::new() };
        loop {
            let looked = blocking(move || {
                let found = looker.look();
                (looker, found)
            });
            let Ok((same, found)) = looked.await else { return std::future::pending().await };
            looker = same;
            let is_busy = !found.is_empty();
            for (path, request) in found {
                let answers = self.operate(&request, Some(&policy)).await;
                let text = answers_text(&answers);
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let told = blocking(move || answer(&path, &text)).await.and_then(|told| told);
                if let Err(error) = told {
                    telemetry::spool_request_refused(&name, &error.to_string());
                    // It was done: not once more.
                    looker.foreign.insert(name);
                }
            }
            tokio::time::sleep(if is_busy { LOOK_SOON } else { LOOK_AGAIN }).await;
        }
    }
}

/// Where a shim is asked.
#[derive(Debug)]
pub struct Requests {
    directory: PathBuf,
    count: u32,
}

impl Requests {
    /// Of the spool in this directory.
    pub fn of(directory: &Path) -> Self {
        Self { directory: directory.join(FOLDER).join(REQUESTS), count: 0 }
    }

    /// Leaves a request there.
    ///
    /// # Errors
    /// It cannot be left there.
    pub fn ask(&mut self, request: &Request) -> io::Result<Asked> {
        self.count += 1;
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let stem = format!("{:x}-{:x}-{:x}", since.as_nanos(), std::process::id(), self.count);
        let new = self.directory.join(format!("{stem}.{NEW}"));
        let written = create(&new).and_then(|mut file| file.write_all(request.text().as_bytes()));
        let path = new.with_extension(REQUEST);
        if let Err(error) = written.and_then(|()| fs::rename(&new, &path)) {
            let _ = fs::remove_file(&new);
            return Err(error);
        }
        Ok(Asked { request: path })
    }
}

/// A request that was left there.
#[derive(Debug)]
pub struct Asked {
    request: PathBuf,
}

impl Asked {
    /// The answer, if it has come.
    pub fn answers(&self) -> Option<Answers> {
        let path = self.request.with_extension(ANSWER);
        let answers = read_answers(&read(&path, MAX_ANSWER).ok()?);
        let _ = fs::remove_file(path);
        answers
    }

    /// Takes the request back; whether nobody had done it.
    pub fn take_back(&self) -> bool {
        fs::remove_file(&self.request).is_ok()
    }
}
