//! A replica as a member of its fleet, and the mailboxes that it has a part in.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rustix::system::uname;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_postgres::types::Type;

use super::engine::{Engine, Failed, Reach};
use super::options::{FleetOptions, Unreachable};
use crate::term::Lasts;

/// Things to be told that wait at most; more are dropped, which costs a slot its time or others a pause.
const MAX_TOLD: usize = 256;

/// What a replica allows itself: of all that are seen the smallest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// `MAILSHIM_MAX_CONNECTIONS`.
    pub connections: usize,
    /// `MAILSHIM_MESSAGES_PER_MINUTE`, 0 for no limit.
    pub per_minute: usize,
    /// `MAILSHIM_RECIPIENTS_PER_DAY`, 0 for no limit.
    pub per_day: u64,
}

/// What is known of a mailbox's standing in the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// The engine answers. `None` before it was asked for the first time.
    pub is_reached: Option<bool>,
    /// Replicas that were seen last, or are assumed.
    pub replicas: usize,
    /// Office 365 has paused the mailbox until then; its words.
    pub paused: Option<(Instant, String)>,
    /// Nobody signs in until then; why.
    pub refused: Option<(Instant, String)>,
    /// The day's recipients are used up until then.
    pub used_up: Option<Instant>,
}

/// A replica's part in its fleet. A clone is the same one.
#[derive(Clone)]
pub struct Fleet(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub(super) options: FleetOptions,
    /// This process's name: a restarted one is another replica.
    pub(super) pod: String,
    pub(super) own: Shares,
    pub(super) engine: Engine,
    pub(super) standing: watch::Sender<Standing>,
    pub(super) mailboxes: Mutex<HashMap<String, Weak<Place>>>,
    pub(super) told: mpsc::Sender<Told>,
    pub(super) tells: Mutex<Option<mpsc::Receiver<Told>>>,
}

/// How the fleet stands as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) is_reached: Option<bool>,
    pub(super) replicas: usize,
    pub(super) shares: Shares,
}

/// One mailbox of the fleet, as one replica uses it.
#[derive(Clone)]
pub struct FleetMailbox(pub(super) Arc<Place>);

pub(super) struct Place {
    pub(super) fleet: Fleet,
    pub(super) name: String,
    /// Its number in the engine, once that was asked.
    pub(super) id: Mutex<Option<i64>>,
    pub(super) slots: Mutex<Vec<HeldSlot>>,
    pub(super) news: watch::Sender<News>,
    /// One mail of this replica asks for the next time; the others wait behind it.
    pub(super) front: Semaphore,
    /// One mail of this replica asks for a slot.
    pub(super) line: Semaphore,
    /// The connection that was granted last probes whether a sign-in works again.
    pub(super) is_probe: AtomicBool,
    /// Without the engine one connection is used at a time.
    pub(super) alone: Arc<Semaphore>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fleet {
    /// The fleet that these options describe. Nothing is asked before [`Fleet::keep`].
    pub fn new(options: FleetOptions, own: Shares, reach: Reach) -> Self {
        let host = uname().nodename().to_string_lossy().into_owned();
        let chance = RandomState::new().build_hasher().finish();
        let pod = format!("{}-{:08x}", host.chars().take(60).collect::<String>(), chance & 0xffff_ffff);
        let standing = Standing { is_reached: None, replicas: options.size, shares: own };
        let (told, tells) = mpsc::channel(MAX_TOLD);
        let engine = Engine::new(&options, reach);
        let (standing, tells) = (watch::Sender::new(standing), Mutex::new(Some(tells)));
        let mailboxes = Mutex::default();
        Self(Arc::new(Shared { options, pod, own, engine, standing, mailboxes, told, tells }))
    }

    /// What this replica does when the engine is not reached.
    pub fn unreachable(&self) -> Unreachable {
        self.0.options.unreachable
    }

    /// The part of a mailbox.
    pub fn mailbox(&self, name: &str) -> FleetMailbox {
        let name = name.to_ascii_lowercase();
        let mut mailboxes = lock(&self.0.mailboxes);
        mailboxes.retain(|_, place| place.strong_count() > 0);
        if let Some(place) = mailboxes.get(&name).and_then(Weak::upgrade) {
            return FleetMailbox(place);
        }
        let standing = *self.0.standing.borrow();
        let news = watch::Sender::new(News {
            is_reached: standing.is_reached,
            replicas: standing.replicas,
            paused: None,
            refused: None,
            used_up: None,
        });
        let place = Arc::new(Place {
            fleet: self.clone(),
            name: name.clone(),
            id: Mutex::default(),
            slots: Mutex::default(),
            news,
            front: Semaphore::new(1),
            line: Semaphore::new(1),
            is_probe: AtomicBool::new(false),
            alone: Arc::new(Semaphore::new(1)),
        });
        mailboxes.insert(name, Arc::downgrade(&place));
        FleetMailbox(place)
    }

    pub(super) fn places(&self) -> Vec<Arc<Place>> {
        lock(&self.0.mailboxes).values().filter_map(Weak::upgrade).collect()
    }

    pub(super) fn shares(&self) -> Shares {
        self.0.standing.borrow().shares
    }

    pub(super) fn tell(&self, told: Told) {
        // Full: whoever is not told learns it from Office 365, and a slot comes back with its time.
        let _ = self.0.told.try_send(told);
    }
}

/// What a replica was told by Office 365 that concerns the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concern {
    /// The mailbox is paused for this time.
    Paused(Duration),
    /// The mailbox has too many connections (432): one fewer, and a pause of this time.
    TooMany(Duration),
    /// A sign-in was refused: nobody tries for the first time, doubled with each repetition up to the second.
    SignInRefused(Duration, Duration),
    /// A sign-in succeeded.
    SignedIn,
    /// The probe ended without a verdict.
    ProbeEnded,
}

