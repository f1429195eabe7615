//! Another program sends as the same mailbox, and takes connections that we thought ours.

use std::time::Duration;

use office365::{Fault, Stage, Times, wording};

use super::answered;
use support::mails::small;
use support::thread::{Setup, plan};

/// A transaction takes long enough for others to begin inside it.
const BUSY: Fault = Fault::DelayAt(Stage::Dot, Duration::from_millis(20));

/// Three apps with some mails each, all accepted.
fn three_apps(setup: &Setup, first: usize, mails: usize) {
    std::thread::scope(|scope| {
        for app in 0..3 {
            scope.spawn(move || {
                let mut client = setup.client();
                for mail in 0..mails {
                    client.mail(&small(first + app * 100 + mail)).is(250);
                }
            });
        }
    });
}

fn all_taken_once(setup: &Setup, mails: usize) {
    let taken = setup.office365.taken();
    let ids: std::collections::HashSet<_> = taken
        .iter()
        .map(|taken| {
            String::from_utf8_lossy(&taken.content).split_once("Message-ID: ").unwrap().1[..12].to_string()
        })
        .collect();
    assert_eq!((taken.len(), ids.len()), (mails, mails), "{}", setup.dialogue());
}

#[test]
fn the_pool_shrinks_to_what_is_left() {
    let setup = plan().settings(|settings| settings.max_connections = Some(1)).start();
    setup.fault(BUSY, Times::Always);
    three_apps(&setup, 1000, 12);
    let warm_up = answered(&setup, "432");
    assert!(warm_up > 0 && warm_up <= 6, "{warm_up}");
    three_apps(&setup, 2000, 12);
    assert_eq!(answered(&setup, "432"), warm_up, "{}", setup.dialogue());
    all_taken_once(&setup, 72);
}

#[test]
fn refused_for_a_while_all_arrive_once() {
    let setup = plan().start();
    setup.fault(Fault::ReplyAt(Stage::Dot, wording::CONCURRENT.into()), Times::Times(2));
    setup.fault(BUSY, Times::Always);
    three_apps(&setup, 1000, 12);
    all_taken_once(&setup, 36);
    assert_eq!(answered(&setup, "432"), 2);
    // One connection is left, so all that follows goes over one after the other: none begins inside another.
    setup.office365.forget();
    three_apps(&setup, 2000, 12);
    all_taken_once(&setup, 36);
    let used: Vec<_> = setup.office365.taken().iter().map(|taken| taken.connection).collect();
    assert!(used.is_sorted(), "{used:?}");
}
