//! Signals go to the app's process group, whatever they are.

use super::harness::*;

const KINDS: [&str; 20] = [
    "HUP", "INT", "QUIT", "USR1", "USR2", "ALRM", "TERM", "STKFLT", "TSTP", "CONT", "URG", "XCPU", "VTALRM",
    "PROF", "WINCH", "IO", "PWR", "RTMIN", "RTMIN+3", "RTMAX",
];

#[test]
fn all_kinds() {
    let office = office();
    let script = format!(
        "for kind in {}; do trap \"echo got:$kind.\" $kind; done; echo up:
         while :; do sleep 1000 & wait $!; done",
        KINDS.join(" ")
    );
    let app = app(&office, &script);
    app.output.expect("up:");
    for kind in KINDS {
        kill(kind, app.pid());
        app.output.expect(&format!("got:{kind}."));
    }
}

#[test]
fn the_whole_group_hears_it() {
    let office = office();
    let mut app = app(
        &office,
        // Its own trap first: the child's word means that both are set.
        "trap : USR1
         bash -c 'trap \"echo child:; exit\" USR1; echo up:; while :; do sleep 1000 & wait $!; done' &
         while kill -0 $!; do wait; done 2>&-; exit 6",
    );
    app.output.expect("up:");
    kill("USR1", app.pid());
    app.output.expect("child:");
    assert_eq!(app.code(), 6);
}

#[test]
fn an_app_that_ignores_sigterm_is_not_killed_and_keeps_its_shim() {
    let (office, directory) = (office(), Directory::new());
    let gate = directory.pipe("gate");
    let script = format!(
        "trap '' TERM; trap 'echo usr1:' USR1; echo up:$MAILSHIM_LISTEN
         until read -r < {gate} || [ -e {gate}.open ]; do :; done; exit 5"
    );
    let mut app = app(&office, &script);
    let listen = answer(&app.output, "up:");
    kill("TERM", app.pid());
    kill("USR1", app.pid());
    // Each signal was delivered before we look: the shim would have been asked to end with the first.
    until("USR1", || {
        let _ = std::fs::OpenOptions::new().read(true).write(true).open(&gate);
        app.output.text().contains("usr1:")
    });
    let mut probe = Running::start(mailshim(&office, &["healthcheck"]).env("MAILSHIM_LISTEN", listen));
    assert_eq!(probe.code(), 0);
    std::fs::write(format!("{gate}.open"), "").unwrap();
    release(&gate);
    assert_eq!(app.code(), 5);
}

#[test]
fn before_the_app_there_is_nobody_to_ask() {
    let (office, directory) = (office(), Directory::new());
    // A shim that never gets so far: its secret is a pipe that nobody writes to.
    let (secret, trace) = (directory.pipe("secret"), directory.path("trace"));
    let mut command = exec(&office, &["touch", &trace]);
    command.env("MAILSHIM_APP_USERNAME", "app").env("MAILSHIM_APP_PASSWORD_FILE", &secret);
    // The supervisor reads it first.
    let mut app = Running::start(&mut command);
    let writer = {
        let secret = secret.clone();
        std::thread::spawn(move || std::fs::write(secret, "password"))
    };
    let shim = shim(&app);
    writer.join().unwrap().unwrap();
    assert!(is_alive(shim));
    kill("TERM", app.pid());
    assert_eq!(app.code(), 143);
    assert!(!exists(&trace));
}