impl FleetMailbox {
    /// What is known now, and what will be.
    pub fn news(&self) -> watch::Receiver<News> {
        self.0.news.subscribe()
    }

    /// What this replica does when the engine is not reached.
    pub fn unreachable(&self) -> Unreachable {
        self.0.fleet.unreachable()
    }

    /// Tells the others, by one statement that nobody waits for. `words` say why.
    pub fn tell(&self, concern: Concern, words: String) {
        if matches!(concern, Concern::SignedIn | Concern::ProbeEnded) {
            // A sign-in is news only where one was refused.
            let is_news =
                self.0.is_probe.swap(false, Ordering::Relaxed) || self.0.news.borrow().refused.is_some();
            if !is_news {
                return;
            }
        }
        self.0.fleet.tell(Told::Concern { place: Arc::clone(&self.0), concern, words });
    }
}

/// A slot that this replica has.
pub(super) struct HeldSlot {
    pub n: i32,
    pub epoch: i64,
    pub lasts: watch::Sender<Lasts>,
    pub idle: Arc<AtomicBool>,
}

/// What is told by one statement that nobody waits for.
pub(super) enum Told {
    Concern {
        place: Arc<Place>,
        concern: Concern,
        words: String,
    },
    Release {
        place: Arc<Place>,
        n: i32,
        epoch: i64,
    },
    /// A place in the minute that was not used; 0 for the recipients alone.
    Withdraw {
        place: Arc<Place>,
        stamp: i64,
        recipients: i32,
    },
    /// All that was told before has been said.
    Flush(oneshot::Sender<()>),
}

/// A time between three quarters and five quarters of this: replicas that were started together must not ask together.
pub(super) fn jittered(time: Duration) -> Duration {
    let chance = RandomState::new().build_hasher().finish() % 512;
    time.mul_f64(0.75 + f64::from(u16::try_from(chance).unwrap_or_default()) / 1024.0)
}

impl Place {
    /// Its number in the engine.
    pub(super) async fn id(&self) -> Result<i64, Failed> {
        let known = *lock(&self.id);
        if let Some(id) = known {
            return Ok(id);
        }
        let shared = &self.fleet.0;
        let sql = format!("select {}.open_mailbox($1)", shared.options.schema);
        let rows = shared.engine.call(&sql, &[(&self.name, Type::TEXT)]).await?;
        let id = rows.first().map(|row| row.get(0)).ok_or_else(|| Failed::new("no mailbox was made", ""))?;
        *lock(&self.id) = Some(id);
        Ok(id)
    }
}
