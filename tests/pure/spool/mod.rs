//! The spool over a disk in memory: every call of it fails once, and the power goes at every call, with what was not
//! synced lost, written, or written in part.

mod memory;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mailshim::testing::durable::Disk;
use mailshim::testing::message::{Budget, HeldContent, Piece};
use mailshim::testing::queue::entry::{
    Attempt, Head, Result as Verdicts, Sent, StoredEnvelope, StoredRecipient, Verdict,
};
use mailshim::testing::spool::{Claimed, PutFault, SpoolOptions, Store, Then};
use tokio::time::timeout;

use self::memory::{Memory, Trouble, Unsynced};

/// On a clock that jumps: what was given back waits for a minute.
const MINUTES: Duration = Duration::from_secs(100);
/// The next process begins where the wall clock is, which has not jumped.
const QUARTER: Duration = Duration::from_secs(1000);

const ALL: [Trouble; 3] = [Trouble::Nothing, Trouble::Half, Trouble::Done];

/// The directory of the lock is a real one: the kernel gives it back, which no disk in memory can show.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("mailshim-spool-{}-{count}", std::process::id()));
        std::fs::create_dir_all(path.join("mailshim")).unwrap();
        Self(path)
    }

    fn queue(&self) -> PathBuf {
        self.0.join("mailshim/queue")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn open(place: &Place, disk: &Memory) -> Option<Store> {
    let options = SpoolOptions {
        directory: place.0.clone(),
        max_bytes: 1_000_000,
        lifetime: Duration::from_secs(432_000),
    };
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let store = Store::in_place(&options, disk);
    store.make_directories().ok()?;
    store.lock().await.ok()?;
    store.read_directory().await.ok()?;
    Some(store)
}

fn head(store: &Store, id: u64, recipients: usize) -> Head {
    let recipient = |number| StoredRecipient {
        address: format!("r{number}@fabrikam.example"),
        notify: None,
        orcpt: None,
    };
    let envelope = StoredEnvelope {
        reverse_path: Some("app@contoso.example".into()),
        eight_bit: false,
        ret: None,
        envid: None,
        recipients: (0..recipients).map(recipient).collect(),
    };
    let sent =
        Sent { envelope: envelope.clone(), from_is_ours: false, was_null_sender: false, changes: Vec::new() };
    Head {
        id: format!("{id:x}"),
        created: store.now(),
        message_id: Some(format!("<{id}@contoso.example>")),
        app: envelope,
        header: "Subject: x\r\n".into(),
        sent,
        report: false,
    }
}

fn content(id: u64) -> Vec<u8> {
    format!("Subject: {id}\r\n\r\n{}\r\n", "text ".repeat(40)).into_bytes()
}

async fn put(store: &Store, id: u64) -> Result<(), PutFault> {
    let head = head(store, id, 2);
    store.put(id, &head, &mut HeldContent::in_memory([Bytes::from(content(id))])).await
}

/// The same through a file that grows as the content comes.
async fn put_stream(store: &Store, id: u64) -> Result<(), PutFault> {
    let chunks: Vec<Bytes> = content(id).chunks(50).map(Bytes::copy_from_slice).collect();
    let mut content = HeldContent::new(Chunks(chunks.into_iter()), Budget::default());
    store.put(id, &head(store, id, 2), &mut content).await
}

struct Chunks(std::vec::IntoIter<Bytes>);

impl mailshim::testing::message::Source for Chunks {
    fn next(&mut self) -> mailshim::testing::message::Awaited<'_, Piece> {
        let piece = self.0.next().map_or(Piece::End, Piece::Chunk);
        Box::pin(std::future::ready(piece))
    }

    fn gone(&mut self) -> mailshim::testing::message::Awaited<'_, mailshim::testing::message::Abandoned> {
        Box::pin(std::future::pending())
    }
}

