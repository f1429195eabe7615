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

use std::path::Path;

use crate::durable;
use crate::secret::{Secret, read_value_file};
use crate::task;

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
        let line = Secret::new(format!("{}\n", token.expose()));
        durable::write_whole(&path, line.expose().as_bytes())
            .map_err(|error| format!("{}: {error}", path.display()))
    };
    task::blocking(replacing).await.unwrap_or_else(|| Err("a fault in mailshim".to_string()))
}

/// Whether the file could be replaced, tried out; the file itself stays as it is.
///
/// # Errors
/// A sentence for the operator.
pub async fn try_to_write(path: &Path) -> Result<(), String> {
    let path = path.to_path_buf();
    let trying = move || {
        if path.is_dir() {
            return Err(format!("{} is a directory", path.display()));
        }
        durable::try_to_write(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    task::blocking(trying).await.unwrap_or_else(|| Err("a fault in mailshim".to_string()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

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
