//! The longest that one mail waits for turns, connections and attempts together.

use std::time::Duration;

use office365::{Fault, Stage, Times};
use support::mails::{large, small};
use support::thread::plan;

#[test]
fn no_turn_within_the_hold() {
    let setup = plan().env("MAILSHIM_MAX_CONNECTIONS", "1").env("MAILSHIM_HOLD", "1s").start();
    setup.fault(Fault::DelayAt(Stage::Dot, Duration::from_secs(4)), Times::Once);
    let mut first = setup.client();
    first.submit(&["x@example.com"], &small(1));
    setup.wait(|stats| stats.auth_ok == 1);
    let mut client = setup.client();
    client.mail(&small(2)).is(451).says("1 s");
    // What is not held is read and dropped, so that the dialogue stays in step.
    client.mail(&large(3, 600_000)).is(451).says("1 s");
    client.command("NOOP").is(250);
    first.reply().is(250);
    setup.took(&[&small(1)]);
}

#[test]
fn the_answer_carries_the_last_reason() {
    let setup = plan().env("MAILSHIM_HOLD", "2s").start();
    setup.fault(Fault::ReplyAt(Stage::Dot, "451 4.7.0 Temporary server error. PRX5".into()), Times::Always);
    setup.send(&small(1)).is(451).says("PRX5");
    assert!(setup.said("MAIL") >= 2, "{}", setup.dialogue());
    setup.took(&[]);
}

#[test]
fn nobody_listens() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let setup = plan()
        .env("MAILSHIM_UPSTREAM", &format!("localhost:{}", closed.port()))
        .env("MAILSHIM_HOLD", "1s")
        .start();
    setup.send(&small(1)).is(451).says("587");
}
