//! Connections that the server, or something on the way, has ended while nobody used them: the app never hears of it.

use std::time::Duration;

use office365::{Fault, Stage, Times};
use support::SOON;
use support::mails::small;
use support::thread::plan;

/// With content always behind the envelope's replies: a connection that dies under the first command is replaced.
fn envelope_first() -> support::thread::Plan {
    plan().deadlines(|deadlines| deadlines.fresh = Duration::ZERO)
}

#[test]
fn fin_without_a_word() {
    let setup = envelope_first().start();
    for number in 0..5 {
        setup.send(&small(number)).is(250);
        setup.office365.close_idle();
    }
    assert_eq!(setup.office365.stats().messages, 5);
    assert_eq!(setup.office365.stats().connections_opened, 5);
}

#[test]
fn an_unsolicited_421_and_close_notify() {
    let setup = envelope_first().start();
    setup.fault(Fault::TimeoutIdle(Duration::ZERO), Times::Times(3));
    for number in 0..5 {
        setup.send(&small(number)).is(250);
    }
    assert_eq!(setup.office365.stats().messages, 5);
}

#[test]
fn fin_while_idle_is_noticed_before_the_next_mail() {
    // In one flight a late FIN would cost an Unknown: the watch must have seen it.
    let setup = plan().start();
    setup.send(&small(1)).is(250);
    setup.office365.close_idle();
    setup.wait(|stats| stats.connections_open == 0);
    setup.send(&small(2)).is(250);
    setup.took(&[&small(1), &small(2)]);
}

#[test]
fn swallowed_without_a_word() {
    // The hold has room for one deadline and the pause behind it, not for one of each idle connection.
    let setup =
        envelope_first().env("MAILSHIM_HOLD", "3s").deadlines(|deadlines| deadlines.command = SOON).start();
    // Three idle connections.
    setup.fault(Fault::DelayAt(Stage::Dot, Duration::from_millis(300)), Times::Times(3));
    std::thread::scope(|scope| {
        for number in 0..3 {
            let setup = &setup;
            scope.spawn(move || setup.send(&small(number)).is(250).code);
        }
    });
    let opened = setup.office365.stats().connections_opened;
    assert_eq!(opened, 3);
    setup.fault(Fault::BlackholeIdle, Times::Times(3));
    setup.send(&small(3)).is(250);
    let stats = setup.office365.stats();
    assert_eq!((stats.messages, stats.connections_opened), (4, opened + 1), "{}", setup.dialogue());
}

#[test]
fn idle_and_age_have_their_ends() {
    for change in [
        |deadlines: &mut mailshim::testing::deadlines::Deadlines| deadlines.idle = Duration::from_millis(50),
        |deadlines: &mut mailshim::testing::deadlines::Deadlines| deadlines.age = Duration::from_millis(150),
    ] {
        let setup = plan().deadlines(change).start();
        setup.send(&small(1)).is(250);
        setup.wait(|stats| stats.connections_open == 0);
        assert_eq!(setup.office365.stats().connections[0].end, Some("QUIT"));
        setup.send(&small(2)).is(250);
        setup.took(&[&small(1), &small(2)]);
    }
}
