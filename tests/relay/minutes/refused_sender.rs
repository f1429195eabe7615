//! Many mails of a sender that Office 365 refuses, in the spool: when they come back, as docs/spool.md has it.

use std::path::Path;

use support::files::Directory;
use tokio::time::{Instant, sleep};

use super::shim::Shim;
use super::upstream::Upstream;
use super::{MINUTE, PER_MINUTE};

const MAILS: usize = 500;
/// Shorter than the default, so that it takes seconds: what comes after the first hour is the same every quarter.
const LIFETIME_MINUTES: u32 = 2 * 60;
const LANES: usize = 3;

fn dead(directory: &Directory) -> usize {
    std::fs::read_dir(Path::new(&directory.path("mailshim/dead"))).unwrap().count()
}

/// Mails that these reports are about.
fn reported(subjects: &[String]) -> usize {
    let count = |subject: &String| match subject.strip_prefix("Not delivered: ") {
        Some(rest) => rest.strip_suffix(" more mails").unwrap().parse().unwrap(),
        None => usize::from(subject.starts_with("Not delivered to ")),
    };
    subjects.iter().map(count).sum()
}

#[tokio::test(start_paused = true)]
async fn five_hundred_mails_of_a_refused_sender_come_back_slowly_and_then_all() {
    let (upstream, directory) = (Upstream::new(), Directory::new());
    let lifetime = LIFETIME_MINUTES * MINUTE;
    let shim = Shim::spooled(&upstream, PER_MINUTE, &directory.path(""), lifetime).await;
    let begun = Instant::now();
    let mut app = shim.app().await;
    for number in 0..MAILS {
        app.submit("jane@customer.example", &format!("{number}")).await;
        assert!(app.reply().await.starts_with("250 "));
    }
    // Another's mail goes on all the while.
    assert!(app.mail("good").await.starts_with("250 "));
    for (minutes, tries) in [(1, 1), (2, 2), (6, 3), (14, 4), (29, 5), (44, 6), (59, 7)] {
        while begun.elapsed() < minutes * MINUTE - MINUTE / 10 {
            sleep(MINUTE / 60).await;
        }
        let dead = dead(&directory);
        assert!((tries..=tries * LANES).contains(&dead), "after {minutes} minutes {dead} have come back");
    }
    assert!(upstream.subjects().contains(&"good".to_string()));
    let asked = upstream.mailbox().refusals.len();
    assert_eq!(asked, dead(&directory), "each that came back was refused by Office 365");
    while begun.elapsed() < lifetime + 61 * MINUTE {
        sleep(MINUTE).await;
    }
    assert_eq!(dead(&directory), MAILS);
    let asked = upstream.mailbox().refusals.len();
    assert!(asked <= LANES * (7 + 2 * 4), "{asked} times Office 365 was asked");
    // Ten expired mails have a report of their own, and the rest is listed in one an hour later.
    while begun.elapsed() < lifetime + 130 * MINUTE {
        sleep(MINUTE).await;
    }
    let subjects = upstream.subjects();
    assert_eq!(reported(&subjects), MAILS, "{subjects:?}");
    assert!(subjects.len() < 100, "{}", subjects.len());
    let files = std::fs::read_dir(Path::new(&directory.path("mailshim/queue"))).unwrap();
    assert_eq!(files.count(), 0);
}
