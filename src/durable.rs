//! The calls that durability rests on, as a value: what is written here survives the power, or an error says that it may
//! not.
//!
//! The spool and the refresh token's file use them. They are a parameter ([`Disk`]), so that a test can let any single
//! call fail, or record all of them and drop what was never synced, without a switch in the program that people run.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// A file system. Every call blocks; none of them retries.
pub trait Disk: Send + Sync + 'static {
    /// Creates a file that nobody else may read, for writing.
    ///
    /// # Errors
    /// Also where the name is taken.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file for writing behind its end.
    ///
    /// # Errors
    /// Also where there is none.
    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file for reading.
    ///
    /// # Errors
    /// The system's.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name, in another directory too. Durable only when both directories are synced.
    ///
    /// # Errors
    /// The system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// The system's.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable (`fsync` of the directory).
    ///
    /// # Errors
    /// The system's; some network file systems cannot do it.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// Gives the names in a directory one by one: of a hundred thousand none is kept here.
    ///
    /// # Errors
    /// The system's.
    fn list(&self, path: &Path, name: &mut dyn FnMut(OsString)) -> io::Result<()>;

    /// Makes a directory that nobody else may enter, if it is not there.
    ///
    /// # Errors
    /// The system's.
    fn make_directory(&self, path: &Path) -> io::Result<()>;

    /// Octets that may still be written where this path lies, and whether another file may be made there.
    ///
    /// # Errors
    /// The system's.
    fn free(&self, path: &Path) -> io::Result<Free>;
}

/// What is left of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Free {
    /// Octets that a user other than root may write.
    pub octets: u64,
    /// Files that may be made; `None` where the file system does not count them.
    pub files: Option<u64>,
}

/// An open file of a [`Disk`].
pub trait DiskFile: Send {
    /// Writes all of these octets at the file's position.
    ///
    /// # Errors
    /// The system's; some of them may be written.
    fn write(&mut self, octets: &[u8]) -> io::Result<()>;

    /// Writes all of these octets at an offset; the position stays.
    ///
    /// # Errors
    /// The system's; some of them may be written.
    fn write_at(&mut self, octets: &[u8], offset: u64) -> io::Result<()>;

    /// Reads at an offset; 0 at the end.
    ///
    /// # Errors
    /// The system's.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Lets the system begin to write what it holds of this file, and waits for nothing: of many files that are synced
    /// one after the other the last is then nearly done.
    fn start_write_back(&mut self);

    /// Makes the content durable (`fsync`).
    ///
    /// # Errors
    /// The system's. After one the file is not to be believed: the kernel may have dropped the pages and marked them
    /// clean, so that a second call would succeed over lost octets.
    fn sync(&mut self) -> io::Result<()>;
}

/// The machine's own file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Disk for System {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Box::new(SystemFile(file)))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(SystemFile(OpenOptions::new().append(true).open(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(SystemFile(File::open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn list(&self, path: &Path, name: &mut dyn FnMut(OsString)) -> io::Result<()> {
        fs::read_dir(path)?.try_for_each(|entry| entry.map(|entry| name(entry.file_name())))
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            made => made,
        }
    }

    fn free(&self, path: &Path) -> io::Result<Free> {
        let space = rustix::fs::statvfs(path)?;
        let files = (space.f_files > 0).then_some(space.f_favail);
        Ok(Free { octets: space.f_bavail.saturating_mul(space.f_frsize), files })
    }
}

struct SystemFile(File);

impl DiskFile for SystemFile {
    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.0.write_all(octets)
    }

    fn write_at(&mut self, octets: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(octets, offset)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn start_write_back(&mut self) {
        // DONTNEED begins the write-back of dirty pages. It is advice: without it the sync takes longer, and that is all.
        let _ = rustix::fs::fadvise(&self.0, 0, None, rustix::fs::Advice::DontNeed);
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_all()
    }
}

/// The directory that a file lies in.
pub fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Where the new content of a file is written before it takes the file's name.
fn temporary(path: &Path) -> PathBuf {
    let mut new = path.as_os_str().to_os_string();
    new.push(".new");
    new.into()
}

/// Creates the temporary of a file, for its owner alone. What a crash left goes away first: to open it would keep its
/// mode, or follow a link.
///
/// # Errors
/// The system's.
fn create_temporary(path: &Path) -> io::Result<(PathBuf, File)> {
    let new = temporary(path);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    Ok((new, file))
}

/// Replaces a file as a whole: at every moment its name holds the old octets or the new ones.
///
/// # Errors
/// The system's; the old octets then still stand under the name, or the new ones do and may be lost with the power.
pub fn write_whole(path: &Path, octets: &[u8]) -> io::Result<()> {
    let (new, mut file) = create_temporary(path)?;
    // The umask can only take away; a mode that cannot be read back would lose the content at the next start.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(octets)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    // Without this the rename itself can be lost with the power.
    File::open(directory_of(path))?.sync_all()
}

/// Whether [`write_whole`] could replace the file, tried out; the file itself stays as it is.
///
/// # Errors
/// The system's.
pub fn try_to_write(path: &Path) -> io::Result<()> {
    let (new, _) = create_temporary(path)?;
    fs::remove_file(new)
}
