//! The file of `MAILSHIM_CLIENT_CERTIFICATE_PATH`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::identity::certificate::ClientCertificate;
use crate::secret::{Secret, SecretSource};

/// No certificate file is larger; a mistaken path (`/dev/zero`) must not fill the memory.
const FILE_CAP: u64 = 256 * 1024;

/// Where a certificate and its key are; both are read again at each use, so that rotation needs no restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFile {
    /// PEM with the key, or PKCS#12.
    pub path: PathBuf,
    /// Of an encrypted key, or of the PKCS#12 file.
    pub password: Option<SecretSource>,
}

impl CertificateFile {
    /// The certificate as it is now.
    ///
    /// # Errors
    /// A sentence for the operator, without the path (people put a secret where its path belongs).
    pub fn read(&self, now: SystemTime) -> Result<ClientCertificate, String> {
        let octets = self.octets()?;
        let password = self.password.as_ref().map(SecretSource::read).transpose()?;
        ClientCertificate::parse(&octets, password.as_ref().map(|password| password.expose().as_str()), now)
    }

    /// What stands in the file now.
    ///
    /// # Errors
    /// As those of [`CertificateFile::read`].
    pub fn octets(&self) -> Result<Secret<Vec<u8>>, String> {
        read_capped(&self.path)
    }
}

fn read_capped(path: &Path) -> Result<Secret<Vec<u8>>, String> {
    let mut octets = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_CAP + 1).read_to_end(&mut octets))
        .map_err(|error| format!("the file that it names cannot be read: {error}"))?;
    match octets.len() as u64 {
        0 => Err("the file that it names is empty".to_string()),
        1..=FILE_CAP => Ok(Secret::new(octets)),
        _ => Err(format!("the file that it names is longer than {FILE_CAP} bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistaken_path_does_not_fill_the_memory() {
        let read = |path: &str| {
            CertificateFile { path: path.into(), password: None }.read(SystemTime::now()).err().unwrap()
        };
        assert!(read("/dev/zero").contains("is longer than"));
        assert!(read("/dev/null").contains("is empty"));
        assert!(read("/nowhere").contains("cannot be read"));
    }
}
