//! The right to use something for a while: a replica's right to one of the connections that its fleet shares.
//!
//! It counts on CLOCK_BOOTTIME: a suspended machine's other clocks stand still, while the others go on.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// The wait after which the clock is looked at again, whatever a timer says that stood still meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// A moment on CLOCK_BOOTTIME.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootTime(Duration);

impl BootTime {
    /// The machine's start: every term that ends then has ended.
    pub const fn at_boot() -> Self {
        Self(Duration::ZERO)
    }

    /// This moment.
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::Boottime);
        let (seconds, nanoseconds) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
        Self(Duration::new(seconds.unwrap_or_default(), nanoseconds.unwrap_or_default()))
    }

    /// The moment so much later.
    #[must_use]
    pub fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time))
    }

    fn left(self) -> Duration {
        self.0.saturating_sub(Self::now().0)
    }
}

/// How long a term lasts, as whoever grants it sees it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lasts {
    /// When it ends; `None` for never.
    pub until: Option<BootTime>,
    /// Others wait for it: it is given up after the mail in hand.
    pub is_recalled: bool,
}

/// The right to use a connection. Whoever granted it hears when it is dropped.
pub struct Term {
    lasts: watch::Receiver<Lasts>,
    idle: Arc<AtomicBool>,
    number: Option<(i32, i64)>,
    ended: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl fmt::Debug for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Term").field(&*self.lasts.borrow()).finish()
    }
}

impl Term {
    /// A term that lasts as `lasts` says, and calls `ended` when it is dropped. `idle` says whether it is used,
    /// `number` which one it is: the slot, and its epoch.
    pub fn new(
        lasts: watch::Receiver<Lasts>,
        idle: Arc<AtomicBool>,
        number: (i32, i64),
        ended: impl FnOnce() + Send + Sync + 'static,
    ) -> Self {
        Self { lasts, idle, number: Some(number), ended: Some(Box::new(ended)) }
    }

    /// The right to one mail, of which nobody else is told.
    pub fn for_one_mail(ended: impl FnOnce() + Send + Sync + 'static) -> Self {
        let (_, lasts) = watch::channel(Lasts { until: None, is_recalled: true });
        Self { lasts, idle: Arc::default(), number: None, ended: Some(Box::new(ended)) }
    }

    /// Which one it is; `None` where nobody else is told of it.
    pub const fn number(&self) -> Option<(i32, i64)> {
        self.number
    }

    /// Whether it has ended: what it was for may not be used from here on.
    pub fn is_over(&self) -> bool {
        self.lasts.borrow().until.is_some_and(|until| until <= BootTime::now())
    }

    /// Whether it is to be given up after the mail in hand.
    pub fn is_recalled(&self) -> bool {
        self.lasts.borrow().is_recalled
    }

    /// Tells whether it is in use now.
    pub fn set_idle(&self, idle: bool) {
        self.idle.store(idle, Ordering::Relaxed);
    }

    /// Ends when the term does.
    pub async fn over(&self) {
        ends(self.lasts.clone(), |_| false).await;
    }

    /// Ends when the term does, or others wait for it.
    pub fn when_wanted(&self) -> impl Future<Output = ()> + use<> {
        ends(self.lasts.clone(), |lasts| lasts.is_recalled)
    }
}

async fn ends(mut lasts: watch::Receiver<Lasts>, is_enough: impl Fn(Lasts) -> bool) {
    loop {
        let now = *lasts.borrow_and_update();
        if is_enough(now) || now.until.is_some_and(|until| until <= BootTime::now()) {
            return;
        }
        let wait = now.until.map_or(LOOK_AGAIN, |until| until.left().min(LOOK_AGAIN));
        // Whoever granted it may be gone; then it ends with its time.
        if let Ok(Err(_)) = timeout(wait, lasts.changed()).await {
            sleep(wait).await;
        }
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        if let Some(ended) = self.ended.take() {
            ended();
        }
    }
}

/// Ends when the term does; never where there is none.
pub async fn over(term: Option<&Term>) {
    match term {
        Some(term) => term.over().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lasting(time: Duration) -> (watch::Sender<Lasts>, Term) {
        let until = Some(BootTime::now().plus(time));
        let (sender, lasts) = watch::channel(Lasts { until, is_recalled: false });
        (sender, Term::new(lasts, Arc::default(), (1, 1), || ()))
    }

    #[tokio::test]
    async fn it_ends_with_its_time_though_nobody_prolongs_it() {
        let (sender, term) = lasting(Duration::from_millis(30));
        assert!(!term.is_over());
        drop(sender);
        term.over().await;
        assert!(term.is_over());
    }

    #[tokio::test]
    async fn it_can_be_prolonged_and_recalled() {
        let (sender, term) = lasting(Duration::from_millis(30));
        let later = Some(BootTime::now().plus(Duration::from_secs(3600)));
        sender.send_replace(Lasts { until: later, is_recalled: false });
        assert!(timeout(Duration::from_millis(60), term.over()).await.is_err());
        sender.send_replace(Lasts { until: later, is_recalled: true });
        term.when_wanted().await;
        assert!(!term.is_over() && term.is_recalled());
    }

    #[test]
    fn whoever_granted_it_hears_of_its_end() {
        let heard = Arc::new(AtomicBool::new(false));
        let hears = Arc::clone(&heard);
        let (_, lasts) = watch::channel(Lasts { until: None, is_recalled: false });
        drop(Term::new(lasts, Arc::default(), (1, 1), move || hears.store(true, Ordering::Relaxed)));
        assert!(heard.load(Ordering::Relaxed));
    }
}
