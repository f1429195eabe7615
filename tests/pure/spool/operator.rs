//! What `mailshim queue` does to files, over the same disk: every call of it fails once, and the power goes at every call.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mailshim::testing::config::Config;
use mailshim::testing::durable::Disk as _;
use mailshim::testing::message::Budget;
use mailshim::testing::message::policy::Policy;
use mailshim::testing::queue::entry::{Attempt, Result as Verdicts, Verdict};
use mailshim::testing::queue::request::{Action, Answer, Request};
use mailshim::testing::spool::{Store, Then};
use tokio::time::timeout;

use super::memory::{Memory, Trouble, Unsynced};
use super::{ALL, ID, MINUTES, Place, QUARTER, content, delivered, open, put};

/// The policy of a shim whose MAILSHIM_FROM is this.
fn policy(from: &str) -> Arc<Policy> {
    let vars = [
        ("MAILSHIM_AUTH", "none"),
        ("MAILSHIM_UPSTREAM", "mx.contoso.example:25"),
        ("MAILSHIM_FROM", from),
        ("MAILSHIM_FROM_POLICY", "force"),
    ];
    let vars = vars.into_iter().map(|(name, value)| (name.into(), value.into()));
    Arc::new(Config::from_env(vars).expect("a configuration").policy)
}

fn refused(recipients: &[usize]) -> Attempt {
    let (recipients, reply) = (recipients.to_vec(), "550 5.7.60 not as this sender".to_string());
    let result = Verdicts { verdict: Verdict::Refused, recipients, reply, fix: None, detail: None };
    Attempt { at: 1, lived: 9, next: 0, results: vec![result], ..Attempt::default() }
}

/// One that has been given up for its second recipient, and one that waits for its next try.
async fn prepare(store: &Store) {
    put(store, ID).await.unwrap();
    let claimed = store.claim(|| true).await;
    let mut attempt = delivered(&[0]);
    attempt.results.extend(refused(&[1]).results);
    store.settle(claimed, &attempt, Then::Dead).await.ok().unwrap();
    put(store, ID + 1).await.unwrap();
    let claimed = store.claim(|| true).await;
    let later = store.now() + 5000;
    let attempt = Attempt { at: 1, lived: 1, next: later, ..Attempt::default() };
    store.settle(claimed, &attempt, Then::Again(later)).await.ok().unwrap();
}

async fn ask(store: &Store, action: Action, ids: &[u64]) -> Vec<Answer> {
    let request = Request { action, ids: ids.to_vec() };
    let policy = policy("Mended <mended@contoso.example>");
    store.operate(&request, Some(&policy)).await.into_iter().map(|(_, answer)| answer).collect()
}

/// What is found of a message in any directory: whether its content is whole, as it was or prepared, and who waits.
async fn found(place: &Place, disk: &Memory) -> Vec<(u64, Vec<usize>, bool)> {
    let store = open(place, disk).await.expect("a disk without trouble");
    let dead = disk.names_in(&place.0.join("mailshim/dead"));
    let ids: Vec<u64> =
        dead.iter().map(|name| u64::from_str_radix(name.split('-').nth(1).unwrap(), 16).unwrap()).collect();
    let answers = ask(&store, Action::Retry, &ids).await;
    assert!(answers.iter().all(|answer| *answer == Answer::Done), "{answers:?}");
    ask(&store, Action::Flush, &[]).await;
    let mut all = Vec::new();
    while let Ok(mut claimed) = timeout(MINUTES, store.claim(|| true)).await {
        let id = u64::from_str_radix(&claimed.entry.head.id, 16).unwrap();
        let mut octets = Vec::new();
        let mut held = claimed.content(&Budget::default());
        while let mailshim::testing::message::Piece::Chunk(chunk) = held.next().await {
            octets.extend_from_slice(&chunk);
        }
        let is_prepared = octets != content(id);
        if is_prepared {
            let text = String::from_utf8(octets).unwrap();
            let from = claimed.entry.head.sent.envelope.reverse_path.clone();
            assert!(text.contains("From: Mended <mended@contoso.example>\r\n"), "{text}");
            assert_eq!(from.as_deref(), Some("mended@contoso.example"));
            let body = String::from_utf8(content(id)).unwrap();
            assert!(text.ends_with(body.split_once("\r\n\r\n").unwrap().1), "the body stays: {text}");
            assert!(text.contains(&format!("Message-ID: <{id}@contoso.example>\r\n")), "{text}");
        }
        all.push((id, claimed.entry.waiting(), is_prepared));
        store.settle(claimed, &delivered(&[0, 1]), Then::Remove).await.ok().unwrap();
    }
    all.sort_unstable_by_key(|(id, ..)| *id);
    all
}

