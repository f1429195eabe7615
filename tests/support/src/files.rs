//! Files and directories that go away with the test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A path in the system's temporary directory that nobody else has.
fn unused() -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("mailshim-test-{}-{count}", std::process::id()))
}

/// A file that goes away with the test.
pub struct TempFile(PathBuf);

impl TempFile {
    /// A file with this content.
    pub fn new(content: impl AsRef<[u8]>) -> Self {
        let file = Self(unused());
        file.write(content);
        file
    }

    /// Replaces its content.
    pub fn write(&self, content: impl AsRef<[u8]>) {
        fs::write(&self.0, content).unwrap();
    }

    /// Its content.
    pub fn read(&self) -> String {
        fs::read_to_string(&self.0).unwrap()
    }

    /// Its path, as a variable's value.
    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl AsRef<Path> for TempFile {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A directory that goes away with the test, and all in it.
pub struct Directory(PathBuf);

impl Directory {
    /// An empty one.
    #[expect(clippy::new_without_default, reason = "it makes something on the disk")]
    pub fn new() -> Self {
        let path = unused();
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// The path of a name in it.
    pub fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// A named pipe, whose readers wait until somebody opens it for writing.
    pub fn pipe(&self, name: &str) -> String {
        let path = self.path(name);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
