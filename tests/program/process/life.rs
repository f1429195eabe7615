//! From the first signal to the end.

use std::net::{TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use office365::{Fault, Office365, Settings, Stage, Times};
use support::PATIENCE;
use support::client::{Client, RECIPIENT};
use support::files::TempFile;
use support::program::{Program, event, program};

use super::MAIL;

const SHUTTING_DOWN: &str = "shutting down: new connections";

fn office365() -> Office365 {
    Office365::start(Settings::default())
}

/// Whether a new connection is greeted.
fn is_open(shim: &Program) -> bool {
    TcpStream::connect(shim.address).is_ok()
}

#[test]
fn a_mail_in_hand_is_finished_after_sigterm() {
    let office365 = office365();
    let mut shim = Program::start(&office365, &[]);
    let mut busy = shim.client();
    let mut idle = shim.client();
    busy.begin(&[RECIPIENT]);
    busy.send("From: <app@contoso.com>\r\nSubject: half");
    shim.signal("TERM");
    shim.wait_for(SHUTTING_DOWN);
    // An idle session ends at once. It ends after the listener, so that this is where no new one may begin.
    assert_eq!(idle.reply(), "421 4.3.2 mailshim is shutting down");
    assert!(!is_open(&shim));
    assert_eq!(office365.taken_count(), 0);

    busy.send(" a mail\r\n\r\nbody\r\n");
    let answer = busy.command(".");
    assert!(answer.starts_with("250 2.0.0 OK"), "{answer}");
    assert_eq!(busy.reply(), "421 4.3.2 mailshim is shutting down");
    assert_eq!(shim.wait().code(), Some(0));
    let sent = b"From: <app@contoso.com>\r\nSubject: half a mail\r\n\r\nbody\r\n";
    assert_eq!(office365.taken()[0].carries(sent), Ok(()));
    // The first sign-in of the start may be under way: nobody waits for it.
    let goodbye = office365.wait(PATIENCE, |stats| {
        stats.connections.iter().any(|connection| connection.messages == 1 && connection.end == Some("QUIT"))
    });
    assert!(goodbye, "Office 365 hears QUIT: {:?}", office365.stats().connections);
}

#[test]
fn office_365s_late_answer_is_waited_for() {
    let office365 = office365();
    office365.fault(Fault::DelayAt(Stage::Dot, Duration::from_secs(2)), Times::Once);
    let mut shim = Program::start(&office365, &[("MAILSHIM_SHUTDOWN_GRACE", "50s")]);
    let mut app = shim.client();
    app.begin(&[RECIPIENT]);
    app.send(MAIL);
    app.send(".\r\n");
    assert!(office365.wait(PATIENCE, |stats| stats.max_sending == 1), "the mail is on its way");
    shim.signal("TERM");
    assert!(app.reply().starts_with("250 2.0.0 OK"));
    assert_eq!(shim.wait().code(), Some(0));
    assert_eq!(office365.taken_count(), 1);
}

#[test]
fn the_delay_comes_first_then_it_ends() {
    let office365 = office365();
    let mut shim = Program::start(&office365, &[("MAILSHIM_SHUTDOWN_DELAY", "1s")]);
    let mut idle = shim.client();
    let begun = Instant::now();
    shim.signal("TERM");
    assert_eq!(idle.reply(), "421 4.3.2 mailshim is shutting down");
    assert!(begun.elapsed() >= Duration::from_secs(1), "the session ends with the delay, not before");
    assert!(!is_open(&shim));
    assert_eq!(shim.wait().code(), Some(0));
}

#[test]
fn the_delay_keeps_accepting_and_a_second_sigint_ends_it_at_once() {
    for first in ["INT", "TERM"] {
        let office365 = office365();
        let mut shim = Program::start(&office365, &[("MAILSHIM_SHUTDOWN_DELAY", "10m")]);
        shim.signal(first);
        shim.wait_for(SHUTTING_DOWN);
        assert!(shim.client().mail(MAIL).starts_with("250 "), "the first one does not");
        shim.signal("INT");
        assert_eq!(shim.wait().code(), Some(130));
    }
}

#[test]
fn the_graces_end_answers_what_waits_and_cuts_what_may_be_delivered() {
    let office365 = office365();
    office365.fault(Fault::StallAt(Stage::Dot), Times::Once);
    let mut shim =
        Program::start(&office365, &[("MAILSHIM_SHUTDOWN_GRACE", "5s"), ("MAILSHIM_MAX_CONNECTIONS", "1")]);
    let mut stalled = shim.client();
    stalled.begin(&[RECIPIENT]);
    stalled.send(MAIL);
    stalled.send(".\r\n");
    assert!(office365.wait(PATIENCE, |stats| stats.max_sending == 1), "the mail is on its way");
    // The only connection is taken: this one waits.
    let mut waiting = shim.client();
    waiting.begin(&[RECIPIENT]);
    waiting.send(MAIL);
    waiting.send(".\r\n");
    shim.signal("TERM");
    let answer = waiting.reply();
    assert!(answer.starts_with("451 4.3.2 mailshim: mailshim is shutting down"), "{answer}");
    assert_eq!(stalled.reply(), "", "no verdict exists: neither 2xx nor 5xx");
    assert_eq!(shim.wait().code(), Some(0));
    let cut = shim.log.iter().find(|line| line.contains("the grace has ended")).expect("a warning");
    assert_eq!(event(cut)["sessions"], 1);
    assert_eq!(office365.taken_count(), 0);
}

/// glibc's look-up cannot be cancelled; the process must end all the same.
#[test]
fn a_silent_name_server_does_not_keep_it_from_ending() {
    let Ok(name_server) = UdpSocket::bind("127.0.0.99:53") else {
        println!("skipped: no name server can be bound on 127.0.0.99:53 (needs root)");
        return;
    };
    let resolv_conf = TempFile::new("nameserver 127.0.0.99\noptions timeout:30 attempts:5\n");
    let script = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
    let in_namespace = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script]).arg(resolv_conf.path()).arg(program()).args(arguments);
        command
    };
    if !in_namespace(&["--version"]).output().is_ok_and(|output| output.status.success()) {
        println!("skipped: needs root and unshare (mount namespace)");
        return;
    }
    name_server.set_read_timeout(Some(PATIENCE)).unwrap();
    let office365 = office365();
    let variables = [("MAILSHIM_UPSTREAM", "smtp.mailshim.example:587"), ("MAILSHIM_SHUTDOWN_GRACE", "2s")];
    let mut shim = Program::start_by(in_namespace(&[]), &office365, &variables);
    let mut app = shim.client();
    app.begin(&[RECIPIENT]);
    app.send(MAIL);
    app.send(".\r\n");
    // The look-up is under way.
    name_server.recv(&mut [0; 512]).expect("a question of mailshim's");
    let begun = Instant::now();
    shim.signal("TERM");
    let answer = app.reply();
    assert!(answer.is_empty() || answer.starts_with("451 "), "{answer}");
    assert_eq!(shim.wait().code(), Some(0));
    // Each attempt of glibc's takes 30 s, and there are five.
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[test]
fn it_starts_again_after_sigkill_on_the_same_port() {
    let office365 = office365();
    let shim = Program::start(&office365, &[]);
    let address = shim.address;
    // Open connections at the time of death leave the port in TIME_WAIT.
    let mut app = Client::connect(address);
    assert!(app.mail(MAIL).starts_with("250 "));
    app.begin(&[RECIPIENT]);
    app.send("Subject: lost with the process");
    shim.kill();
    assert_eq!(app.reply(), "", "no answer to the mail in hand: the app sends it again");
    let _shim = Program::start(&office365, &[("MAILSHIM_LISTEN", &address.to_string())]);
    assert!(Client::connect(address).mail(MAIL).starts_with("250 "));
    let taken = office365.taken();
    assert_eq!(taken.len(), 2);
    assert!(taken.iter().all(|mail| mail.carries(MAIL.as_bytes()) == Ok(())));
}
