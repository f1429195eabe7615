//! The order of the end, with a mail in flight.

use std::time::Duration;

use office365::{Fault, Stage, Times};

use super::harness::*;

/// The verdict takes a while; the end is asked for before it.
fn slow_verdict(office: &office365::Office365) {
    office.fault(Fault::DelayAt(Stage::Dot, Duration::from_millis(500)), Times::Once);
}

#[test]
fn the_app_hears_its_verdict_before_the_shim_is_asked_to_end() {
    let office = office();
    slow_verdict(&office);
    let script = format!(
        "{SEND} trap 'term=1' TERM; connect; content; echo sent:
         until [ \"$term\" ]; do sleep 0.01; done; echo term:; verdict; echo \"$reply\"; exit 2"
    );
    let mut app = app(&office, &script);
    app.output.expect("sent:");
    kill("TERM", app.pid());
    app.output.expect("term:");
    app.output.expect("250 ");
    assert_eq!(app.code(), 2);
    assert_eq!(office.taken_count(), 1);
    assert_eq!(office.violations(), Vec::<String>::new());
}

#[test]
fn what_is_in_hand_when_the_app_ends_is_finished() {
    let (office, directory) = (office(), Directory::new());
    slow_verdict(&office);
    let reply = directory.path("reply");
    // The connection belongs to a process that outlives the app.
    let script = format!(
        "{SEND} connect; content; trap '' TERM
         {{ verdict; echo \"$reply\" > {reply}.new; mv {reply}.new {reply}; }} >&- 2>&- & exit 0"
    );
    let mut app = app(&office, &script);
    assert_eq!(app.code(), 0);
    let log = app.log.rest();
    assert!(logged(&log, "shutting down") && logged(&log, "stopped"), "{log}");
    until("the verdict", || exists(&reply));
    assert!(std::fs::read_to_string(&reply).unwrap().starts_with("250 "));
    assert_eq!(office.taken_count(), 1);
}

#[test]
fn no_delay_for_an_app_that_has_ended() {
    let office = office();
    let mut command = exec(&office, &["true"]);
    let mut app = Running::start(command.env("MAILSHIM_SHUTDOWN_DELAY", "1h"));
    assert_eq!(app.code(), 0);
}
