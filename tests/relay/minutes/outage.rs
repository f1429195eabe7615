//! An hour in which Office 365 takes nothing, with a spool: what was acknowledged arrives, at the pace and never faster.

use std::collections::HashSet;
use std::time::Duration;

use support::files::Directory;
use tokio::time::{Instant, advance, sleep, timeout};

use super::shim::Shim;
use super::upstream::Upstream;
use super::{MINUTE, PER_MINUTE, SECOND};

/// A few in the ordinary run; `mailsHIM_OUTAGE_mails=2000` for the long one.
fn mails() -> usize {
    std::env::var("mailsHIM_OUTAGE_mails").ok().and_then(|text| text.parse().ok()).unwrap_or(300)
}

#[tokio::test(start_paused = true)]
async fn an_hours_outage_costs_nobody_a_mail_and_the_mailbox_no_throttling() {
    let mails = mails();
    let (upstream, directory) = (Upstream::new(), Directory::new());
    upstream.mailbox().says = Some("451 4.7.0 Temporary server error. Please try again later. PRX5");
    let shim = Shim::spooled(&upstream, PER_MINUTE, &directory.path(""), 5 * 24 * 60 * MINUTE).await;
    let mut app = shim.app().await;
    for number in 0..mails {
        let reply = app.mail(&format!("{number}")).await;
        assert!(reply.starts_with("250 2.0.0 queued as "), "{reply}");
    }
    for _ in 0..60 {
        sleep(MINUTE).await;
    }
    assert_eq!(upstream.subjects(), Vec::<String>::new());
    let tried = std::mem::take(&mut upstream.mailbox().refusals);
    assert!(tried.iter().all(|reply| reply.starts_with("451 4.7.0")), "no 421, no 432");
    assert!(!tried.is_empty() && tried.len() <= 63 * PER_MINUTE, "{} attempts", tried.len());

    upstream.mailbox().says = None;
    let begun = Instant::now();
    let all = async {
        while upstream.mailbox().taken.len() < mails {
            sleep(SECOND).await;
        }
    };
    timeout(Duration::from_secs(4 * 3600), all).await.expect("all arrive");
    // As many as the pace allows and what a pause of at most an hour adds.
    assert!(begun.elapsed() < 140 * MINUTE, "{:?}", begun.elapsed());
    advance(10 * MINUTE).await;
    let mailbox = upstream.mailbox();
    assert_eq!(mailbox.refusals, Vec::<String>::new(), "no 432, no 421");
    let subjects: HashSet<_> = mailbox.taken.iter().map(|(subject, _)| subject).collect();
    assert_eq!((subjects.len(), mailbox.taken.len()), (mails, mails), "each once");
    let times: Vec<_> = mailbox.taken.iter().map(|(_, at)| *at).collect();
    for window in times.windows(PER_MINUTE + 1) {
        let least = MINUTE - SECOND;
        assert!(window[PER_MINUTE] - window[0] >= least, "{:?}", window[PER_MINUTE] - window[0]);
    }
}
