//! The rung of the spool: whether mail would be safe on that disk, onto the rung.

use std::io::ErrorKind;

use serde_json::json;

use super::rung::{RUNGS, Rung};
use crate::spool::{Doubt, Examination, Lying, SpoolOptions, Unfit};

/// What to use instead of a file system that cannot do what the spool needs.
const LOCAL_DISK: &str = "Put MAILSHIM_SPOOL_DIR on a local disk; in Kubernetes a PersistentVolumeClaim of a block storage class \
                          (Azure Disk, not Azure Files), in Docker a named volume.";

/// What was found, told.
pub fn spool(options: &SpoolOptions, found: &Examination) -> Rung {
    let mut rung = Rung::new(RUNGS[1]);
    let kind = found.mount.as_ref().map_or("an unknown file system", |mount| mount.kind.as_str());
    let directory = options.directory.display();
    let mut seen = format!("{directory} on {kind}");
    if let Some(free) = found.free {
        seen.push_str(&format!(", {} free", size(free.octets)));
        rung.fact("free_bytes", free.octets);
        if let Some(files) = free.files {
            seen.push_str(&format!(" and {files} files"));
            rung.fact("free_files", files);
        }
    }
    rung.see(seen);
    rung.fact("directory", directory.to_string());
    rung.fact("file_system", kind);
    if let Some(took) = found.synced_in {
        let milliseconds = (took.as_secs_f64() * 10_000.0).round() / 10.0;
        rung.see(format!("a small file and its name are durable after {milliseconds} ms"));
        rung.fact("sync_ms", milliseconds);
    }
    let Examination { queued, dead, damaged, .. } = found;
    let lying = |what: &str, of: &Lying| format!("{} {what} ({})", of.messages, size(of.octets));
    rung.see(format!("{}, {}, {}", lying("waiting", queued), lying("dead", dead), lying("damaged", damaged)));
    for (name, of) in [("queued", queued), ("dead", dead), ("damaged", damaged)] {
        rung.fact(name, json!({"messages": of.messages, "bytes": of.octets}));
    }
    if let Some(mount) = &found.mount {
        rung.warnings.extend(mount.stays().warning().map(str::to_string));
        if mount.is_remote() && found.unfit.is_none() {
            rung.warnings.push(format!(
                "{kind} is another machine's: an fsync and a lock are worth what that one makes of them"
            ));
        }
    }
    rung.warnings.extend(found.doubts.iter().map(doubt));
    if let Some(unfit) = &found.unfit {
        let (cause, fix) = advice(unfit, kind);
        rung.fail(cause, Some(fix));
    }
    rung
}

fn doubt(doubt: &Doubt) -> String {
    match doubt {
        Doubt::Open(folder, mode) => format!(
            "{} has mode {mode:04o}: other users may reach the mail in it; chmod 700",
            folder.display()
        ),
        Doubt::OfAnother { owner, us } => format!(
            "the spool belongs to user {owner}, and this check ran as user {us}: run it as that one, whose rights count"
        ),
        Doubt::Unsticky(parent) => {
            format!(
                "{} may be written by anybody, who can take the spool away: chmod o-w, or +t",
                parent.display()
            )
        }
        Doubt::LittleRoom(free, may_come) => format!(
            "{} are free, and MAILSHIM_SPOOL_MAX_BYTES lets {} more come: lower it, or give the disk more room",
            size(*free),
            size(*may_come)
        ),
    }
}

/// The cause and the fix.
fn advice(unfit: &Unfit, kind: &str) -> (String, String) {
    let (cause, fix) = match unfit {
        Unfit::Refused(doing, error) => {
            let fix = match error.kind() {
                ErrorKind::NotFound | ErrorKind::NotADirectory => {
                    "Make that directory, or mount a volume there; mailshim makes none above its own."
                }
                ErrorKind::PermissionDenied => {
                    "Let mailshim's user write there: chown it (65532 in the images), or set fsGroup: 65532 in the pod's securityContext."
                }
                ErrorKind::ReadOnlyFilesystem => {
                    "Mount it for writing: with a read-only root file system the spool needs a volume of its own."
                }
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                    "Give that file system more room or more files (inodes), or clear it."
                }
                _ => "Look at that disk: the kernel's log says more.",
            };
            (format!("{doing} failed: {error}"), fix)
        }
        Unfit::Mode(mode) => (
            format!(
                "a file made for its owner alone has mode {mode:04o} on {kind}: others may read the mail"
            ),
            "Mount it with file_mode=0600,dir_mode=0700 and mailshim's uid (SMB), or use a local disk.",
        ),
        Unfit::NoLocks(words) => {
            let words =
                words.as_ref().map_or_else(|| "a second lock was given".to_string(), ToString::to_string);
            (format!("{kind} keeps no lock (flock: {words}): two mailshims could use it at once"), LOCAL_DISK)
        }
        Unfit::NoDirectorySync(error) => (
            format!(
                "{kind} cannot make the names of a directory durable (fsync: {error}): mail that was acknowledged could be \
                 gone after a power cut"
            ),
            LOCAL_DISK,
        ),
    };
    (cause, fix.to_string())
}

/// Octets as a person says them.
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
fn size(octets: u64) -> String {
    match octets {
        octets @ ..1_000 => format!("{octets} B"),
        octets @ ..1_000_000 => format!("{:.1} KB", octets as f64 / 1e3),
        octets @ ..1_000_000_000 => format!("{:.1} MB", octets as f64 / 1e6),
        octets => format!("{:.1} GB", octets as f64 / 1e9),
    }
}
