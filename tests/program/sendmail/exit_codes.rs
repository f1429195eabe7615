//! What the caller learns: the exit codes of sysexits.h, and one line on standard error.

use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::mpsc;

use office365::{Fault, Stage, Times};

use super::shim::{CANARY, Ended, PATIENCE, Shim, program, run};

const MAIL: &[u8] = b"From: app@contoso.com\nSubject: s\n\nbody\n";
const FLAGS: [&str; 2] = ["-fapp@contoso.com", "ann@fabrikam.com"];

#[track_caller]
fn assert_refused(ended: &Ended, code: i32, part: &str) {
    assert_eq!(ended.code, code, "{ended:?}");
    assert!(ended.stderr.starts_with("sendmail: ") && ended.stderr.contains(part), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "one line: {ended:?}");
}

#[test]
fn office_365s_refusals() {
    for (stage, reply, code, part) in [
        (
            Stage::Rcpt,
            "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found",
            67,
            "550 5.1.10 Office 365 about <ann@fabrikam.com>",
        ),
        (
            Stage::Dot,
            "554 5.2.252 SendAsDenied; app@contoso.com not allowed to send as x@contoso.com",
            77,
            "SendAsDenied",
        ),
        (Stage::Dot, "451 4.7.500 Server busy", 75, "Server busy"),
        (Stage::Dot, "554 5.6.0 Corrupt message content", 65, "Corrupt message content"),
    ] {
        // What may pass is tried again for as long as this; what was refused is remembered, so each has its own shim.
        let shim = Shim::with(&[("MAILSHIM_HOLD", "1s")]);
        shim.office365.fault(Fault::ReplyAt(stage, reply.into()), Times::Always);
        assert_refused(&shim.sendmail(&FLAGS, MAIL), code, part);
        assert_eq!(shim.office365.taken_count(), 0);
    }
}

#[test]
fn a_local_name_says_what_to_do() {
    let shim = Shim::start();
    let cron = ["-FCronDaemon", "-i", "-B8BITMIME", "-oem", "-fapp@contoso.com", "root"];
    let ended = shim.sendmail(&cron, b"From: root (Cron Daemon)\nTo: root\nSubject: Cron\n\noutput\n");
    assert_eq!(ended.code, 67, "{ended:?}");
    assert!(ended.stderr.contains("<root>") && ended.stderr.contains("cron: MAILTO="), "{ended:?}");
}

#[test]
fn nobody_listens() {
    // Bound and let go: nobody else takes it while this test runs, most likely; the code would be another then.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let call = |words: &[&str]| {
        let mut command = Command::new(program());
        run(command.env_clear().env("MAILSHIM_LISTEN", &address).args(words), MAIL)
    };
    let ended = call(&["sendmail", "ann@fabrikam.com"]);
    assert_refused(&ended, 75, &format!("nobody listens on {address}"));
    let ended = call(&["sendmail", "-bs"]);
    assert_eq!(ended.code, 75);
    assert!(ended.stdout.starts_with("421 4.3.2 nobody listens on "), "{ended:?}");
    let ended = call(&["send", "--to", "ann@fabrikam.com"]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.starts_with("mailshim send: nobody listens on "), "{ended:?}");
}

#[test]
fn mistakes_of_the_caller() {
    let shim = Shim::start();
    for flags in
        [&["-Z"][..], &["-f"], &["-bd"], &["-bv", "ann@fabrikam.com"], &[], &["-N", "maybe", "a@b.c"]]
    {
        assert_refused(&shim.sendmail(flags, MAIL), 64, "");
    }
    // A recipient that is not understood, wherever it stands.
    assert_refused(&shim.sendmail(&["a@b@c"], MAIL), 65, "\"a@b@c\" is not an address");
    assert_refused(&shim.sendmail(&["a@b.c <d@e.f>"], MAIL), 65, "stands before");
    assert_refused(&shim.sendmail(&["-t"], MAIL), 65, "no recipients");
    assert_refused(&shim.sendmail(&["-t"], b"To: no address at all\n\n"), 65, "is not an address");
    let mut command = shim.command(program(), &[("MAILSHIM_LISTEN", "0.0.0.0:25")]);
    assert_refused(&run(command.args(["sendmail", "a@b.c"]), MAIL), 78, "MAILSHIM_LISTEN");
    assert_eq!(shim.office365.taken_count(), 0);
}

#[test]
fn the_shims_own_login() {
    let login = [("MAILSHIM_APP_USERNAME", "erp"), ("MAILSHIM_APP_PASSWORD", CANARY)];
    let shim = Shim::with(&login);
    let call = |environment: &[(&str, &str)], flags: &[&str]| {
        run(shim.command(program(), environment).arg("sendmail").args(flags).args(FLAGS), MAIL)
    };
    assert_refused(&call(&[], &[]), 77, "530 5.7.0");
    assert_refused(
        &call(&[("MAILSHIM_APP_USERNAME", "erp"), ("MAILSHIM_APP_PASSWORD", "other")], &[]),
        77,
        "535 5.7.8",
    );
    assert_refused(&call(&login[..1], &[]), 78, "MAILSHIM_APP_PASSWORD");
    let unreadable = [login[0], ("MAILSHIM_APP_PASSWORD_FILE", "/nowhere/c4n4ry")];
    assert_refused(&call(&unreadable, &[]), 78, "MAILSHIM_APP_PASSWORD_FILE");
    assert_eq!(shim.office365.taken_count(), 0);

    let ended = call(&login, &["-v"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stdout.contains(">>> AUTH PLAIN [redacted]\n"), "{ended:?}");
    // Encoded it is a secret too.
    assert!(!ended.stdout.contains("AGVycABj"), "{ended:?}");
    shim.only_mail();
}

#[test]
fn a_message_whose_reading_breaks_is_not_sent() {
    let shim = Shim::start();
    let directory = std::fs::File::open("/").unwrap();
    let mut command = shim.command(program(), &[]);
    let ended = command.arg("sendmail").args(FLAGS).stdin(directory).output().unwrap();
    assert_eq!(ended.status.code(), Some(74), "{ended:?}");
    assert_eq!(shim.office365.taken_count(), 0);
}

/// cron hands over a job's output while the job runs: a connection opened at its first line would be idle for hours.
#[test]
fn the_message_is_read_before_anybody_is_spoken_to() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = Command::new(program());
    command.env_clear().env("MAILSHIM_LISTEN", address.to_string()).args(["sendmail", "-i"]).args(FLAGS);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // More than a pipe holds: written, it has been read, and nobody listens yet.
    stdin.write_all(&[b'x'; 300_000]).unwrap();
    let listener = TcpListener::bind(address).unwrap();
    drop(stdin);
    let (write, read) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.write_all(b"421 4.3.2 a test\r\n").unwrap();
        write.send(()).unwrap();
    });
    read.recv_timeout(PATIENCE).expect("a connection");
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(75));
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "sendmail: 421 4.3.2 a test\n");
}
