//! A terminal, by `script` of util-linux: the app has it as if nobody stood between.

use std::process::Command;

use super::harness::*;

/// `script` with this shell command on a terminal; what is typed in goes there.
fn on_a_terminal(office: &office365::Office365, command: &str) -> Running {
    let mut script = Command::new("script");
    environment(&mut script, office);
    script.env("TERM", "dumb").env("PS1", "$ ").env("SHELL", "/bin/bash").env("MAILSHIM", program());
    Running::start(script.args(["--quiet", "--return", "--command", command, "/dev/null"]))
}

const LOOP: &str = "while :; do sleep 1000 & wait $!; done";

#[test]
fn the_app_is_in_the_foreground_and_hears_ctrl_c() {
    let office = office();
    let app = format!("trap \"echo int:; exit 9\" INT; read -r line; echo line:$line; {LOOP}");
    let mut script = on_a_terminal(&office, &format!("exec $MAILSHIM exec -- bash -c '{app}'"));
    script.type_in("typed\n");
    script.output.expect("line:typed");
    script.type_in("\x03");
    script.output.expect("int:");
    // The shim did not hear it: it ends as after any app.
    script.output.expect("the app has ended");
    script.output.expect("stopped");
    assert_eq!(script.code(), 9);
}

#[test]
fn a_shell_has_job_control() {
    let office = office();
    let mut script = on_a_terminal(&office, "exec $MAILSHIM exec -- bash --norc -i");
    script.type_in("echo first:$((40 + 2))\n");
    script.output.expect("first:42");
    script.type_in("sleep 1000; echo after:$?:\n");
    until("sleep in the foreground", || in_foreground(&script, "sleep").is_some());
    script.type_in("\x1a");
    script.output.expect("Stopped");
    script.type_in("fg\n");
    until("sleep in the foreground again", || in_foreground(&script, "sleep").is_some());
    script.type_in("\x03");
    until("the shell in the foreground again", || in_foreground(&script, "bash").is_some());
    script.type_in("echo second:$((40 + 3))\n");
    script.output.expect("second:43");
    script.type_in("exit 7\n");
    assert_eq!(script.code(), 7);
    assert!(!script.output.text().contains("no job control"));
}

/// The process of this name below `script` whose group has the terminal.
fn in_foreground(script: &Running, name: &str) -> Option<u32> {
    let mut all = vec![script.pid()];
    let mut next = 0;
    while let Some(pid) = all.get(next).copied() {
        all.extend(children(pid));
        next += 1;
    }
    all.into_iter().find(|pid| {
        let is_named =
            std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name);
        is_named && stat(*pid, 5).is_some_and(|group| stat(*pid, 8) == Some(group))
    })
}

#[test]
fn ctrl_z_with_nobody_to_continue_is_undone() {
    let office = office();
    // What is read shows that the terminal was handed over, which itself may send a SIGCONT.
    let app = format!("read -r line; trap \"echo continued:; exit 8\" CONT; echo up:; {LOOP}");
    let mut script = on_a_terminal(&office, &format!("exec $MAILSHIM exec -- bash -c '{app}'"));
    script.type_in("\n");
    script.output.expect("up:");
    script.type_in("\x1a");
    script.output.expect("continued:");
    assert_eq!(script.code(), 8);
}

#[test]
fn a_shell_above_can_stop_and_continue_it_as_a_job() {
    let office = office();
    let mut script = on_a_terminal(&office, "exec bash --norc -i");
    script.type_in(
        "$MAILSHIM exec -- sh -c 'echo up-$((40 + 2)); read -r line; echo \"line-$line-\"; exit 6'; echo code-$?-\n",
    );
    script.output.expect("up-42");
    until("the app reads", || in_foreground(&script, "sh").is_some());
    script.type_in("\x1a");
    script.output.expect("Stopped");
    script.type_in("fg; echo end-$?-\n");
    until("the app in the foreground", || in_foreground(&script, "sh").is_some());
    script.type_in("again\n");
    script.output.expect("line-again-");
    script.output.expect("end-6-");
    script.type_in("exit\n");
    script.end();
}