/// All that can be claimed now, octet by octet what was put in.
async fn claim_all(store: &Store, within: Duration) -> Vec<(u64, Box<Claimed>)> {
    let mut all = Vec::new();
    while let Ok(mut claimed) = timeout(within, store.claim(|| true)).await {
        let id = u64::from_str_radix(&claimed.entry.head.id, 16).unwrap();
        let mut held = claimed.content(&Budget::default());
        let mut octets = Vec::new();
        loop {
            match held.next().await {
                Piece::Chunk(chunk) => octets.extend_from_slice(&chunk),
                Piece::End => break,
                Piece::Abandoned(why) => panic!("{why:?}"),
            }
        }
        assert_eq!(octets, content(id), "nothing is delivered in part");
        all.push((id, claimed));
    }
    all
}

fn delivered(recipients: &[usize]) -> Attempt {
    let (recipients, reply) = (recipients.to_vec(), "250 2.0.0 OK".to_string());
    let result = Verdicts { verdict: Verdict::Delivered, recipients, reply, fix: None, detail: None };
    Attempt { at: 1, lived: 1, next: 1, results: vec![result], reported: Vec::new() }
}

/// A message's whole life: in, to one recipient, to the other, out. What was promised, as far as it came.
#[derive(Debug, Default)]
struct Life {
    acknowledged: bool,
    /// The first recipient's delivery was recorded, or its record failed.
    first: Option<bool>,
    last: Option<bool>,
}

const ID: u64 = 1_764_000_000 << 20;

async fn live(store: &Store, streams: bool) -> Life {
    let mut life = Life::default();
    let put = if streams { put_stream(store, ID).await } else { put(store, ID).await };
    life.acknowledged = put.is_ok();
    let mut all = claim_all(store, MINUTES).await;
    let Some((_, claimed)) = all.pop() else { return life };
    let now = store.now();
    match store.settle(claimed, &delivered(&[0]), Then::Again(now)).await {
        Ok(()) => life.first = Some(true),
        Err((claimed, _)) => {
            life.first = Some(false);
            store.abandon(claimed);
            return life;
        }
    }
    let mut all = claim_all(store, MINUTES).await;
    let Some((_, claimed)) = all.pop() else { return life };
    match store.settle(claimed, &delivered(&[1]), Then::Remove).await {
        Ok(()) => life.last = Some(true),
        Err((claimed, _)) => {
            life.last = Some(false);
            store.abandon(claimed);
        }
    }
    life
}

/// What the next process finds keeps every promise.
async fn verify(place: &Place, disk: &Memory, life: &Life, about: &str) {
    let store = open(place, disk).await.expect("a disk without trouble");
    let found = claim_all(&store, QUARTER).await;
    assert!(found.len() <= 1, "{about}");
    let waits = found.first().map(|(_, claimed)| claimed.entry.waiting());
    match life {
        Life { last: Some(true), .. } => {
            assert_eq!(waits, None, "{about}: it was delivered, and that was recorded")
        }
        Life { first: Some(true), .. } => {
            // What was recorded is not sent again; the second may have it, without a record that came back.
            let may_be_gone = life.last == Some(false);
            assert!(
                waits == Some(vec![1]) || (may_be_gone && waits.is_none()),
                "{about}: {waits:?} {life:?}"
            );
        }
        Life { acknowledged: true, .. } => {
            let may_be_recorded = life.first == Some(false);
            let is_whole = waits == Some(vec![0, 1]) || (may_be_recorded && waits == Some(vec![1]));
            assert!(is_whole, "{about}: lost: {waits:?} {life:?}");
        }
        // Never acknowledged: it may be there, as a whole; `claim_all` has looked.
        Life { .. } => {}
    }
    let left = disk.names_in(&place.queue());
    assert!(left.len() <= found.len() + 1, "{about}: {left:?}");
}

