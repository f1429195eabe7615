//! An hour in which Office 365 takes nothing, with a spool: what was acknowledged arrives, at the pace and never faster.

use std::collections::HashSet;
use std::time::Duration;

use support::files::Directory;
use tokio::time::{Instant, advance, sleep, timeout};

use super::shim::Shim;
use super::upstream::Upstream;
use super::{MINUTE, PER_MINUTE, SECOND};

/// A few in the ordinary run; `MAILSHIM_OUTAGE_MAILS=2000` for the long one.
fn mails() -> usize {
    std::env::var("MAILSHIM_OUTAGE_MAILS").ok().and_then(|text| text.parse().ok()).unwrap_or(300)
}

/// What Office 365 says for a quarter of an hour each, to what, and how often at most in it: at the pace; with the pauses
/// that it asks for; and to a mailbox whose sign-in is refused once a breaker's time, which grows.
const OUTAGE: [(At, &str, usize); 4] = [
    (At::Dot, "451 4.7.0 Temporary server error. Please try again later. PRX5", 16 * PER_MINUTE),
    (At::Dot, "421 4.4.2 Message submission rate for this client has exceeded the configured limit", 15 * 9),
    (
        At::Dot,
        "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending",
        15 * 20,
    ),
    (At::SignIn, "535 5.7.3 Authentication unsuccessful", 12),
];

#[derive(PartialEq)]
enum At {
    Dot,
    SignIn,
}

#[tokio::test(start_paused = true)]
async fn an_hours_outage_costs_nobody_a_mail_and_the_mailbox_no_throttling() {
    let mails = mails();
    let (upstream, directory) = (Upstream::new(), Directory::new());
    upstream.mailbox().says = Some(OUTAGE[0].1);
    let shim = Shim::spooled(&upstream, PER_MINUTE, &directory.path(""), 5 * 24 * 60 * MINUTE).await;
    let mut app = shim.app().await;
    for number in 0..mails {
        let reply = app.mail(&format!("{number}")).await;
        assert!(reply.starts_with("250 2.0.0 queued as "), "{reply}");
    }
    for (at, reply, most) in &OUTAGE {
        (upstream.mailbox().says, upstream.mailbox().signs_in) = match at {
            At::Dot => (Some(*reply), None),
            // On a connection that is signed in already nothing is taken either.
            At::SignIn => (Some(OUTAGE[0].1), Some(*reply)),
        };
        for _ in 0..15 {
            sleep(MINUTE).await;
        }
        assert_eq!(upstream.subjects(), Vec::<String>::new());
        let tried = std::mem::take(&mut upstream.mailbox().refusals);
        let tried = tried.iter().filter(|refusal| refusal == reply).count();
        assert!((1..=*most).contains(&tried), "{reply}: {tried} attempts");
    }

    (upstream.mailbox().says, upstream.mailbox().signs_in) = (None, None);
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
    // As Office 365 counts: what is begun, from the first mail of the outage on. A timer goes to the millisecond.
    for window in mailbox.mails.windows(PER_MINUTE + 1) {
        let took = window[PER_MINUTE] - window[0];
        assert!(took + Duration::from_millis(2) >= MINUTE, "{took:?}");
    }
}
