//! An app that hangs up while it waits for its turn; one that says goodbye after the dot.

use support::PATIENCE;
use support::mails::{small, stuffed};
use support::thread::plan;

#[test]
fn while_it_waits_for_its_turn_frees_its_place_and_sends_nothing() {
    let setup = plan().env("MAILSHIM_MESSAGES_PER_MINUTE", "1").env("MAILSHIM_HOLD", "2s").start();
    setup.send(&small(0)).is(250);
    let mut gone = setup.client();
    gone.submit(&["x@example.com"], &small(1));
    let mut waits = setup.client();
    waits.submit(&["x@example.com"], &small(2));
    drop(gone);
    // At the end of its hold it goes, over the connection that is there.
    waits.reply().is(250);
    setup.took(&[&small(0), &small(2)]);
    assert_eq!(setup.said("MAIL"), 2);
}

#[test]
fn with_quit_after_the_dot_has_handed_over() {
    let setup = plan().env("MAILSHIM_MESSAGES_PER_MINUTE", "1").env("MAILSHIM_HOLD", "2s").start();
    setup.send(&small(0)).is(250);
    let mut hasty = setup.client();
    hasty.envelope(&["x@example.com"]);
    hasty.command("DATA").is(354);
    hasty.send([stuffed(&small(1)), b"QUIT\r\n".to_vec()].concat());
    hasty.shutdown();
    setup.office365.wait_taken(2, PATIENCE);
    setup.took(&[&small(0), &small(1)]);
}
