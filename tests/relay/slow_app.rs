//! An app that streams slower than a connection can be kept for is cut, with 451; one that is only slow to begin is not.

use std::time::Duration;

use support::mails::{large, small, stuffed};
use support::thread::plan;

#[test]
fn a_stream_that_stands_still_is_cut() {
    for chunking in [true, false] {
        let setup = plan()
            .settings(|settings| settings.chunking = chunking)
            .deadlines(|deadlines| deadlines.stream_window = Duration::from_millis(500))
            .start();
        let content = large(1, 800_000);
        let mut client = setup.client();
        client.envelope(&["x@example.com"]);
        client.command("DATA").is(354);
        client.send(&stuffed(&content)[..700_000]);
        client.reply().is(451).says("slower");
        assert_eq!(client.rest(), "", "what still comes could be taken for commands");
        setup.send(&small(2)).is(250);
        setup.took(&[&small(2)]);
    }
}

#[test]
fn a_stream_has_an_end() {
    let setup = plan().deadlines(|deadlines| deadlines.stream = Duration::from_millis(700)).start();
    let mut client = setup.client();
    client.envelope(&["x@example.com"]);
    client.command("DATA").is(354);
    let line = [b"x".repeat(998), b"\r\n".to_vec()].concat();
    // As fast as it can, without an end of its own below the largest size.
    client.send(support::mails::mail(1, ""));
    for _ in 0..30_000 {
        if !client.try_send(&line) {
            break;
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    client.reply().is(451);
    setup.took(&[]);
}

#[test]
fn slow_to_fill_the_memory_costs_nobody_anything() {
    let setup = plan().deadlines(|deadlines| deadlines.stream_window = Duration::from_millis(100)).start();
    let mut client = setup.client();
    client.envelope(&["x@example.com"]);
    client.command("DATA").is(354);
    let wire = stuffed(&small(1));
    let (first, rest) = wire.split_at(100);
    client.send(first);
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(setup.said("MAIL"), 0);
    client.send(rest);
    client.reply().is(250);
    setup.took(&[&small(1)]);
}

#[test]
fn that_office_365_is_slow_is_not_the_apps_fault() {
    let setup = plan().deadlines(|deadlines| deadlines.stream_window = Duration::from_millis(300)).start();
    setup.fault(
        office365::Fault::DelayAt(office365::Stage::Chunk, Duration::from_millis(400)),
        office365::Times::Times(3),
    );
    let content = large(1, 1_500_000);
    setup.send(&content).is(250);
    setup.took(&[&content]);
}
