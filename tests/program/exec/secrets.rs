//! What the app can see of ours.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;
use std::time::{Duration, Instant};

use super::harness::*;

const SECRET: &str = "Zq8Q~simulated+secret/with=odd&chars%41";

#[test]
fn the_environment_that_the_app_sees() {
    let office = office();
    let mut command = exec(&office, &["env"]);
    command.env("AZURE_CLIENT_SECRET", "the app's own").env("PLAIN", "plain").env("NOTIFY_SOCKET", "/theirs");
    let mut app = Running::start(&mut command);
    assert_eq!(app.code(), 0);
    let seen = app.output.rest();
    let ours: Vec<_> = seen.lines().filter(|line| line.starts_with("MAILSHIM_")).collect();
    assert_eq!(ours.len(), 1, "{ours:?}");
    // The port in use, not the 0 that was set.
    assert!(ours[0].starts_with("MAILSHIM_LISTEN=127.0.0.1:") && !ours[0].ends_with(":0"), "{ours:?}");
    assert!(!seen.contains(SECRET));
    for kept in ["PLAIN=plain", "AZURE_CLIENT_SECRET=the app's own", "NOTIFY_SOCKET=/theirs"] {
        assert!(seen.lines().any(|line| line == kept), "{kept}: {seen}");
    }
}

/// As the same user, without privileges: the supervisor, the shim, and for comparison the app itself.
#[test]
fn secrets_are_out_of_reach_in_proc_and_the_app_is_as_it_would_be_alone() {
    let office = office();
    let script = r#"
        try() { if cat "$2" > /dev/null 2>&1; then echo "$1 open:"; else echo "$1 closed:"; fi; }
        for pid in $PPID $(ps -o pid= --ppid $PPID); do
            [ $pid = $$ ] && continue
            try supervisor-or-shim /proc/$pid/environ
            try supervisor-or-shim /proc/$pid/maps
            if : < /proc/$pid/mem; then echo memory open:; else echo memory closed:; fi
        done 2>/dev/null
        try app /proc/$$/environ
        try app /proc/$$/maps
        echo "core:$(ulimit -c)" "user:$(id -u)."
    "#;
    let mut command = Command::new("bash");
    environment(&mut command, &office);
    command.args(["-c", "ulimit -c 64 && exec \"$@\"", "bash"]).args(without_privileges());
    command.args([program(), "exec", "--", "bash", "-c", script]);
    let mut app = Running::start(&mut command);
    assert_eq!(app.code(), 0, "{}", app.log.rest());
    let seen = app.output.rest();
    let count = |line: &str| seen.lines().filter(|seen| *seen == line).count();
    assert_eq!(count("supervisor-or-shim closed:"), 4, "{seen}");
    assert_eq!(count("memory closed:"), 2, "{seen}");
    assert_eq!(count("app open:"), 2, "{seen}");
    assert!(seen.contains("core:64 user:") && !seen.contains("user:0."), "{seen}");
}

/// What starts a program as nobody's, where we are root: nothing is closed to root.
fn without_privileges() -> &'static [&'static str] {
    if is_root() { &["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"] } else { &[] }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|us| us.uid() == 0)
}

/// The times that a shim is started again under the eyes of the app; the pauses between them double.
const RESTARTS: u32 = 4;

/// An app that ends the shim and looks into the next one from its first moment on, as fast as it can: this program
/// itself, since a shell is too slow to hit the moment, and it misses most of them even so. It says what it could open.
#[test]
#[ignore = "the app of the test below, not a test"]
fn app_that_looks_into_every_new_shim() {
    let (us, parent) = (std::process::id(), std::os::unix::process::parent_id());
    let list = format!("/proc/{parent}/task/{parent}/children");
    let others = || {
        let pids = fs::read_to_string(&list).unwrap();
        pids.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).filter(|pid| *pid != us).collect()
    };
    for _ in 0..RESTARTS {
        let old: Vec<u32> = others();
        old.iter().for_each(|pid| kill("KILL", *pid));
        let (mut environment, mut memory, mut came) = (Vec::new(), false, None);
        let end = Instant::now() + PATIENCE;
        // Its start takes a few milliseconds; it is looked at until it has long ended.
        while came.is_none_or(|came: Instant| came.elapsed() < Duration::from_millis(200)) {
            assert!(Instant::now() < end, "no other shim");
            for pid in others().into_iter().filter(|pid| !old.contains(pid)) {
                came.get_or_insert_with(Instant::now);
                environment.extend(fs::read(format!("/proc/{pid}/environ")).unwrap_or_default());
                memory |= fs::File::open(format!("/proc/{pid}/mem")).is_ok();
            }
        }
        let has = |text: &str| environment.windows(text.len()).any(|octets| octets == text.as_bytes());
        println!(
            "restarted: environment:{} memory:{memory} secret:{}",
            has("PATH="),
            has(SECRET) || has("MAILSHIM_TENANT_ID")
        );
    }
}

