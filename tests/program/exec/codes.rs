//! The exit code, and whether the app was started at all.

use std::fs;
use std::net::TcpListener;

use super::harness::*;

#[test]
fn the_apps_own_code_or_128_and_its_signal() {
    let office = office();
    for (script, code) in [
        ("exit 0", 0),
        ("exit 7", 7),
        ("exit 255", 255),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
        ("ulimit -c 0; kill -SEGV $$", 139),
    ] {
        let mut app = app(&office, script);
        assert_eq!(app.code(), code, "{script}");
        let log = app.log.rest();
        assert!(logged(&log, "the app has ended") && logged(&log, "stopped"), "{script}: {log}");
    }
}

#[test]
fn an_app_that_cannot_be_run() {
    let (office, directory) = (office(), Directory::new());
    let plain_file = directory.path("plain");
    fs::write(&plain_file, "no program").unwrap();
    for (command, code) in [
        ("mailshim-no-such-program", 127),
        ("/no/such/program", 127),
        (plain_file.as_str(), 126),
        ("/tmp", 126),
    ] {
        let mut app = Running::start(&mut exec(&office, &[command]));
        assert_eq!(app.code(), code, "{command}");
        let log = app.log.rest();
        assert!(logged(&log, "the app cannot be started") && logged(&log, "stopped"), "{command}: {log}");
    }
}

#[test]
fn every_mistake_of_the_configuration_and_no_app() {
    let (office, directory) = (office(), Directory::new());
    let trace = directory.path("trace");
    let mut command = exec(&office, &["touch", &trace]);
    command.env("MAILSHIM_HOLD", "45").env("MAILSHIM_EXEC_ON_FAILURE", "ignore").env("MAILSHIM_LISTNE", "x");
    let mut app = Running::start(&mut command);
    assert_eq!(app.code(), 64);
    let log = app.log.rest();
    for name in ["MAILSHIM_HOLD: ", "MAILSHIM_EXEC_ON_FAILURE: ", "MAILSHIM_LISTNE: "] {
        assert!(log.contains(name), "{log}");
    }
    assert!(!exists(&trace));
}

#[test]
fn a_shim_that_cannot_start_and_no_app() {
    let (office, directory) = (office(), Directory::new());
    let trace = directory.path("trace");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let no_roots = directory.path("ca.pem");
    fs::write(&no_roots, "no certificate").unwrap();
    for (name, value, code) in
        [("MAILSHIM_LISTEN", taken.local_addr().unwrap().to_string(), 1), ("MAILSHIM_CA_FILE", no_roots, 64)]
    {
        let mut app = Running::start(exec(&office, &["touch", &trace]).env(name, value));
        assert_eq!(app.code(), code, "{name}: {}", app.log.rest());
        assert!(!exists(&trace), "{name}");
    }
}

#[test]
fn usage() {
    let office = office();
    for arguments in [&["exec"][..], &["exec", "--"]] {
        let mut exec = Running::start(&mut mailshim(&office, arguments));
        assert_eq!(exec.code(), 64);
        assert!(exec.log.rest().contains("mailshim exec -- CMD"));
    }
    // The app's own `--` is the app's.
    let mut exec = Running::start(&mut mailshim(&office, &["exec", "--", "printf", "%s,", "--", "--ready"]));
    assert_eq!((exec.code(), exec.output.rest().as_str()), (0, "--,--ready,"));
}
