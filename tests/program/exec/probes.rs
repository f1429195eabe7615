//! `healthcheck` and `wait`.

use super::harness::*;

#[test]
fn there_and_not_there() {
    let (office, directory) = (office(), Directory::new());
    let gate = directory.pipe("gate");
    let mut app = app(&office, &format!("echo up:$MAILSHIM_LISTEN; read -r < {gate}; exit 0"));
    let listen = answer(&app.output, "up:");
    // They read nothing but the address.
    let probe = |arguments: &[&str]| {
        let mut command = mailshim(&office, arguments);
        command.env("MAILSHIM_LISTEN", &listen).env("MAILSHIM_HOLD", "wrong").env_remove("MAILSHIM_MAILBOX");
        let mut probe = Running::start(&mut command);
        (probe.code(), probe.log.rest())
    };
    assert_eq!(probe(&["healthcheck"]), (0, String::new()));
    assert_eq!(probe(&["wait", "--timeout", "0s"]), (0, String::new()));
    let (code, said) = probe(&["healthcheck", "--timeout", "1s"]);
    assert!(code == 64 && said.contains("unexpected argument"), "{said}");
    release(&gate);
    assert_eq!(app.code(), 0);
    let log = app.log.rest();
    assert!(!logged(&log, "session"), "a probe leaves no line: {log}");

    let (code, said) = probe(&["healthcheck"]);
    assert!(code == 1 && said.contains("MAILSHIM_LISTEN"), "{said}");
    let (code, said) = probe(&["wait", "--timeout=0s"]);
    assert!(code == 1 && said.contains("not there after"), "{said}");
}

#[test]
fn wait_returns_when_the_shim_comes() {
    let office = office();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut wait =
        Running::start(mailshim(&office, &["wait", "--timeout", "60s"]).env("MAILSHIM_LISTEN", &port));
    let mut run = Running::start(mailshim(&office, &["run"]).env("MAILSHIM_LISTEN", &port));
    assert_eq!(wait.code(), 0);
    kill("TERM", run.pid());
    assert_eq!(run.code(), 0);
}
