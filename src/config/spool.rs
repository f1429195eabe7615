//! Where mail waits on a disk, if it does.

use std::path::{Path, PathBuf};

use super::environment::Reader;
use super::value::{duration, size};
use crate::spool::SpoolOptions;

/// `Some(None)` where there is no spool; `None` after a mistake.
pub(super) fn options(reader: &mut Reader) -> Option<Option<SpoolOptions>> {
    let lifetime = reader.value("MAILSHIM_SPOOL_LIFETIME", duration("1m", "90d"));
    let max_bytes = reader.value("MAILSHIM_SPOOL_MAX_BYTES", size("1MB", "1000GB"));
    if !reader.is_set("MAILSHIM_SPOOL_DIR") {
        for name in ["MAILSHIM_SPOOL_LIFETIME", "MAILSHIM_SPOOL_MAX_BYTES", "MAILSHIM_BOUNCE_TO"] {
            if reader.is_set(name) {
                reader.warn(format!("{name} has no effect: MAILSHIM_SPOOL_DIR is not set"));
            }
        }
        return Some(None);
    }
    if reader.is_set("MAILSHIM_HOLD") {
        reader.warn("MAILSHIM_HOLD has no effect with MAILSHIM_SPOOL_DIR: the app waits for the disk alone");
    }
    let directory = reader.value("MAILSHIM_SPOOL_DIR", absolute);
    Some(Some(SpoolOptions { directory: directory?, max_bytes: max_bytes?, lifetime: lifetime? }))
}

/// Whether it can be used is found out when it is: it may be mounted later than this is read.
fn absolute(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    if path.is_absolute() {
        Ok(path.to_path_buf())
    } else {
        Err("is not a path from the root, such as /var/spool/mailshim".to_string())
    }
}
