//! The pace that Exchange Online accepts, on a paused clock: everything runs in one runtime over pipes, so that minutes
//! pass at once and to the millisecond.

mod outage;
mod refused_sender;
mod upstream;
mod shim;

use std::collections::HashSet;
use std::time::Duration;

use self::shim::{App, Shim};
use self::upstream::Upstream;
use tokio::time::{Instant, advance, timeout};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DEFAULT_HOLD: Duration = Duration::from_secs(45);
const LONG_HOLD: Duration = Duration::from_secs(600);
/// What Exchange Online takes, less a little: the default of MAILSHIM_MESSAGES_PER_MINUTE.
const PER_MINUTE: usize = 28;

/// Ten apps with twelve mails each, all before the first answer is read. Subjects are `app number`.
async fn at_once(shim: &Shim) -> Vec<(String, App)> {
    let mut apps = Vec::new();
    for number in 0..12 {
        for app in 0..10 {
            let subject = format!("{app} {number:02}");
            let mut app = shim.app().await;
            app.submit("app@contoso.com", &subject).await;
            apps.push((subject, app));
        }
    }
    apps
}

/// The answer to each, by subject.
async fn answers(apps: Vec<(String, App)>) -> Vec<(String, String)> {
    let mut answers = Vec::new();
    for (subject, mut app) in apps {
        let reply = timeout(LONG_HOLD, app.reply()).await.expect("an answer within the hold");
        answers.push((subject, reply));
    }
    answers
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_paced_and_loses_nothing() {
    let upstream = Upstream::new();
    let shim = Shim::new(&upstream, PER_MINUTE, LONG_HOLD);
    let begun = Instant::now();
    let apps = at_once(&shim).await;
    for (subject, reply) in answers(apps).await {
        assert!(reply.starts_with("250 "), "{subject}: {reply}");
    }
    let subjects = upstream.subjects();
    assert_eq!(subjects.len(), 120);
    assert_eq!(subjects.iter().collect::<HashSet<_>>().len(), 120, "each once");
    for app in 0..10 {
        let own: Vec<_> = subjects.iter().filter(|subject| subject.starts_with(&format!("{app} "))).collect();
        assert!(own.is_sorted(), "{own:?}");
    }
    let mailbox = upstream.mailbox();
    assert_eq!(mailbox.refusals, Vec::<String>::new(), "no 432, no 421");
    assert_eq!(mailbox.most, 3);
    // 28 in each of the first four minutes, the last eight in the fifth.
    let last = mailbox.taken[119].1 - begun;
    assert!(last >= 4 * MINUTE && last < 4 * MINUTE + 5 * SECOND, "{last:?}");
    let first_minute = mailbox.taken.iter().filter(|(_, at)| *at - begun < MINUTE).count();
    assert_eq!(first_minute, PER_MINUTE, "a burst up to the budget goes at once");
}

#[tokio::test(start_paused = true)]
async fn under_the_default_hold_what_is_refused_hears_when_to_come_back() {
    let upstream = Upstream::new();
    let shim = Shim::new(&upstream, PER_MINUTE, DEFAULT_HOLD);
    let begun = Instant::now();
    let apps = at_once(&shim).await;
    let answers = answers(apps).await;
    assert!(begun.elapsed() <= DEFAULT_HOLD + SECOND, "{:?}", begun.elapsed());
    let subjects = upstream.subjects();
    let accepted: Vec<_> = answers.iter().filter(|(_, reply)| reply.starts_with("250 ")).collect();
    // Our count delays and does not refuse: it is Office 365 that says no to the thirty-first.
    assert_eq!((accepted.len(), subjects.len()), (30, 30));
    assert!(accepted.iter().all(|(subject, _)| subjects.contains(subject)), "nothing twice, nothing else");
    for (subject, reply) in answers.iter().filter(|(_, reply)| !reply.starts_with("250 ")) {
        assert!(reply.starts_with("451 4."), "{subject}: {reply}");
        assert!(reply.contains("submission rate") && reply.contains(" s"), "{subject}: {reply}");
    }
    // One a connection: the others do not ask again what has been answered.
    assert!(upstream.mailbox().refusals.len() <= 3, "{:?}", upstream.mailbox().refusals);
    // In the next minute mail flows again.
    advance(MINUTE).await;
    let reply = shim.app().await.mail("later").await;
    assert!(reply.starts_with("250 "), "{reply}");
}

#[tokio::test(start_paused = true)]
async fn another_program_takes_two_of_the_three_connections() {
    let upstream = Upstream::new();
    upstream.mailbox().per_minute = 10_000;
    upstream.mailbox().others = 2;
    let shim = Shim::new(&upstream, 0, LONG_HOLD);
    for (subject, reply) in answers(at_once(&shim).await).await {
        assert!(reply.starts_with("250 "), "{subject}: {reply}");
    }
    assert_eq!(upstream.subjects().iter().collect::<HashSet<_>>().len(), 120);
    assert_eq!(upstream.subjects().len(), 120);
    let refusals = std::mem::take(&mut upstream.mailbox().refusals);
    assert!(!refusals.is_empty() && refusals.len() <= 2, "{refusals:?}");

    // It goes on for as long as the other does: one look every two minutes.
    advance(2 * MINUTE + SECOND).await;
    upstream.mailbox().most = 0;
    answers(at_once(&shim).await).await;
    assert_eq!(upstream.mailbox().most, 2);
    assert_eq!(upstream.mailbox().refusals.len(), 1, "{:?}", upstream.mailbox().refusals);

    upstream.mailbox().others = 0;
    for connections in [2, 3, 3] {
        advance(2 * MINUTE + SECOND).await;
        upstream.mailbox().most = 0;
        answers(at_once(&shim).await).await;
        assert_eq!(upstream.mailbox().most, connections);
    }
    assert_eq!(upstream.subjects().len(), 5 * 120);
}

#[tokio::test(start_paused = true)]
async fn an_app_that_hangs_up_while_it_is_paced_frees_its_place() {
    let upstream = Upstream::new();
    let shim = Shim::new(&upstream, 1, LONG_HOLD);
    let begun = Instant::now();
    shim.app().await.mail("first").await;
    let (mut gone, mut hasty, mut next) = (shim.app().await, shim.app().await, shim.app().await);
    gone.submit("app@contoso.com", "gone").await;
    hasty.submit("app@contoso.com", "hasty").await;
    // One that has said QUIT has handed over.
    hasty.write("QUIT\r\n").await;
    next.submit("app@contoso.com", "next").await;
    drop((gone, hasty));
    let reply = timeout(LONG_HOLD, next.reply()).await.unwrap();
    assert!(reply.starts_with("250 "), "{reply}");
    assert_eq!(upstream.subjects(), ["first", "hasty", "next"]);
    let last = begun.elapsed();
    assert!(last >= 2 * MINUTE && last < 2 * MINUTE + 2 * SECOND, "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn a_mail_goes_at_the_end_of_its_hold() {
    let upstream = Upstream::new();
    let shim = Shim::new(&upstream, 1, DEFAULT_HOLD);
    let begun = Instant::now();
    shim.app().await.mail("first").await;
    // No connection is open any more: there must be time left to open one.
    let mut app = shim.app().await;
    app.submit("app@contoso.com", "second").await;
    let reply = timeout(MINUTE, app.reply()).await.unwrap();
    assert!(reply.starts_with("250 "), "{reply}");
    assert!(
        begun.elapsed() > 30 * SECOND && begun.elapsed() < DEFAULT_HOLD + SECOND,
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(upstream.subjects(), ["first", "second"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_sender_is_refused_at_once_for_a_minute_and_costs_no_other_sender() {
    let upstream = Upstream::new();
    let shim = Shim::new(&upstream, 2, LONG_HOLD);
    let mut app = shim.app().await;
    app.submit("jane@customer.example", "one").await;
    let reply = app.reply().await;
    assert!(reply.starts_with("554 5.2.252 "), "{reply}");
    assert!(app.mail("good").await.starts_with("250 "), "the same envelope, another author");
    // Behind one that waits for its pace: it hears at once what is known already.
    let mut paced = shim.app().await;
    paced.submit("app@contoso.com", "paced").await;
    let begun = Instant::now();
    app.submit("Jane <JANE@customer.example>", "two").await;
    let reply = app.reply().await;
    assert!(reply.starts_with("451 4.7.1 ") && reply.contains("not tried for another"), "{reply}");
    assert!(begun.elapsed() < SECOND, "{:?}", begun.elapsed());
    assert_eq!(upstream.mailbox().refusals.len(), 1);
    assert!(timeout(LONG_HOLD, paced.reply()).await.unwrap().starts_with("250 "));
    advance(MINUTE).await;
    app.submit("jane@customer.example", "three").await;
    assert!(timeout(LONG_HOLD, app.reply()).await.unwrap().starts_with("554 5.2.252 "));
    assert_eq!(upstream.mailbox().refusals.len(), 2, "after a minute it is asked again");
}

#[tokio::test(start_paused = true)]
async fn quotas_and_continuous_errors_pause_the_mailbox() {
    for (words, pause) in [
        ("554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException", 60 * MINUTE),
        ("554 5.2.252 Sender throttled due to continuous send as denied errors", 15 * MINUTE),
    ] {
        let upstream = Upstream::new();
        let shim = Shim::new(&upstream, PER_MINUTE, DEFAULT_HOLD);
        upstream.mailbox().says = Some(words);
        let mut app = shim.app().await;
        let reply = app.mail("one").await;
        assert!(reply.starts_with("451 4."), "{reply}");
        upstream.mailbox().says = None;
        let reply = app.mail("two").await;
        assert!(reply.starts_with("451 4.") && reply.contains("not tried for another"), "{reply}");
        assert_eq!(upstream.mailbox().refusals.len(), 1, "it is left alone");
        advance(pause).await;
        let mut app = shim.app().await;
        let reply = app.mail("three").await;
        assert!(reply.starts_with("250 "), "{reply}");
    }
}