/// `exec` of this file with that app, to its end; what the app said of each restart.
fn looked_into(program: &str) -> Vec<String> {
    let office = office();
    let mut command = Command::new("env");
    environment(&mut command, &office);
    command.env("MAILSHIM_EXEC_ON_FAILURE", "restart").args(without_privileges());
    command.args([program, "exec", "--"]).arg(std::env::current_exe().unwrap());
    // The path of this module, less the name of the program that it is in.
    let module = module_path!().split_once("::").map_or("", |(_, module)| module);
    let name = format!("{module}::app_that_looks_into_every_new_shim");
    let mut app = Running::start(command.args(["--exact", &name, "--ignored", "--nocapture"]));
    assert_eq!(app.code(), 0, "{}\n{}", app.output.text(), app.log.rest());
    let said = app.output.rest();
    let lines = said.lines().filter_map(|line| Some(line.split_once("restarted: ")?.1.to_string()));
    let lines: Vec<_> = lines.collect();
    assert_eq!(lines.len() as u32, RESTARTS, "{said}");
    lines
}

/// As in the image: root's, and executable alone. The kernel then closes the process before its first instruction.
#[test]
fn a_program_that_the_app_cannot_read_is_closed_from_its_first_moment() {
    if !is_root() {
        eprintln!("SKIPPED: only root can make a file that is not the app's");
        return;
    }
    let directory = Directory::new();
    let copy = directory.path("mailshim");
    fs::copy(program(), &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o511)).unwrap();
    let seen = looked_into(&copy);
    assert!(seen.iter().all(|line| line == "environment:false memory:false secret:false"), "{seen:?}");
}

/// The moment in which the app can look is hit now and then; what there is to see in it is seen here every time.
#[test]
fn the_shim_is_started_without_a_secret_and_nobody_else_is_handed_one() {
    let (office, directory) = (office(), Directory::new());
    let gate = directory.pipe("gate");
    // Whoever connects after the start finds nobody.
    let script = format!("echo up:; read -r < {gate}; exit 0");
    let mut app = app(&office, &script);
    app.output.expect("up:");
    let sockets = fs::read_to_string("/proc/net/unix").unwrap();
    let ours = format!("@mailshim-exec-{}-", app.pid());
    assert!(!sockets.contains(&ours), "the socket is open after the start");
    if is_root() {
        // What it was started with, whenever one looks; nothing that is read late can be missed here.
        let environment = fs::read(format!("/proc/{}/environ", shim(&app))).unwrap();
        let environment = String::from_utf8_lossy(&environment).into_owned();
        let ours: Vec<_> = environment.split('\0').filter(|var| var.starts_with("MAILSHIM_")).collect();
        assert!(ours.len() == 1 && ours[0].starts_with("MAILSHIM_EXEC_SOCKET="), "{ours:?}");
    }
    let status = fs::read_to_string(format!("/proc/{}/status", shim(&app))).unwrap();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    let exec = fs::read_to_string(format!("/proc/{}/status", app.pid())).unwrap();
    let is_set = |status: &str| status.contains("NoNewPrivs:\t1");
    let tests = fs::read_to_string("/proc/self/status").unwrap();
    assert_eq!(is_set(&exec), is_set(&tests), "the app would inherit it");
    release(&gate);
    assert_eq!(app.code(), 0);
}

/// A tool that follows children from the start reads the memory of each.
#[test]
fn a_debugged_shim_is_given_nothing() {
    if Command::new("strace").arg("-V").output().is_err() {
        eprintln!("SKIPPED: no strace");
        return;
    }
    let (office, directory) = (office(), Directory::new());
    let trace = directory.path("trace");
    let mut command = Command::new("strace");
    environment(&mut command, &office);
    command.args(["-f", "-e", "trace=none", "-o", "/dev/null", program(), "exec", "--", "touch", &trace]);
    let mut app = Running::start(&mut command);
    assert_eq!(app.code(), 1);
    assert!(app.log.rest().contains("as a debugger"));
    assert!(!exists(&trace));
}
