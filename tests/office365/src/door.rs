//! A port that can be closed for a time: connections are refused, as by a machine on which nobody listens.

use std::time::{Duration, Instant};

use tokio::sync::watch;

/// What is wanted of one port, and how it stands.
#[derive(Default)]
pub(crate) struct Door {
    /// It is to be closed.
    wanted: watch::Sender<bool>,
    /// It is closed.
    closed: watch::Sender<bool>,
}

impl Door {
    /// Closes or opens it; returns when it is so.
    pub(crate) fn refuse(&self, refuse: bool) {
        self.wanted.send_replace(refuse);
        let until = Instant::now() + Duration::from_secs(20);
        while *self.closed.borrow() != refuse {
            assert!(Instant::now() < until, "office365: the port did not close, or open, in time");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits for the order to close.
    pub(crate) async fn closing(&self) {
        let _ = self.wanted.subscribe().wait_for(|wanted| *wanted).await;
    }

    /// It is closed, until it is to be open.
    pub(crate) async fn closed(&self) {
        self.closed.send_replace(true);
        let _ = self.wanted.subscribe().wait_for(|wanted| !*wanted).await;
        self.closed.send_replace(false);
    }
}
