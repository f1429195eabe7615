//! Files that are whole after a crash: what is written here survives the power, or an error says that it may not.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The directory that a file lies in.
fn directory_of(path: &Path) -> &Path {
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
