//! All places of the app's connections are taken: who is silent makes room, nobody else does, and a probe costs nobody
//! anything.

use std::time::Duration;

use office365::{Fault, Stage, Times};
use support::client::Client;
use support::mails::{small, stuffed};
use support::thread::{Setup, plan};

/// Long enough for a command of a test, short enough to wait for.
const SILENCE: Duration = Duration::from_millis(400);

fn two_places() -> Setup {
    plan()
        .env("MAILSHIM_MAX_SESSIONS", "2")
        .env("MAILSHIM_MAX_CONNECTIONS", "1")
        .deadlines(|deadlines| deadlines.app_silence = SILENCE)
        .start()
}

#[test]
fn the_longest_silent_makes_room() {
    let setup = two_places();
    let (mut first, mut second) = (setup.client(), setup.client());
    second.command("EHLO second").is(250);
    std::thread::sleep(SILENCE);
    setup.send(&small(1)).is(250);
    first.reply().is(421).says("4.3.2");
    assert_eq!(first.rest(), "");
    second.mail(&small(2)).is(250);
    setup.took(&[&small(1), &small(2)]);
}

#[test]
fn nobody_goes_who_has_begun_a_mail_or_waits_for_its_answer() {
    let setup = two_places();
    setup.fault(Fault::DelayAt(Stage::Dot, 4 * SILENCE), Times::Once);
    let (mut waits, mut writes) = (setup.client(), setup.client());
    waits.submit(&["x@example.com"], &small(1));
    writes.begin(&["x@example.com"]);
    setup.wait(|stats| stats.auth_ok == 1);
    std::thread::sleep(2 * SILENCE);
    let mut newcomer = setup.client();
    newcomer.command("EHLO app").is(421).says("MAILSHIM_MAX_SESSIONS");
    assert_eq!(newcomer.rest(), "");
    writes.send(stuffed(&small(2)));
    waits.reply().is(250);
    writes.reply().is(250);
    setup.took(&[&small(1), &small(2)]);
}

#[test]
fn a_probe_makes_nobody_go() {
    let setup = two_places();
    let mut apps = [setup.client(), setup.client()];
    std::thread::sleep(SILENCE);
    for _ in 0..3 {
        let mut probe = setup.client();
        probe.command("QUIT").is(221);
        assert_eq!(probe.rest(), "");
    }
    for app in &mut apps {
        app.command("NOOP").is(250);
    }
}

#[test]
fn the_place_beyond_is_for_one_and_not_for_long() {
    let setup = two_places();
    let mut apps = [setup.client(), setup.client()];
    let mut newcomer = setup.client();
    let begun = std::time::Instant::now();
    Client::dial(setup.address()).reply().is(421);
    // Octets that make no command do not prolong it.
    while newcomer.try_send("x") && begun.elapsed() < 10 * SILENCE {
        for app in &mut apps {
            app.command("NOOP").is(250);
        }
        std::thread::sleep(SILENCE / 8);
    }
    assert!(begun.elapsed() < 10 * SILENCE, "it was not dropped");
    setup.client().command("EHLO app").is(421);
}
