//! The spool in a running shim: opened while mail is answered already, emptied before the end.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::config::Config;
use crate::delivery::Worker;
use crate::delivery::directory::Accounts;
use crate::durable::System;
use crate::life::Life;
use crate::message::Budget;
use crate::queue::report::ReportOptions;
use crate::redact::without_error_numbers;
use crate::smtp::path::Address;
use crate::spool::{self, SpoolOptions, Store, TRY_AGAIN};
use crate::task;
use crate::telemetry;

/// Where the images keep it, and where a package would.
const USUAL: &str = "/var/spool/mailshim";

/// The spool with what delivers from it.
pub(super) struct Spool {
    /// What waits.
    pub store: Store,
    worker: Worker,
    running: JoinHandle<()>,
    failed: oneshot::Receiver<String>,
}

/// Why the spool is of no use any more.
pub(super) enum SpoolFailed {
    /// Its directory cannot be used.
    SetUp(String),
    /// The worker has panicked.
    Died(JoinError),
}

impl Spool {
    /// Makes the directories, waits for their lock and reads them in the background, and delivers what is there.
    pub(super) fn start(
        options: &SpoolOptions,
        config: &Config,
        accounts: &Arc<Accounts>,
        budget: &Budget,
        life: &watch::Receiver<Life>,
        vital: &mut JoinSet<()>,
    ) -> Result<Self, String> {
        let (store, thread) = Store::new(options, Arc::new(System)).map_err(|error| error.to_string())?;
        let directory = options.directory.display().to_string();
        let words = move |error: io::Error| {
            let error = without_error_numbers(&error.to_string());
            format!(
                "the spool cannot be used: {directory}: {error} (MAILSHIM_SPOOL_DIR must be a directory that user {} may \
                 write; mailshim check tries it)",
                rustix::process::getuid().as_raw()
            )
        };
        // Before anybody hears that it listens: a mistake must not be found later.
        let mut made = match store.make_directories() {
            Err(error) if is_mistake(&error) => return Err(words(error)),
            made => made,
        };
        spool::warning_of(&options.directory).into_iter().for_each(telemetry::configuration_warning);
        vital.spawn(task::boxed(async move {
            thread.await.expect("the thread that writes the spool has died");
        }));
        let (fails, failed) = oneshot::channel();
        let taken = store.clone();
        vital.spawn(task::boxed(async move {
            loop {
                let opened = match made {
                    Ok(()) => open(&taken).await,
                    Err(error) => Err(error),
                };
                match opened {
                    Ok(()) => return taken.keep_trying().await,
                    Err(error) if is_mistake(&error) => return drop(fails.send(words(error))),
                    // It is no mistake of anybody's, and may pass: apps hear 452 meanwhile.
                    Err(error) => taken.cannot_open(&error),
                }
                sleep(TRY_AGAIN).await;
                let directories = taken.clone();
                let making = task::blocking(move || directories.make_directories());
                made = making.await.unwrap_or_else(|| Err(io::Error::other("a fault in mailshim")));
            }
        }));
        store.pace_reports(reports_in_a_minute(config.allowance.messages_per_minute));
        let worker = Worker::new(
            store.clone(),
            Arc::clone(accounts),
            options.lifetime,
            reports(config)?,
            budget.clone(),
            life.clone(),
        );
        let (delivering, taken) = (worker.clone().run(config.allowance.connections), store.clone());
        let policy = Arc::new(config.policy.clone());
        let running = task::spawn(async move {
            tokio::select! {
                () = delivering => {}
                () = taken.take_requests(policy) => {}
            }
        });
        Ok(Self { store, worker, running, failed })
    }

    /// Ends when the spool is of no use any more; never without one.
    pub(super) async fn failed(spool: &mut Option<Self>) -> SpoolFailed {
        let Some(spool) = spool else { return std::future::pending().await };
        tokio::select! {
            Ok(problem) = &mut spool.failed => SpoolFailed::SetUp(problem),
            Err(died) = &mut spool.running => SpoolFailed::Died(died),
            else => std::future::pending().await,
        }
    }

    /// Delivers what is due before the process ends, and tells what stays.
    pub(super) async fn end(
        mut self,
        ends: Instant,
        grace: Duration,
        last_words: Duration,
        life: &watch::Sender<Life>,
    ) {
        // What is claimed should come to its end before the process does.
        self.worker.finish(ends - (grace / 4).min(Duration::from_secs(10)));
        if timeout_at(ends, &mut self.running).await.is_err() {
            life.send_replace(Life::Ending);
            let _ = timeout(last_words, &mut self.running).await;
        }
        self.worker.tell_what_stays().await;
    }
}

/// Who reports come from and go to.
fn reports(config: &Config) -> Result<ReportOptions, String> {
    let mailbox = config.identity.mailbox.to_string();
    let mailbox = Address::parse(&mailbox).ok_or_else(|| format!("{mailbox} is not an address"))?;
    Ok(ReportOptions {
        to: config.bounce_to.clone(),
        mailbox,
        policy: config.policy.clone(),
        upstream: config.upstream.host.clone(),
    })
}

/// A quarter of the pace, so that a flood of reports leaves the mailbox to mail; `None` where there is no pace.
fn reports_in_a_minute(messages: usize) -> Option<usize> {
    (messages > 0).then(|| (messages / 4).max(1))
}

/// Waits for the lock, and reads what is there.
async fn open(store: &Store) -> io::Result<()> {
    store.lock().await?;
    store.read_directory().await
}

/// A directory that is not there, or is another user's: whoever set it up must hear of it at once, as of any other mistake.
fn is_mistake(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    matches!(error.kind(), NotADirectory | NotFound | PermissionDenied)
}

/// Mail that was accepted must not be forgotten because a variable went missing.
pub(super) fn tell_forgotten_mail() {
    let messages = spool::left_in(Path::new(USUAL));
    if messages > 0 {
        telemetry::spool_not_used(USUAL, messages);
    }
}