/// `which` is done at a disk where this call meets trouble. The answers, and whether the call was made at all.
async fn troubled(which: Action, call: usize, trouble: Trouble) -> Option<(Place, Memory, Vec<Answer>)> {
    let (place, disk) = (Place::new(), Memory::default());
    let store = open(&place, &disk).await.unwrap();
    prepare(&store).await;
    let calls = disk.calls();
    disk.fail(calls + call, trouble);
    let ids: &[u64] = if which == Action::Flush { &[] } else { &[ID, ID + 1] };
    let answers = ask(&store, which, ids).await;
    let was_made = disk.calls() > calls + call;
    drop(store);
    was_made.then_some((place, disk, answers))
}

fn verify(which: Action, answers: &[Answer], found: &[(u64, Vec<usize>, bool)], about: &str) {
    for (number, waits) in [(0, vec![1]), (1, vec![0, 1])] {
        let answer = answers.get(number).unwrap_or(&answers[0]);
        let one: Vec<_> = found.iter().filter(|(id, ..)| *id == ID + number as u64).collect();
        assert!(one.len() <= 1, "{about}: it would double: {found:?}");
        match one.first() {
            Some((_, who, is_prepared)) => {
                assert_eq!(*who, waits, "{about}: whoever has it gets it no more, all others do");
                let is_done = *answer == Answer::Done;
                assert!(!(is_done && which == Action::Drop), "{about}: it was dropped");
                assert!(*is_prepared || !(is_done && which == Action::Prepare), "{about}: {found:?}");
                assert!(!is_prepared || which == Action::Prepare, "{about}");
            }
            None => assert_eq!(which, Action::Drop, "{about}: lost: {answers:?} {found:?}"),
        }
    }
}

const ACTIONS: [Action; 4] = [Action::Retry, Action::Prepare, Action::Drop, Action::Flush];

