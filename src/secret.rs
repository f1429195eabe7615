//! Values that must never be printed.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A value whose `Debug` and `Display` say `[redacted]`: a log line, an error or a panic message cannot leak it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself; every call is a place to look at in a review.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<T> fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Where a secret comes from. A file is read again at each use, so that rotation needs no restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// Given in the environment.
    Value(Secret<String>),
    /// Given as `X_FILE`.
    File(PathBuf),
}

impl SecretSource {
    /// The secret as it is now.
    ///
    /// # Errors
    /// A sentence for the operator, when the file cannot be read, is not UTF-8 or is empty.
    pub fn read(&self) -> Result<Secret<String>, String> {
        match self {
            Self::Value(secret) => Ok(secret.clone()),
            Self::File(path) => read_value_file(path)
                .and_then(|text| match bare(&text) {
                    "" => Err("is empty".to_string()),
                    bare => Ok(Secret::new(bare.to_string())),
                })
                .map_err(|problem| format!("the secret file {}: {problem}", path.display())),
        }
    }
}

/// A secret without its trailing line ends and its byte order mark: `echo` and editors put them there, and the token
/// service would take them as part of it.
pub(crate) fn bare(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text).trim_end_matches(['\r', '\n'])
}

/// What looks like an accident in a client secret, which Entra makes of printable ASCII: never the value itself.
pub(crate) fn oddity(secret: &str) -> Option<&'static str> {
    match () {
        () if is_quoted(secret) => {
            Some("has a quote at both ends: in a Compose list (- NAME=value) quotes are part of the value")
        }
        () if secret.contains(char::is_whitespace) => Some("has a blank in it"),
        () if !secret.is_ascii() => Some("has a character beyond ASCII in it"),
        () => None,
    }
}

/// How a secret looks, without any of its characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looks {
    characters: usize,
    first: &'static str,
    last: &'static str,
}

impl Looks {
    /// Of this secret.
    pub fn of(secret: &str) -> Self {
        let kind = |c: Option<char>| match c {
            None => "nothing",
            Some('"' | '\'') => "a quote",
            Some(c) if c.is_ascii_alphabetic() => "a letter",
            Some(c) if c.is_ascii_digit() => "a digit",
            Some(c) if c.is_ascii_graphic() => "a sign",
            Some(c) if c.is_whitespace() => "a blank",
            Some(c) if c.is_ascii() => "a control character",
            Some(_) => "a character beyond ASCII",
        };
        let (first, last) = (secret.chars().next(), secret.chars().next_back());
        Self { characters: secret.chars().count(), first: kind(first), last: kind(last) }
    }
}

impl fmt::Display for Looks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { characters, first, last } = self;
        write!(f, "it has {characters} characters, the first is {first}, the last {last}")
    }
}

/// No value given by file is longer; a mistaken path (`/dev/zero`) must not fill the memory.
const VALUE_FILE_CAP: u64 = 64 * 1024;

/// The value in a file named by `X_FILE`. Errors repeat the path only where something exists that shows it to be one:
/// people put the secret itself where its path belongs.
pub(crate) fn read_value_file(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(VALUE_FILE_CAP + 1).read_to_string(&mut text)).map_err(
        |error| match error.kind() {
            ErrorKind::PermissionDenied => {
                not_permitted(path).unwrap_or_else(|| format!("cannot be read: {error}"))
            }
            // Docker makes a directory of a source that the host does not have.
            ErrorKind::IsADirectory => {
                let shown = path.display();
                format!("cannot be read: {shown} is a directory (a container gets an empty one where the file to mount does not exist)")
            }
            ErrorKind::NotFound if is_a_folders(path) => {
                format!("cannot be read: there is no {}", path.display())
            }
            _ => format!("cannot be read: {error}"),
        },
    )?;
    if text.len() as u64 > VALUE_FILE_CAP {
        return Err(format!("is longer than {VALUE_FILE_CAP} bytes"));
    }
    // One trailing newline is an editor's, not the secret's.
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() { Err("is empty".to_string()) } else { Ok(text) }
}

/// Whether the path leads into a folder that exists: then it is a path, and no secret in a path's place.
fn is_a_folders(path: &Path) -> bool {
    path.parent().is_some_and(|parent| parent.parent().is_some() && parent.is_dir())
}

/// Whose the file is, who we are, and what lets us read it. The path is repeated: there is such a file, so it is no secret.
fn not_permitted(path: &Path) -> Option<String> {
    let file = std::fs::metadata(path).ok()?;
    let (owner, mode, us) = (file.uid(), file.mode() & 0o7777, rustix::process::geteuid().as_raw());
    let shown = path.display();
    Some(format!(
        "cannot be read: {shown} belongs to uid {owner} and has mode {mode:04o}, and mailshim runs as uid {us}: \
         chown {us} {shown} (or, in a folder that is closed to others, chmod 0444 {shown})"
    ))
}

/// Whether a value stands in quotes, which are part of it wherever no shell takes them off.
pub(crate) fn is_quoted(value: &str) -> bool {
    let by = |quote| value.len() > 1 && value.starts_with(quote) && value.ends_with(quote);
    by('"') || by('\'')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_and_a_byte_order_mark_are_no_part_of_a_secret() {
        for text in ["s3cret", "s3cret\n", "s3cret\r\n\n", "\u{feff}s3cret\r\n", "\u{feff}s3cret"] {
            assert_eq!(bare(text), "s3cret", "{text:?}");
        }
        assert_eq!(bare(" s3\ncret \n"), " s3\ncret ");
        assert_eq!(bare("\u{feff}\n"), "");
    }

    #[test]
    fn what_is_odd_in_a_client_secret() {
        for (text, part) in
            [("\"s3cret\"", "quote"), ("'s3cret'", "quote"), ("s3 cret", "blank"), ("s3cr\u{e9}t", "ASCII")]
        {
            assert!(oddity(text).unwrap().contains(part), "{text}");
        }
        assert_eq!((oddity("8Q~s3.cret_-'x"), oddity("\"")), (None, None));
    }

    #[test]
    fn the_looks_of_a_secret_tell_a_tail_and_a_quote() {
        let looks = |secret: &str| Looks::of(secret).to_string();
        assert_eq!(looks("8Q~s3cret"), "it has 9 characters, the first is a digit, the last a letter");
        assert_eq!(looks("\"~\""), "it has 3 characters, the first is a quote, the last a quote");
        assert_eq!(looks(" x\t"), "it has 3 characters, the first is a blank, the last a blank");
        assert_eq!(
            looks("~\u{feff}"),
            "it has 2 characters, the first is a sign, the last a character beyond ASCII"
        );
    }

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("hunter2".to_string());
        assert_eq!(format!("{secret} {secret:?}"), "[redacted] [redacted]");
        assert_eq!(format!("{:?}", SecretSource::Value(secret)), "Value([redacted])");
    }
}
