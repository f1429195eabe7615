//! What the app leaves behind.

use super::harness::*;

#[test]
fn orphans_are_adopted_and_reaped() {
    let (office, directory) = (office(), Directory::new());
    let (gate, end) = (directory.pipe("gate"), directory.pipe("end"));
    let script = format!(
        "for i in $(seq 40); do (bash -c 'read -r < {gate}; exit 3' &) ; done; echo up:; read -r < {end}; exit 4"
    );
    let mut app = app(&office, &script);
    app.output.expect("up:");
    until("40 orphans beside the shim and the app", || children(app.pid()).len() == 42);
    until("no child but the shim and the app, zombies counted", || {
        // Each opening lets those go that wait now.
        let _ = std::fs::OpenOptions::new().read(true).write(true).open(&gate);
        children(app.pid()).len() == 2
    });
    release(&end);
    assert_eq!(app.code(), 4);
}

#[test]
fn a_daemon_is_neither_waited_for_nor_killed() {
    let office = office();
    let mut app = app(
        &office,
        "setsid sleep 1000 <&- >&- 2>&- & until [ $(cut -d' ' -f6 /proc/$!/stat) = $! ]; do :; done; echo daemon:$!",
    );
    let daemon: u32 = answer(&app.output, "daemon:").parse().unwrap();
    assert_eq!(app.code(), 0);
    assert!(is_alive(daemon));
    kill("KILL", daemon);
}

#[test]
fn as_process_1() {
    let office = office();
    let mut command = std::process::Command::new("unshare");
    environment(&mut command, &office);
    command.args(["--pid", "--fork", "--mount-proc", program(), "exec", "--", "bash", "-c"]);
    // Orphans of process 1, and a signal to it from inside.
    command.arg(
        "echo parent:$PPID; (sleep 0 &); (sleep 0 &)
         until [ $(ps -o stat= --ppid 1 | wc -l) = 2 ]; do :; done
         trap 'exit 6' TERM; kill -TERM 1; while :; do sleep 1000 & wait $!; done",
    );
    let mut app = Running::start(&mut command);
    let status = app.end();
    let log = app.log.rest();
    if log.contains("unshare: unshare failed") {
        eprintln!("SKIPPED: no PID namespace is to be had here");
        return;
    }
    assert_eq!((status.code(), app.output.rest().trim()), (Some(6), "parent:1"), "{log}");
}
