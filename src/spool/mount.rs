//! What kind of file system a path lies on, and how long that lasts. Pure: the text of `/proc/self/mountinfo` in.

use std::path::{Path, PathBuf};

/// The mount that a path lies on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The file system's type as the kernel names it, such as `ext4`, `overlay` or `nfs4`.
    pub kind: String,
    /// What of that file system is mounted there: `/`, or a directory of it.
    pub root: String,
}

/// How long what lies on a mount stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stays {
    /// As far as can be seen, for longer than a container.
    Long,
    /// In memory alone.
    InMemory,
    /// In a container's own layer.
    InTheContainer,
    /// In a Kubernetes emptyDir.
    InThePod,
}

impl Mount {
    /// How long what is written there stays.
    pub fn stays(&self) -> Stays {
        match self.kind.as_str() {
            "tmpfs" | "ramfs" => Stays::InMemory,
            "overlay" | "aufs" => Stays::InTheContainer,
            _ if self.root.contains("kubernetes.io~empty-dir") => Stays::InThePod,
            _ => Stays::Long,
        }
    }

    /// Another machine keeps it, and an `fsync` or a lock is worth what that one makes of it.
    pub fn is_remote(&self) -> bool {
        let kinds = ["nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "9p", "ceph", "afs", "glusterfs"];
        kinds.contains(&self.kind.as_str()) || self.kind.starts_with("fuse.")
    }
}

impl Stays {
    /// Said plainly, for the log and for `mailshim check`; nothing where it lasts.
    pub const fn warning(self) -> Option<&'static str> {
        match self {
            Self::Long => None,
            Self::InMemory => Some(
                "MAILSHIM_SPOOL_DIR is in memory (tmpfs): mail that waits there survives the process, not the pod and not the machine; mount a volume on a disk",
            ),
            Self::InTheContainer => Some(
                "MAILSHIM_SPOOL_DIR is in the container's own layer (overlay): mail that waits there survives the process, not the container and not the pod; mount a volume",
            ),
            Self::InThePod => Some(
                "MAILSHIM_SPOOL_DIR is an emptyDir: mail that waits there survives the process, not the pod; mount a PersistentVolumeClaim",
            ),
        }
    }
}

/// Finds the mount that a path from the root lies on (proc(5), `/proc/PID/mountinfo`).
pub fn mount_of(mountinfo: &str, path: &Path) -> Option<Mount> {
    let mut found: Option<(usize, Mount)> = None;
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let mut left = left.split(' ').skip(3);
        let (Some(root), Some(point), Some(kind)) = (left.next(), left.next(), right.split(' ').next())
        else {
            continue;
        };
        let point = PathBuf::from(unescaped(point));
        let depth = point.components().count();
        // Of two on one point the later one lies on top.
        if path.starts_with(&point) && found.as_ref().is_none_or(|(deepest, _)| depth >= *deepest) {
            found = Some((depth, Mount { kind: kind.to_string(), root: unescaped(root) }));
        }
    }
    found.map(|(_, mount)| mount)
}

/// Blank, tab, line feed and backslash stand as three octal digits.
fn unescaped(text: &str) -> String {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.into_iter().fold(text.to_string(), |text, (escape, octet)| text.replace(escape, octet))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 0:21 / / rw,relatime - overlay overlay rw,lowerdir=/a - b
30 22 0:5 / /dev rw - tmpfs tmpfs rw
31 22 8:1 /var/lib/kubelet/pods/9a/volumes/kubernetes.io~empty-dir/spool /var/spool/mailshim rw - ext4 /dev/sda1 rw
32 22 8:2 / /mnt/a\\040b rw,relatime shared:7 master:1 - ext4 /dev/sdb rw
33 32 0:40 /share /mnt/a\\040b/share rw - nfs4 server:/share rw
34 22 0:41 / /mnt/over rw - ext4 /dev/sdc rw
35 22 0:42 / /mnt/over rw - cifs //server/share rw
";

    #[test]
    fn the_deepest_mount_and_of_two_the_upper_one_is_found() {
        let kind = |path: &str| mount_of(MOUNTS, Path::new(path)).unwrap().kind;
        for (path, is) in [
            ("/srv", "overlay"),
            ("/dev/shm/x", "tmpfs"),
            ("/var/spool/mailshim", "ext4"),
            ("/var/spool/mailshimmer", "overlay"),
            ("/mnt/a b/c", "ext4"),
            ("/mnt/a b/share/c", "nfs4"),
            ("/mnt/over", "cifs"),
        ] {
            assert_eq!(kind(path), is, "{path}");
        }
        assert_eq!(mount_of("no line of the kernel's", Path::new("/")), None);
    }

    #[test]
    fn how_long_it_stays_and_whose_it_is() {
        let mount = |path: &str| mount_of(MOUNTS, Path::new(path)).unwrap();
        assert_eq!(mount("/srv").stays(), Stays::InTheContainer);
        assert_eq!(mount("/dev").stays(), Stays::InMemory);
        assert_eq!(mount("/var/spool/mailshim/mailshim").stays(), Stays::InThePod);
        assert_eq!(mount("/mnt/a b").stays(), Stays::Long);
        assert!(mount("/mnt/over").is_remote() && mount("/mnt/a b/share").is_remote());
        assert!(!mount("/mnt/a b").is_remote());
        assert!([Stays::InMemory, Stays::InTheContainer, Stays::InThePod].iter().all(|stays| {
            stays.warning().is_some_and(|words| words.contains("survives the process, not the"))
        }));
    }
}