#[tokio::test(start_paused = true)]
async fn the_power_goes_at_every_call_of_the_operators() {
    for which in ACTIONS {
        let mut call = 0;
        while let Some((place, disk, answers)) = troubled(which, call, Trouble::Power).await {
            let some = (1..9).map(|seed| Unsynced::Some(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed)));
            for unsynced in [Unsynced::Lost, Unsynced::Written].into_iter().chain(some) {
                let found = found(&place, &disk.after_power_cut(unsynced)).await;
                verify(which, &answers, &found, &format!("{which:?}, power at call {call}, {unsynced:?}"));
            }
            call += 1;
        }
        let least = if which == Action::Flush { 2 } else { 8 };
        assert!(call >= least, "{which:?}: every call was tried: {call}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_call_of_the_operators_fails_once_and_a_kill_follows() {
    for which in ACTIONS {
        for trouble in ALL {
            let mut call = 0;
            while let Some((place, disk, answers)) = troubled(which, call, trouble).await {
                let found = found(&place, &disk.after_kill()).await;
                verify(which, &answers, &found, &format!("{which:?}, {trouble:?} at call {call}"));
                call += 1;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_comes_back_with_a_fresh_life_for_those_who_did_not_get_it() {
    let (place, disk) = (Place::new(), Memory::default());
    let store = open(&place, &disk).await.unwrap();
    prepare(&store).await;
    assert_eq!(store.waiting().messages, 1);
    assert_eq!(
        ask(&store, Action::Retry, &[ID, ID + 1, 7]).await,
        [Answer::Done, Answer::Done, Answer::Unknown]
    );
    let first = store.claim(|| true).await;
    let second = store.claim(|| true).await;
    let dead = if first.entry.head.id == format!("{ID:x}") { &first } else { &second };
    assert_eq!((dead.entry.waiting(), dead.entry.lived(), dead.entry.tries()), (vec![1], 0, 0));
    assert_eq!(dead.entry.tries_ever(), 1);
    // Both are under way now.
    for action in [Action::Retry, Action::Prepare, Action::Drop] {
        assert_eq!(ask(&store, action, &[ID, ID + 1]).await, [Answer::UnderWay, Answer::UnderWay]);
    }
    // Refused once more it is a dead letter again, as before.
    let claimed = if first.entry.head.id == format!("{ID:x}") { first } else { second };
    store.settle(claimed, &refused(&[1]), Then::Dead).await.ok().unwrap();
    assert_eq!(disk.names_in(&place.0.join("mailshim/dead")).len(), 1);
    assert_eq!(ask(&store, Action::Retry, &[ID]).await, [Answer::Done]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_made_of_what_is_damaged_or_full() {
    let (place, disk) = (Place::new(), Memory::default());
    let store = open(&place, &disk).await.unwrap();
    prepare(&store).await;
    let path = |folder: &str, id: u64| {
        let folder = Path::new(&place.0).join("mailshim").join(folder);
        let names = disk.names_in(&folder);
        let name = names.iter().find(|name| name.contains(&format!("-{id:x}-"))).unwrap();
        folder.join(name)
    };
    disk.append(&path("dead", ID)).unwrap().write_at(b"X", 700).unwrap();
    let answers = ask(&store, Action::Prepare, &[ID]).await;
    assert!(matches!(&answers[..], [Answer::Failed(words)] if words.contains("damaged")), "{answers:?}");
    // Found out at the next attempt, and kept apart.
    assert_eq!(ask(&store, Action::Retry, &[ID]).await, [Answer::Done]);
    assert!(timeout(Duration::from_secs(1), store.claim(|| true)).await.is_err());
    let answers = ask(&store, Action::Retry, &[ID]).await;
    assert!(matches!(&answers[..], [Answer::Failed(words)] if words.contains("damaged")), "{answers:?}");
    assert_eq!(ask(&store, Action::Drop, &[ID]).await, [Answer::Done]);
    assert!(disk.names_in(&place.0.join("mailshim/damaged")).is_empty());
    drop(store);
    assert_eq!(found(&place, &disk.after_kill()).await.len(), 1);
    let _ = QUARTER;
}

#[tokio::test(start_paused = true)]
async fn flush_lets_all_that_waits_be_due() {
    let (place, disk) = (Place::new(), Memory::default());
    let store = open(&place, &disk).await.unwrap();
    for number in 0..200 {
        put(&store, ID + number).await.unwrap();
    }
    let later = store.now() + 5000;
    for _ in 0..200 {
        let claimed = store.claim(|| true).await;
        store.settle(claimed, &Attempt::default(), Then::Again(later)).await.ok().unwrap();
    }
    assert!(timeout(Duration::from_secs(1), store.claim(|| true)).await.is_err());
    let flush = Request { action: Action::Flush, ids: Vec::new() };
    assert_eq!(store.operate(&flush, None).await, [(200, Answer::Done)]);
    for number in 0..200u64 {
        let claimed = timeout(Duration::from_secs(1), store.claim(|| true)).await.expect("all are due");
        assert_eq!(claimed.entry.head.id, format!("{:x}", ID + number), "in their order");
        store.settle(claimed, &delivered(&[0, 1]), Then::Remove).await.ok().unwrap();
    }
}
