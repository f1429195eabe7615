//! The file of `MAILSHIM_REFRESH_TOKEN_FILE`: one refresh token, and a line feed.
//!
//! It is replaced whole: `FILE.new` is written with mode 0600 and fsynced, renamed over `FILE`, and the directory fsynced.
//! What a crash leaves:
//!
//! | it comes | `FILE` | `FILE.new` | what counts next |
//! |---|---|---|---|
//! | after Entra's answer, before the write | old token | none | the old one: Entra does not revoke a refresh token by its use, it ends 90 days after it was given |
//! | in the write | old token | a part, or all | the old one; `FILE.new` is never read, and written anew |
//! | after the rename | new token | none | the new one |
//!
//! There is no moment without a whole token under the name that is read.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::secret::{Secret, read_value_file};

/// Puts `token` into the file. With `instead_of`, only if the file still holds that: whoever signed in anew meanwhile
/// (`mailshim login`) must not lose it to a token of the sign-in before.
///
/// # Errors
/// A sentence for the operator, without any token.
pub async fn replace(
    path: &Path,
    instead_of: Option<&Secret<String>>,
    token: &Secret<String>,
) -> Result<(), String> {
    let (path, instead_of, token) = (path.to_path_buf(), instead_of.cloned(), token.clone());
    let replacing = move || {
        if let Some(old) = instead_of
            && read_value_file(&path).is_ok_and(|now| now != *old.expose())
        {
            return Ok(());
        }
        write(&path, &token).map_err(|error| format!("{}: {error}", path.display()))
    };
    tokio::task::spawn_blocking(replacing).await.unwrap_or_else(|_| Err("a fault in mailshim".to_string()))
}

/// Whether the file could be replaced, tried out; the file itself stays as it is.
///
/// # Errors
/// A sentence for the operator.
pub async fn try_to_write(path: &Path) -> Result<(), String> {
    let path = path.to_path_buf();
    let trying = move || {
        let words = |error: io::Error| format!("{}: {error}", path.display());
        if path.is_dir() {
            return Err(format!("{} is a directory", path.display()));
        }
        let (new, _) = create_new(&path).map_err(words)?;
        std::fs::remove_file(new).map_err(words)
    };
    tokio::task::spawn_blocking(trying).await.unwrap_or_else(|_| Err("a fault in mailshim".to_string()))
}

fn create_new(path: &Path) -> io::Result<(PathBuf, File)> {
    let mut new = path.as_os_str().to_os_string();
    new.push(".new");
    let new = PathBuf::from(new);
    // What a crash left goes away first: to open it would keep its mode, or follow a link.
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    Ok((new, file))
}

fn write(path: &Path, token: &Secret<String>) -> io::Result<()> {
    let (new, mut file) = create_new(path)?;
    // The umask can only take away; a mode that cannot be read back would lose the sign-in at the next start.
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    file.write_all(token.expose().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    // Without this the rename itself can be lost with the power.
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Secret<String> {
        Secret::new(text.to_string())
    }

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("mailshim-token-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn names(&self) -> Vec<String> {
            let entries = std::fs::read_dir(&self.0).unwrap();
            let mut names: Vec<_> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[tokio::test]
    async fn it_is_replaced_whole_and_for_its_owner_alone() {
        let directory = Directory::new("whole");
        let path = directory.0.join("token");
        replace(&path, None, &token("one")).await.unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        // What a crash in the write left, readable for all.
        std::fs::write(directory.0.join("token.new"), "half of a tok").unwrap();
        replace(&path, Some(&token("one")), &token("two")).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(directory.names(), ["token"]);
    }

    #[tokio::test]
    async fn a_new_sign_in_is_not_overwritten_by_a_token_of_the_old_one() {
        let directory = Directory::new("anew");
        let path = directory.0.join("token");
        std::fs::write(&path, "of the new sign-in\n").unwrap();
        replace(&path, Some(&token("of the old one")), &token("next of the old one")).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "of the new sign-in\n");
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_said_and_leaves_the_old_token() {
        let directory = Directory::new("stuck");
        let path = directory.0.join("token");
        std::fs::write(&path, "old\n").unwrap();
        // A directory in the way: it stops root too, whom no mode stops.
        std::fs::create_dir(directory.0.join("token.new")).unwrap();
        let problem = replace(&path, None, &token("canary")).await.unwrap_err();
        assert!(problem.contains("token: ") && !problem.contains("canary"), "{problem}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old\n");
    }
}
