//! A mail that was accepted while its app had gone is answered, not sent, when it comes again. Nothing else is.

use std::time::Duration;

use office365::{Fault, Stage, Times};
use support::mails::{large, small};
use support::thread::{Setup, plan};

/// How long Office 365 takes to answer, and when the app loses its patience.
const ANSWER: Duration = Duration::from_millis(1200);
const PATIENCE: Duration = Duration::from_millis(300);

/// An app hangs up while its mail is with Office 365.
fn hang_up(setup: &Setup, content: &[u8]) {
    let before = setup.said("BDAT");
    let mut app = setup.client();
    app.submit(&["x@example.com"], content);
    while setup.said("BDAT") == before {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(PATIENCE);
}

#[test]
fn the_same_again_is_answered_once() {
    for content in [small(1), large(2, 600_000)] {
        let setup = plan().start();
        setup.fault(Fault::DelayAt(Stage::Dot, ANSWER), Times::Once);
        hang_up(&setup, &content);
        // It waits for the verdict of the first.
        let mut again = setup.client();
        again.submit(&["x@example.com"], &content);
        again.reply().is(250).says("2.0.0 OK <");
        setup.took(&[&content]);
        // Used up: sent on purpose, it is sent.
        let mut more = setup.client();
        more.submit(&["x@example.com"], &content);
        more.reply().is(250);
        setup.took(&[&content, &content]);
    }
}

#[test]
fn three_that_hang_up_are_one_mail() {
    let setup = plan().start();
    setup.fault(Fault::DelayAt(Stage::Dot, 3 * ANSWER), Times::Once);
    hang_up(&setup, &small(1));
    for _ in 0..2 {
        let mut again = setup.client();
        again.submit(&["x@example.com"], &small(1));
        std::thread::sleep(PATIENCE);
    }
    let mut last = setup.client();
    last.submit(&["x@example.com"], &small(1));
    last.reply().is(250);
    setup.took(&[&small(1)]);
}

#[test]
fn who_says_quit_on_losing_patience_comes_again_and_who_says_it_at_once_does_not() {
    let setup = plan().start();
    setup.fault(Fault::DelayAt(Stage::Dot, ANSWER), Times::Once);
    let before = setup.said("BDAT");
    let mut app = setup.client();
    app.submit(&["x@example.com"], &small(1));
    while setup.said("BDAT") == before {
        std::thread::sleep(Duration::from_millis(10));
    }
    app.send("QUIT\r\n");
    drop(app);
    let mut again = setup.client();
    again.submit(&["x@example.com"], &small(1));
    again.reply().is(250);
    setup.took(&[&small(1)]);
    setup.fault(Fault::DelayAt(Stage::Dot, PATIENCE), Times::Once);
    let mut app = setup.client();
    app.begin(&["x@example.com"]);
    app.send([support::mails::stuffed(&small(2)), b"QUIT\r\n".to_vec()].concat());
    drop(app);
    setup.office365.wait_taken(2, support::PATIENCE);
    setup.send(&small(3)).is(250);
    let mut more = setup.client();
    more.submit(&["x@example.com"], &small(2));
    more.reply().is(250);
    setup.took(&[&small(1), &small(2), &small(2), &small(3)]);
}

#[test]
fn another_recipient_or_another_octet_is_another_mail() {
    let setup = plan().start();
    setup.fault(Fault::DelayAt(Stage::Dot, ANSWER), Times::Once);
    hang_up(&setup, &small(1));
    setup.office365.wait_taken(1, support::PATIENCE);
    std::thread::sleep(PATIENCE);
    let other = [small(1), b"x\r\n".to_vec()].concat();
    setup.send(&small(1)).is(250);
    let mut app = setup.client();
    app.submit(&["x@example.com"], &other);
    app.reply().is(250);
    assert_eq!(setup.office365.taken().len(), 3);
}

#[test]
fn a_monitor_that_sends_the_same_text_loses_none() {
    let setup = plan().start();
    setup.fault(Fault::DelayAt(Stage::Dot, PATIENCE), Times::Always);
    let text = b"From: app@contoso.com\r\nTo: x@example.com\r\nSubject: still alive\r\n\r\nyes\r\n";
    for number in 1..=4 {
        let mut app = setup.client();
        app.submit(&["x@example.com"], &text[..]);
        if number % 2 == 0 {
            app.reply().is(250);
        } else {
            std::thread::sleep(PATIENCE / 3);
        }
    }
    setup.office365.wait_taken(4, support::PATIENCE);
    assert_eq!(setup.office365.taken().len(), 4);
}

#[test]
fn what_was_refused_or_heard_is_sent_again() {
    let setup = plan().start();
    setup.fault(Fault::DelayAt(Stage::Dot, ANSWER), Times::Once);
    let mut app = setup.client();
    app.submit(&["x@example.com"], &small(1));
    app.reply().is(250);
    let mut app = setup.client();
    app.submit(&["x@example.com"], &small(1));
    app.reply().is(250);
    setup.took(&[&small(1), &small(1)]);
    setup.fault(Fault::ReplyAt(Stage::Dot, "554 5.2.0 no".into()), Times::Once);
    hang_up(&setup, &small(2));
    setup.send(&small(2)).is(250);
}

#[test]
fn what_nobody_knows_is_not_told() {
    for content in [small(1), large(2, 600_000)] {
        let setup = plan().start();
        // The mail is taken, and its answer is lost with the connection, after the app has lost its patience.
        setup.fault(Fault::DelayAt(Stage::Dot, ANSWER), Times::Once);
        setup.fault(Fault::DropAt(Stage::Accepted), Times::Once);
        hang_up(&setup, &content);
        setup.office365.wait_taken(1, support::PATIENCE);
        // 250 to what comes again would be a guess: it is sent.
        let mut again = setup.client();
        again.submit(&["x@example.com"], &content);
        again.reply().is(250);
        setup.took(&[&content, &content]);
    }
}
