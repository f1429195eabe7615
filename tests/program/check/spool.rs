//! The rung of the spool: every kind of disk as a document, and real ones.

use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use mailshim::testing::cli::check::{End, Rung, spool_rung};
use mailshim::testing::durable::Free;
use mailshim::testing::spool::{Doubt, Examination, Lying, Mount, SpoolOptions, Unfit};
use office365::{Office365, Settings};
use support::files::Directory;
use support::program::{program, variables};

use super::golden::compare;
use super::ladder::{Climb, settings};

fn options() -> SpoolOptions {
    let lifetime = Duration::from_secs(432_000);
    SpoolOptions { directory: "/var/spool/mailshim".into(), max_bytes: 1_000_000_000, lifetime }
}

fn on(kind: &str) -> Examination {
    Examination {
        mount: Some(Mount { kind: kind.into(), root: "/".into() }),
        free: Some(Free { octets: 41_300_000_000, files: Some(2_600_000) }),
        synced_in: Some(Duration::from_micros(1_234)),
        queued: Lying { messages: 12, octets: 48_211 },
        dead: Lying { messages: 1, octets: 35_000_000 },
        ..Examination::default()
    }
}

fn unfit(kind: &str, unfit: Unfit) -> Examination {
    Examination { synced_in: None, unfit: Some(unfit), ..on(kind) }
}

fn refused(doing: &'static str, code: i32) -> Unfit {
    Unfit::Refused(doing, io::Error::from_raw_os_error(code))
}

#[test]
fn what_is_said_of_every_kind_of_disk() {
    let pod = "/var/lib/kubelet/pods/9a/volumes/kubernetes.io~empty-dir/spool";
    let empty_dir = Mount { kind: "ext4".into(), root: pod.into() };
    let folder = PathBuf::from("/var/spool/mailshim/mailshim");
    let doubts = vec![
        Doubt::Open(folder, 0o755),
        Doubt::OfAnother { owner: 65532, us: 0 },
        Doubt::Unsticky("/var/spool/mailshim".into()),
        Doubt::LittleRoom(120_000_000, 999_951_789),
    ];
    let cases: Vec<(&str, Examination)> = vec![
        ("a local disk", on("ext4")),
        ("nothing is known of it", Examination { mount: None, free: None, ..on("") }),
        ("a tmpfs, or an emptyDir in memory", on("tmpfs")),
        ("a container's own layer", on("overlay")),
        ("an emptyDir", Examination { mount: Some(empty_dir), ..on("ext4") }),
        ("a server that does what is asked", on("nfs4")),
        ("doubts", Examination { doubts, ..on("ext4") }),
        ("it is not there", unfit("ext4", refused("looking for it", 2))),
        ("another user's", unfit("ext4", refused("making a directory in it", 13))),
        ("read-only", unfit("ext4", refused("making a directory in it", 30))),
        ("full", unfit("ext4", refused("writing to it", 28))),
        ("a disk that fails", unfit("ext4", refused("syncing a file in it", 5))),
        ("others may read", unfit("cifs", Unfit::Mode(0o777))),
        ("locks that are none", unfit("nfs", Unfit::NoLocks(None))),
        ("no locks", unfit("nfs", Unfit::NoLocks(Some(io::Error::from_raw_os_error(37))))),
        ("no fsync of a directory", unfit("cifs", Unfit::NoDirectorySync(io::Error::from_raw_os_error(22)))),
    ];
    let told = cases.iter().map(|(name, found)| {
        let rung: Rung = spool_rung(&options(), found);
        format!("{name}\n{}\n", rung.text(false, None))
    });
    compare("spool", &told.collect::<String>());
}

#[test]
fn a_directory_is_tried_and_nothing_stays_in_it() {
    let (office365, directory) = (Office365::start(settings()), Directory::new());
    let variables =
        [("MAILSHIM_SPOOL_DIR", directory.path("").to_string()), ("MAILSHIM_HOLD", String::new())];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let climb = Climb::with(&office365, &variables);
    assert_eq!(climb.end, End::Holds, "{}", climb.text());
    let names: Vec<_> = climb.rungs.iter().map(|rung| rung.name).collect();
    assert_eq!(names[..3], ["configuration", "spool", "dns"]);
    let facts = &climb.rungs[1].facts;
    assert!(facts["sync_ms"].as_f64().is_some_and(|took| took > 0.0), "{facts:?}");
    assert_eq!(facts["queued"]["messages"], 0);
    assert_eq!(std::fs::read_dir(directory.path("")).unwrap().count(), 0, "not even the folder is made");
    let nowhere = directory.path("nowhere");
    let climb = Climb::with(&office365, &[("MAILSHIM_SPOOL_DIR", &nowhere), ("MAILSHIM_HOLD", "")]);
    assert!(climb.failure("spool").contains("Make that directory"), "{}", climb.text());
    assert!(climb.rungs[2..].iter().all(|rung| rung.text(false, None).contains("not tried")));
}

/// The program's `check` in a mount namespace of its own, with this file system over the directory; `None` where this
/// machine gives no such namespace.
fn check_over(mount: &str) -> Option<String> {
    let (office365, directory) = (Office365::start(Settings::default()), Directory::new());
    let path = directory.path("");
    let script = format!("mount {mount} {path} && exec {} check", program());
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", &script]).env_clear();
    command.envs(variables(&office365, &[("MAILSHIM_SPOOL_DIR", &path), ("MAILSHIM_HOLD", "")]));
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    let can = Command::new("unshare").args(["--map-root-user", "--mount", "true"]).output();
    if !can.is_ok_and(|ended| ended.status.success()) {
        eprintln!("not tried: this machine gives no mount namespace");
        return None;
    }
    Some(support::program::run(&mut command, b"").stdout)
}

#[test]
fn real_file_systems_are_known() {
    if let Some(said) = check_over("-t tmpfs -o size=1m tmpfs") {
        assert!(said.contains("ok    spool") && said.contains(" on tmpfs, 1.0 MB free"), "{said}");
        assert!(said.contains("survives the process, not the pod"), "{said}");
        assert!(said.contains("lower it, or give the disk more room"), "{said}");
    }
    if let Some(said) = check_over("-t tmpfs -o ro tmpfs") {
        assert!(said.contains("FAIL  spool") && said.contains("Read-only file system"), "{said}");
        assert!(said.contains("Mount it for writing"), "{said}");
    }
    if let Some(said) = check_over("-t tmpfs -o size=4k,nr_inodes=2 tmpfs") {
        assert!(said.contains("FAIL  spool") && said.contains("or more files (inodes)"), "{said}");
    }
}
