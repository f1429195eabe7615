//! The places of the app's connections: `MAILSHIM_MAX_SESSIONS`, and one beyond them for a newcomer.
//!
//! Where all are taken, a session that says nothing between two transactions makes room for one that wants to send. One
//! that has begun a mail, or waits for its verdict, never does. The newcomer's place keeps a probe from costing anybody
//! their connection: whoever says QUIT there needs no other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// What a session that is told to go needs to hear of it: it says its last words without its place.
const LEAVING: Duration = Duration::from_secs(1);

/// All places.
#[derive(Debug)]
pub struct Places {
    size: usize,
    free: Arc<Semaphore>,
    newcomers: Arc<Semaphore>,
    silence: Duration,
    seats: Mutex<Vec<Arc<Seat>>>,
    active: AtomicBool,
}

#[derive(Debug)]
struct Seat {
    state: Mutex<State>,
    told: Notify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Busy,
    /// Between two transactions, and no octet since then.
    Silent(Instant),
    /// It has to go.
    Told,
}

/// The place of one session.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    permit: Option<OwnedSemaphorePermit>,
    /// There until it has a place like the others.
    newcomer: Option<OwnedSemaphorePermit>,
    seat: Arc<Seat>,
}

impl Places {
    /// So many places; who is silent for this long may have to make room.
    pub fn new(size: usize, silence: Duration) -> Arc<Self> {
        let (free, newcomers) = (Arc::new(Semaphore::new(size)), Arc::new(Semaphore::new(1)));
        Arc::new(Self {
            size,
            free,
            newcomers,
            silence,
            seats: Mutex::default(),
            active: AtomicBool::default(),
        })
    }

    /// A place, or that of the newcomer; none if both are taken.
    pub fn enter(self: &Arc<Self>) -> Option<Place> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok();
        let newcomer = match permit {
            Some(_) => None,
            None => Some(Arc::clone(&self.newcomers).try_acquire_owned().ok()?),
        };
        let seat = Arc::new(Seat { state: Mutex::new(State::Busy), told: Notify::new() });
        lock(&self.seats).push(Arc::clone(&seat));
        Some(Place { places: Arc::clone(self), permit, newcomer, seat })
    }

    /// Ends when every place is free.
    pub async fn all_free(&self) {
        drop(self.free.acquire_many(u32::try_from(self.size).unwrap_or(u32::MAX)).await);
    }

    /// Places that are taken.
    pub fn taken(&self) -> usize {
        self.size - self.free.available_permits()
    }

    /// Whether a session was active since this was asked last.
    pub fn were_active(&self) -> bool {
        self.active.swap(false, Ordering::Relaxed)
    }

    /// Tells the session that has been silent for longest to go; false if none has been silent for long enough.
    fn make_room(&self) -> bool {
        let Some(latest) = Instant::now().checked_sub(self.silence) else { return false };
        let seats = lock(&self.seats);
        let silent = seats.iter().filter_map(|seat| match *lock(&seat.state) {
            State::Silent(since) if since <= latest => Some((since, seat)),
            _ => None,
        });
        let Some((_, seat)) = silent.min_by_key(|(since, _)| *since) else { return false };
        *lock(&seat.state) = State::Told;
        seat.told.notify_one();
        true
    }
}

impl Place {
    /// A place that nobody else wants.
    pub fn alone() -> Option<Self> {
        Places::new(1, Duration::MAX).enter()
    }

    /// Whether it is the newcomer's.
    pub const fn is_newcomers(&self) -> bool {
        self.newcomer.is_some()
    }

    /// A place like the others' instead of the newcomer's, if there is one or somebody makes room.
    pub async fn take(&mut self) -> bool {
        let free = &self.places.free;
        let mut permit = Arc::clone(free).try_acquire_owned().ok();
        if permit.is_none() && self.places.make_room() {
            permit = timeout(LEAVING, Arc::clone(free).acquire_owned()).await.ok().and_then(Result::ok);
        }
        let has_place = permit.is_some();
        if has_place {
            (self.permit, self.newcomer) = (permit, None);
        }
        has_place
    }

    /// Nothing comes from the app now.
    pub fn is_silent(&self) {
        *lock(&self.seat.state) = State::Silent(Instant::now());
    }

    /// Ends when it has to go.
    pub async fn told_to_go(&self) {
        self.seat.told.notified().await;
    }

    /// Something came, or may have: false where it has to go nevertheless, and its place is given up already.
    pub fn goes_on(&mut self) -> bool {
        self.places.active.store(true, Ordering::Relaxed);
        let stays = {
            let mut state = lock(&self.seat.state);
            let stays = *state != State::Told;
            if stays {
                *state = State::Busy;
            }
            stays
        };
        if !stays {
            self.permit = None;
        }
        stays
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.places.seats).retain(|seat| !Arc::ptr_eq(seat, &self.seat));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a session does that is told to go.
    fn leave_when_told(mut place: Place) -> tokio::task::JoinHandle<()> {
        tokio::spawn(async move {
            place.told_to_go().await;
            assert!(!place.goes_on());
        })
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_silent_makes_room_and_nobody_else() {
        let places = Places::new(3, Duration::from_secs(10));
        let (busy, first, second) =
            (places.enter().unwrap(), places.enter().unwrap(), places.enter().unwrap());
        first.is_silent();
        tokio::time::advance(Duration::from_secs(1)).await;
        second.is_silent();
        let mut newcomer = places.enter().unwrap();
        assert!(newcomer.is_newcomers() && places.enter().is_none());
        tokio::time::advance(Duration::from_secs(8)).await;
        assert!(!newcomer.take().await, "9 s");
        tokio::time::advance(Duration::from_secs(2)).await;
        let first = leave_when_told(first);
        assert!(newcomer.take().await);
        first.await.unwrap();
        assert!(!newcomer.is_newcomers());
        assert_eq!(places.taken(), 3);
        drop((busy, second, newcomer));
        places.all_free().await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_before_it_was_told_keeps_a_place() {
        let places = Places::new(1, Duration::from_secs(10));
        let mut only = places.enter().unwrap();
        only.is_silent();
        tokio::time::advance(Duration::from_secs(20)).await;
        assert!(only.goes_on());
        assert!(!places.enter().unwrap().take().await);
    }
}
