//! The app hangs up while its mail waits: nothing is sent and its place is free. One that has said QUIT has not hung up,
//! and neither has one that has closed its side alone and reads on.

use std::time::Duration;

use office365::{Fault, Stage, Times};
use support::client::Client;
use support::mails::small;
use support::thread::{Setup, plan};

/// One connection, and a mail that keeps it busy.
fn busy() -> (Setup, Client) {
    let setup = plan().env("MAILSHIM_MAX_CONNECTIONS", "1").start();
    setup.fault(Fault::DelayAt(Stage::Dot, Duration::from_millis(1500)), Times::Once);
    let mut client = setup.client();
    client.submit(&["x@example.com"], &small(0));
    setup.wait(|stats| stats.auth_ok == 1);
    (setup, client)
}

#[test]
fn hung_up_while_waiting_sends_nothing() {
    let (setup, mut first) = busy();
    for number in 1..=3 {
        let mut client = setup.client();
        client.submit(&["x@example.com"], &small(number));
        if number == 2 {
            // Half-closed first, and gone then: no second FIN tells of it.
            client.shutdown();
            std::thread::sleep(Duration::from_millis(300));
        }
        // Dropped: a reset or a FIN.
    }
    first.reply().is(250);
    setup.send(&small(9)).is(250);
    setup.took(&[&small(0), &small(9)]);
    assert_eq!(setup.said("MAIL"), 2);
}

#[test]
fn hung_up_while_another_attempt_is_waited_for() {
    let setup = plan().start();
    setup.fault(Fault::ReplyAt(Stage::Mail, "451 4.7.0 Temporary server error. PRX2".into()), Times::Always);
    let mut client = setup.client();
    client.submit(&["x@example.com"], &small(1));
    setup.wait(|stats| stats.auth_ok >= 1);
    drop(client);
    std::thread::sleep(Duration::from_millis(300));
    setup.office365.clear_faults();
    setup.send(&small(2)).is(250);
    setup.took(&[&small(2)]);
}

#[test]
fn a_half_close_is_no_hanging_up() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let setup = plan().env("MAILSHIM_LISTEN", address).env("MAILSHIM_MAX_CONNECTIONS", "1").start();
        setup.fault(Fault::DelayAt(Stage::Dot, Duration::from_millis(1500)), Times::Once);
        let mut first = setup.client();
        first.submit(&["x@example.com"], &small(0));
        setup.wait(|stats| stats.auth_ok == 1);
        let mut wire =
            b"EHLO app\r\nMAIL FROM:<app@contoso.com>\r\nRCPT TO:<x@example.com>\r\nDATA\r\n".to_vec();
        wire.extend(support::mails::stuffed(&small(1)));
        // Waiting for a turn, or sent at once.
        for number in 0..2 {
            let mut app = Client::dial(setup.address());
            app.send(&wire);
            app.shutdown();
            let rest = app.rest();
            let codes: Vec<&str> =
                rest.lines().map(|line| &line[..4]).filter(|code| code.ends_with(' ')).collect();
            assert_eq!(codes, ["220 ", "250 ", "250 ", "250 ", "354 ", "250 "], "{number}: {rest}");
        }
        first.reply().is(250);
        setup.took(&[&small(0), &small(1), &small(1)]);
    }
}

#[test]
fn a_half_close_behind_a_stream_is_no_hanging_up() {
    let setup = plan().start();
    let content = support::mails::large(1, 900_000);
    let mut app = setup.client();
    app.submit(&["x@example.com"], &content);
    app.shutdown();
    app.reply().is(250);
    setup.took(&[&content]);
}

#[test]
fn hung_up_while_a_large_mail_waits_frees_its_place() {
    let setup = plan()
        .env("MAILSHIM_MAX_CONNECTIONS", "1")
        .env("MAILSHIM_MAX_SESSIONS", "2")
        .deadlines(|deadlines| deadlines.app_look = Duration::from_millis(20))
        .start();
    setup.fault(Fault::DelayAt(Stage::Dot, Duration::from_secs(5)), Times::Once);
    let mut first = setup.client();
    first.submit(&["x@example.com"], &small(0));
    setup.wait(|stats| stats.auth_ok == 1);
    let mut large = setup.client();
    large.begin(&["x@example.com"]);
    large.send(support::mails::large(1, 600_000));
    drop(large);
    let begun = std::time::Instant::now();
    // The place is free long before the connection is.
    while setup.client().command("EHLO app").code != 250 {
        assert!(begun.elapsed() < Duration::from_secs(4), "its place is never free");
        std::thread::sleep(Duration::from_millis(20));
    }
    first.reply().is(250);
    setup.took(&[&small(0)]);
}

#[test]
fn quit_without_waiting_is_no_hanging_up() {
    let (setup, mut first) = busy();
    let mut hasty = setup.client();
    hasty.envelope(&["x@example.com"]);
    hasty.command("DATA").is(354);
    let mut wire = support::mails::stuffed(&small(1));
    wire.extend_from_slice(b"QUIT\r\n");
    hasty.send(wire);
    hasty.shutdown();
    first.reply().is(250);
    setup.office365.wait_taken(2, support::PATIENCE);
    hasty.reply().is(250);
    hasty.reply().is(221);
    setup.took(&[&small(0), &small(1)]);
}

#[test]
fn hung_up_inside_the_content_sends_nothing() {
    for chunking in [true, false] {
        let setup = plan().settings(|settings| settings.chunking = chunking).start();
        for octets in [100, 300_000, 900_000] {
            let content = support::mails::large(1, octets);
            let mut client = setup.client();
            client.envelope(&["x@example.com"]);
            client.command("DATA").is(354);
            client.send(&content);
            client.shutdown();
            assert_eq!(client.rest(), "", "{octets}");
        }
        setup.send(&small(2)).is(250);
        setup.took(&[&small(2)]);
    }
}