#[tokio::test(start_paused = true)]
async fn the_power_goes_at_every_call() {
    for streams in [false, true] {
        let mut call = 0;
        loop {
            let (place, disk) = (Place::new(), Memory::default());
            disk.fail(call, Trouble::Power);
            let life = match open(&place, &disk).await {
                Some(store) => live(&store, streams).await,
                None => Life::default(),
            };
            let is_over = disk.calls() <= call;
            let some = (1..12).map(|seed| Unsynced::Some(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed)));
            for unsynced in [Unsynced::Lost, Unsynced::Written].into_iter().chain(some) {
                let about = format!("power at call {call}, streams {streams}, {unsynced:?}");
                verify(&place, &disk.after_power_cut(unsynced), &life, &about).await;
            }
            if is_over {
                assert_eq!((life.acknowledged, life.last), (true, Some(true)));
                assert!(call > 15, "every call was tried: {call}");
                break;
            }
            call += 1;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_call_fails_once_and_the_rest_goes_on() {
    for streams in [false, true] {
        for trouble in ALL {
            let mut call = 0;
            loop {
                let (place, disk) = (Place::new(), Memory::default());
                disk.fail(call, trouble);
                let about = format!("{trouble:?} at call {call}, streams {streams}");
                let Some(store) = open(&place, &disk).await else {
                    call += 1;
                    continue;
                };
                let life = live(&store, streams).await;
                let is_over = disk.calls() <= call;
                if is_over {
                    break;
                }
                // The next one goes as if nothing had been.
                put(&store, ID + 1).await.unwrap_or_else(|fault| panic!("{about}: {fault:?}"));
                drop(store);
                for unsynced in [Unsynced::Lost, Unsynced::Written] {
                    let disk = disk.after_power_cut(unsynced);
                    let store = open(&place, &disk).await.unwrap();
                    let found = claim_all(&store, QUARTER).await;
                    assert!(found.iter().any(|(id, _)| *id == ID + 1), "{about}: the other one is lost");
                    for (_, claimed) in found {
                        if claimed.entry.head.id == format!("{:x}", ID + 1) {
                            store.settle(claimed, &delivered(&[0, 1]), Then::Remove).await.ok().unwrap();
                        } else {
                            store.release(claimed, Duration::ZERO, false);
                        }
                    }
                    drop(store);
                    verify(&place, &disk, &life, &about).await;
                }
                call += 1;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn random_trouble_over_many_messages() {
    // `MAILSHIM_TROUBLES=2000` for the long run.
    let seeds = std::env::var("MAILSHIM_TROUBLES").ok().and_then(|text| text.parse().ok());
    for seed in 1..=seeds.unwrap_or(60u64) {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed);
        let mut dice = move |sides: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            usize::try_from(random >> 33).unwrap() % sides
        };
        let (place, disk) = (Place::new(), Memory::default());
        let store = open(&place, &disk).await.unwrap();
        for _ in 0..12 {
            let trouble = [Trouble::Nothing, Trouble::Half, Trouble::Done][dice(3)];
            disk.fail(disk.calls() + dice(200), trouble);
        }
        if dice(2) == 0 {
            disk.fail(disk.calls() + 100 + dice(150), Trouble::Power);
        }
        let (mut acknowledged, mut done, mut unsure) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..20u64 {
            let id = ID + number;
            let put = if dice(2) == 0 { put(&store, id).await } else { put_stream(&store, id).await };
            if put.is_ok() {
                acknowledged.push(id);
            }
            if dice(3) == 0 {
                for (id, claimed) in claim_all(&store, MINUTES).await {
                    match dice(3) {
                        0 => drop(claimed),
                        1 => store.release(claimed, Duration::ZERO, false),
                        _ => match store.settle(claimed, &delivered(&[0, 1]), Then::Remove).await {
                            Ok(()) => done.push(id),
                            Err((claimed, _)) => {
                                unsure.push(id);
                                store.abandon(claimed);
                            }
                        },
                    }
                    // What waits again at once would be claimed for ever.
                    if done.len() + unsure.len() > 40 {
                        break;
                    }
                }
            }
        }
        drop(store);
        for unsynced in [Unsynced::Lost, Unsynced::Written, Unsynced::Some(seed * 77_777_777)] {
            let disk = disk.after_power_cut(unsynced);
            // What was given back waits for a minute.
            let store = open(&place, &disk).await.unwrap();
            let names = disk.names_in(&place.queue());
            drop(store);
            let waits = |id: u64| names.iter().any(|name| name.contains(&format!("-{id:x}-")));
            for id in &acknowledged {
                let is_there = waits(*id);
                assert!(
                    is_there || done.contains(id) || unsure.contains(id),
                    "seed {seed}, {unsynced:?}: {id:x} is lost"
                );
                assert!(!(is_there && done.contains(id)), "seed {seed}, {unsynced:?}: {id:x} would double");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_begun_and_not_recorded_is_told_by_the_next_process() {
    let (place, disk) = (Place::new(), Memory::default());
    let store = open(&place, &disk).await.unwrap();
    put(&store, ID).await.unwrap();
    let claimed = store.claim(|| true).await;
    assert!(!claimed.may_have_arrived(&[0, 1]));
    assert!(store.begin(&claimed, &[1]).await);
    // The process is killed: what it wrote is there, synced or not.
    store.abandon(claimed);
    drop(store);
    let store = open(&place, &disk).await.unwrap();
    let claimed = store.claim(|| true).await;
    assert_eq!([0, 1].map(|place| claimed.may_have_arrived(&[place])), [false, true]);
    // Given back without having been sent, and taken again.
    assert!(store.begin(&claimed, &[0, 1]).await);
    store.release(claimed, Duration::ZERO, true);
    let claimed = store.claim(|| true).await;
    assert!(!claimed.may_have_arrived(&[0, 1]));
    // A disk that fails would not take the record of it either.
    disk.fail(disk.calls(), Trouble::Nothing);
    assert!(!store.begin(&claimed, &[0, 1]).await, "it must not be sent");
    // One that is full has room again when it is gone.
    disk.fail(disk.calls() + 1, Trouble::Half);
    assert!(store.begin(&claimed, &[0, 1]).await, "it is sent");
}

#[tokio::test(start_paused = true)]
async fn a_full_spool_takes_no_more_than_it_may_and_then_again() {
    let (place, disk) = (Place::new(), Memory::default());
    let store = open(&place, &disk).await.unwrap();
    let mut number = 0;
    loop {
        match put(&store, ID + number).await {
            Ok(()) => number += 1,
            Err(PutFault::Full) => break,
            Err(fault) => panic!("{fault:?}"),
        }
    }
    assert!(store.waiting().octets <= 1_000_000 && number > 500, "{number}: {:?}", store.waiting());
    let (_, claimed) = (0, store.claim(|| true).await);
    store.settle(claimed, &delivered(&[0, 1]), Then::Remove).await.ok().unwrap();
    put(&store, ID + number).await.expect("there is room again");
}

#[tokio::test(start_paused = true)]
async fn what_is_damaged_of_another_version_or_foreign_stops_nobody() {
    let (place, disk) = (Place::new(), Memory::default());
    let store = open(&place, &disk).await.unwrap();
    for number in 0..3 {
        put(&store, ID + number).await.unwrap();
    }
    drop(store);
    let change = |number: u64, offset: u64, octets: &[u8]| {
        let names = disk.names_in(&place.queue());
        let name = names.iter().find(|name| name.contains(&format!("-{:x}-", ID + number))).unwrap();
        let mut file = disk.append(&place.queue().join(name)).unwrap();
        file.write_at(octets, offset).unwrap();
    };
    change(0, 300, b"X");
    change(1, 12, b"9");
    disk.create(&place.queue().join("notes.txt")).unwrap();
    let store = open(&place, &disk).await.unwrap();
    let found: Vec<u64> = claim_all(&store, QUARTER).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(found, [ID + 2]);
    let names = |folder: &str| disk.names_in(&Path::new(&place.0).join("mailshim").join(folder));
    assert_eq!((names("damaged").len(), names("queue").len()), (1, 3), "moved, left alone, foreign");
    assert!(names("queue").contains(&"notes.txt".to_string()));
}

#[tokio::test(start_paused = true)]
async fn a_second_shim_waits_for_the_first() {
    let (place, disk) = (Place::new(), Memory::default());
    let first = open(&place, &disk).await.unwrap();
    put(&first, ID).await.unwrap();
    let waits = timeout(Duration::from_millis(50), open(&place, &disk)).await;
    assert!(waits.is_err(), "the lock is held");
    drop(first);
    let second = timeout(Duration::from_secs(5), open(&place, &disk.after_kill())).await.unwrap().unwrap();
    assert_eq!(claim_all(&second, QUARTER).await.len(), 1);
}
