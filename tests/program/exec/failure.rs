//! The shim dies under the app.

use super::harness::*;

#[test]
fn stop_asks_the_app_to_end_and_waits_for_it() {
    let (office, directory) = (office(), Directory::new());
    let gate = directory.pipe("gate");
    let script = format!(
        "trap 'echo term:; read -r < {gate}; echo done:; exit 0' TERM; echo up:
         while :; do sleep 1000 & wait $!; done"
    );
    let mut app = app(&office, &script);
    app.output.expect("up:");
    kill("KILL", shim(&app));
    app.output.expect("term:");
    release(&gate);
    app.output.expect("done:");
    assert_eq!(app.code(), 70, "a code that an orchestrator takes for a failure");
    assert!(logged(&app.log.rest(), "the shim has ended under the app"));
}

#[test]
fn restart_keeps_the_app_and_the_port() {
    let (office, directory) = (office(), Directory::new());
    let gate = directory.pipe("gate");
    let script = format!(
        "{SEND} echo up:$MAILSHIM_LISTEN; read -r < {gate}
        connect; content; verdict; echo \"$reply\"; exit 3"
    );
    let mut command = exec(&office, &["bash", "-c", &script]);
    let mut app = Running::start(command.env("MAILSHIM_EXEC_ON_FAILURE", "restart"));
    let listen = answer(&app.output, "up:");
    let mut before = shim(&app);
    for _ in 0..2 {
        kill("KILL", before);
        until("another shim", || !is_alive(before) && shim(&app) != before);
        let mut wait = Running::start(mailshim(&office, &["wait"]).env("MAILSHIM_LISTEN", &listen));
        assert_eq!(wait.code(), 0);
        before = shim(&app);
    }
    release(&gate);
    app.output.expect("250 ");
    assert_eq!(app.code(), 3);
    assert_eq!(office.taken_count(), 1);
    assert_eq!(office.violations(), Vec::<String>::new());
}
