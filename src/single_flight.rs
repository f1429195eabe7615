//! One task, many waiters: whoever asks while it is under way gets the same result. The flight belongs to nobody who
//! waits: dropping a waiter stops nothing. A task that died (a panic) is no longer under way.

use tokio::sync::watch;

/// What waits for the task; clones wait for the same one.
pub struct Flight<T>(watch::Receiver<Option<T>>);

/// What the task ends with. Dropped without a result, it ends the flight for all who wait.
pub struct Landing<T>(watch::Sender<Option<T>>);

/// A flight that somebody is about to make.
pub fn take_off<T>() -> (Landing<T>, Flight<T>) {
    let (landing, flight) = watch::channel(None);
    (Landing(landing), Flight(flight))
}

impl<T> Landing<T> {
    /// Gives all who wait the result.
    pub fn land(self, result: T) {
        self.0.send_replace(Some(result));
    }
}

impl<T> Clone for Flight<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Clone> Flight<T> {
    /// Whether the task has neither ended nor died.
    pub fn is_under_way(&self) -> bool {
        self.0.has_changed().is_ok()
    }

    /// The result; `None` if the task died.
    pub async fn landed(mut self) -> Option<T> {
        self.0.wait_for(Option::is_some).await.ok().and_then(|result| result.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_who_wait_get_the_one_result() {
        let (landing, flight) = take_off();
        let other = flight.clone();
        drop(flight.clone());
        assert!(flight.is_under_way());
        landing.land(7);
        assert!(!flight.is_under_way());
        assert_eq!((flight.landed().await, other.landed().await), (Some(7), Some(7)));
    }

    #[tokio::test]
    async fn a_task_that_died_is_none() {
        let (landing, flight) = take_off::<u8>();
        drop(landing);
        assert!(!flight.is_under_way());
        assert_eq!(flight.landed().await, None);
    }
}
