//! The connections of one mailbox to Office 365: at most so many, in use and idle together.
//!
//! Permission is a value: a [`Lease`] holds a permit, and gives it back by Drop. Idle connections hold no permit, but
//! a lease takes an idle one before it opens another, so in use and idle together never exceed the number of permits.

pub mod connection;
pub mod connector;
pub mod opening;
pub mod transaction;
mod recipients;
mod speed;
pub mod line;
mod link;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::sleep_until;

use crate::task;
use crate::telemetry::{self, Counted};
use connection::Connection;
use connector::Connector;

/// The connections of one mailbox.
#[derive(Clone)]
pub struct Pool(Arc<Shared>);

struct Shared {
    connector: Connector,
    /// In order of asking (tokio's semaphore is fair).
    permits: Arc<Semaphore>,
    /// One fewer, where there are two or more: a slow stream must not take the last connection.
    stream_permits: Arc<Semaphore>,
    idle: Mutex<Vec<Idle>>,
    size: Mutex<Size>,
    /// Wakes who waits for an idle connection.
    kept: Notify,
}

/// How many permits there are, and how many there should be: a permit in use goes when its lease ends.
struct Size {
    now: usize,
    wanted: usize,
}

/// A way to take an idle connection back from the task that watches it.
type Idle = oneshot::Sender<oneshot::Sender<Connection>>;

/// Permission to use one connection, and the connection, once there is one.
pub struct Lease {
    pool: Pool,
    connection: Option<Connection>,
    permit: Option<OwnedSemaphorePermit>,
    _stream_permit: Option<OwnedSemaphorePermit>,
    _counted: Counted,
}

impl Pool {
    /// A pool of at most `max` connections.
    pub fn new(connector: Connector, max: usize) -> Self {
        let permits = Arc::new(Semaphore::new(max));
        let stream_permits = Arc::new(Semaphore::new(max.saturating_sub(1).max(1)));
        let size = Mutex::new(Size { now: max, wanted: max });
        let (idle, kept) = (Mutex::default(), Notify::new());
        Self(Arc::new(Shared { connector, permits, stream_permits, idle, size, kept }))
    }

    /// Allows so many connections from now on. Idle ones beyond it are closed now, those in use after their mail.
    pub fn allow(&self, connections: usize) {
        let mut size = self.size();
        size.wanted = connections;
        if size.wanted > size.now {
            self.0.permits.add_permits(size.wanted - size.now);
            size.now = size.wanted;
        } else if size.wanted < size.now {
            let gone = self.0.permits.forget_permits(size.now - size.wanted);
            size.now -= gone;
            // The watch of a handle that is dropped closes its connection.
            let mut idle = self.idle();
            let kept = idle.len().saturating_sub(gone);
            idle.truncate(kept);
        }
    }

    fn size(&self) -> MutexGuard<'_, Size> {
        self.0.size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn, in order. `streamed` says that the content is not complete and will hold the connection for
    /// as long as the app takes.
    pub async fn lease(&self, streamed: bool) -> Lease {
        let stream_permit = if streamed { acquire(&self.0.stream_permits).await } else { None };
        let permit = acquire(&self.0.permits).await;
        let counted = telemetry::connection_in_use();
        Lease {
            pool: self.clone(),
            connection: None,
            permit,
            _stream_permit: stream_permit,
            _counted: counted,
        }
    }

    /// Closes all idle connections with QUIT.
    pub async fn close(&self) {
        while let Some(connection) = self.take_idle().await {
            connection.quit().await;
        }
    }

    /// Closes all idle connections without a word.
    pub async fn drop_idle(&self) {
        while self.take_idle().await.is_some() {}
    }

    /// What opens a connection.
    pub fn connector(&self) -> &Connector {
        &self.0.connector
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that became idle last and is still good.
    async fn take_idle(&self) -> Option<Connection> {
        loop {
            let idle = self.idle().pop()?;
            let (give, given) = oneshot::channel();
            if idle.send(give).is_ok()
                && let Ok(connection) = given.await
                && connection.is_reusable()
            {
                return Some(connection);
            }
        }
    }

    /// Watches a connection while nobody uses it: one that the server has closed must not be given a message.
    fn keep(&self, mut connection: Connection) {
        let (take, taken) = oneshot::channel::<oneshot::Sender<Connection>>();
        let shared = Arc::downgrade(&self.0);
        task::spawn(async move {
            let _counted = telemetry::connection_idle();
            let until = connection.idle_until();
            let wanted = connection.wanted();
            connection.term().inspect(|term| term.set_idle(true));
            tokio::select! {
                biased;
                () = connection.spoiled() => {}
                taken = taken => match taken {
                    Ok(give) => {
                        connection.term().inspect(|term| term.set_idle(false));
                        drop(give.send(connection));
                    }
                    Err(_) => connection.quit().await,
                },
                () = wanted => connection.quit().await,
                () = sleep_until(until) => {
                    // The goodbye counts as a connection in use: Office 365 counts it too.
                    let permit = shared.upgrade().and_then(|shared| Arc::clone(&shared.permits).try_acquire_owned().ok());
                    if permit.is_some() {
                        connection.quit().await;
                    }
                }
            }
        });
        let mut idle = self.idle();
        idle.retain(|handle| !handle.is_closed());
        idle.push(take);
        drop(idle);
        self.0.kept.notify_waiters();
    }

    /// Ends when a connection becomes idle, from this call on.
    pub fn kept(&self) -> impl Future<Output = ()> {
        self.0.kept.notified()
    }
}

async fn acquire(permits: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    // Never closed, so never an error.
    Arc::clone(permits).acquire_owned().await.ok()
}

impl Lease {
    /// An idle connection, if there is a good one.
    pub async fn idle(&mut self) -> Option<Connection> {
        self.pool.take_idle().await
    }

    /// The connection that this lease is used for, from here on.
    pub fn hold(&mut self, connection: Connection) -> &mut Connection {
        self.connection.insert(connection)
    }
}

impl Lease {
    /// There are more permits than wanted: this one goes, and its connection with it.
    fn shrink(&mut self) {
        let mut size = self.pool.size();
        if size.now > size.wanted
            && let Some(permit) = self.permit.take()
        {
            permit.forget();
            size.now -= 1;
            if let Some(connection) = &mut self.connection {
                connection.retire();
            }
        }
    }
}

impl Drop for Lease {
    /// Gives the connection back if it takes another message. One that took its last is closed with a goodbye, which
    /// the permit outlives.
    fn drop(&mut self) {
        self.shrink();
        let Some(connection) = self.connection.take() else { return };
        if connection.is_reusable() {
            self.pool.keep(connection);
        } else if tokio::runtime::Handle::try_current().is_ok() {
            let permit = self.permit.take();
            task::spawn(async move {
                connection.quit().await;
                drop(permit);
            });
        }
    }
}
