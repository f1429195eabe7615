//! Delivers what waits in the spool: claim, attempt, settle. It knows no file, and the spool no Office 365.
//!
//! As many lanes as the mailbox has connections; a message that waits costs neither a task nor a file handle. Nothing is
//! claimed while the breaker, a pause or the pace would hold it.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::attempt::Each;
use super::directory::Accounts;
use super::reports::Reporter;
use super::settlement::{Moment, Verdicts, holds_the_mailbox};
use crate::life::{Life, ending};
use crate::message::{Awaited, Budget, DeliveryRecord, Envelope, Message, MessageId};
use crate::outcome::{Cause, Class, Context, Fault, Outcome, RecipientOutcome, Stage, judge};
use crate::queue::entry::{self, Attempt, Entry, Verdict};
use crate::queue::lifetime::Mailboxes;
use crate::queue::report::ReportOptions;
use crate::queue::schedule;
use crate::spool::{Claimed, Phase, Store, Then};
use crate::task;
use crate::telemetry;

/// How long a message waits whose sender's mailbox has no place now.
const TOO_MANY_SENDERS: Duration = Duration::from_secs(60);
/// How often a delivery is recorded again that the disk did not take.
const RECORD_AGAIN: Duration = Duration::from_secs(5);
/// How often the gauges are set.
const COUNT_AGAIN: Duration = Duration::from_secs(5);
/// How often it is looked whether all is done: another lane may have done it.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Message-IDs that the last line names.
const MOST_NAMED: usize = 20;

/// What the worker needs. A clone is the same one.
#[derive(Clone)]
pub struct Worker {
    store: Store,
    accounts: Arc<Accounts>,
    lifetime: Duration,
    reporter: Reporter,
    budget: Budget,
    life: watch::Receiver<Life>,
    /// Once mail has ceased to come: when nothing more is claimed.
    until: watch::Sender<Option<Instant>>,
    /// Messages that stream now.
    large: Arc<AtomicUsize>,
    /// Mailboxes that are held, or were, by a set-up fault.
    faults: Arc<Mutex<Mailboxes>>,
}

impl Worker {
    /// Delivers from this spool through these mailboxes, for as long as the process has to live.
    pub fn new(
        store: Store,
        accounts: Arc<Accounts>,
        lifetime: Duration,
        reports: ReportOptions,
        budget: Budget,
        life: watch::Receiver<Life>,
    ) -> Self {
        let (large, faults) = (Arc::default(), Arc::default());
        let (until, reporter) = (watch::Sender::new(None), Reporter::new(store.clone(), reports));
        Self { store, accounts, lifetime, reporter, budget, life, until, large, faults }
    }

    /// No more mail comes: it ends when nothing is left that is due before this, or then.
    pub fn finish(&self, until: Instant) {
        self.until.send_replace(Some(until));
    }

    /// Delivers with so many lanes until it has [finished](Worker::finish) or the process ends.
    ///
    /// # Panics
    /// If a lane has panicked: what it had is given back to the spool, and the process ends.
    pub async fn run(self, lanes: usize) {
        let mut running = JoinSet::new();
        for _ in 0..lanes {
            let worker = self.clone();
            running.spawn(task::boxed(async move { worker.lane(lanes).await }));
        }
        let counting = async {
            self.store.opened().await;
            self.reporter.recover().await;
            loop {
                self.reporter.merge(false).await;
                self.store.tidy().await;
                self.count();
                sleep(COUNT_AGAIN).await;
            }
        };
        let delivering = async {
            while let Some(ended) = running.join_next().await {
                ended.expect("a lane of the spool's worker has panicked");
            }
        };
        tokio::select! {
            () = delivering => {}
            () = counting => {}
        }
        // What is listed later would be forgotten; a spool that was never ours has nothing to list.
        if self.store.phase() == Phase::Open {
            self.reporter.merge(true).await;
        }
        self.count();
    }

    fn count(&self) {
        let waiting = self.store.waiting();
        telemetry::spool_holds(waiting.messages, waiting.octets, Duration::from_secs(waiting.oldest));
        telemetry::spool_keeps(self.store.dead_letters());
    }

    /// Tells what stays when the process ends.
    pub async fn tell_what_stays(&self) {
        let messages = self.store.waiting().messages;
        if messages > 0 {
            telemetry::spool_stays(messages, &self.store.message_ids(MOST_NAMED).await);
        }
    }

    async fn lane(&self, lanes: usize) {
        // One lane stays free of messages that stream, where there are two or more.
        let most = lanes.saturating_sub(1).max(1);
        let may_stream = || self.large.load(Ordering::Relaxed) < most;
        let mut finishing = self.until.subscribe();
        loop {
            let until = *finishing.borrow_and_update();
            let next = async {
                self.accounts.main().opened().await;
                self.store.claim(may_stream).await
            };
            let claimed = tokio::select! {
                biased;
                () = ending(&self.life) => return,
                Ok(()) = finishing.changed() => continue,
                () = self.idle_until(until) => return,
                claimed = next => claimed,
            };
            let _streams = Streams::count(&self.large, claimed.streams());
            self.deliver(claimed).await;
        }
    }

    /// Ends when nothing is left that is due before then; never where mail still comes.
    async fn idle_until(&self, until: Option<Instant>) {
        let Some(until) = until else { return std::future::pending().await };
        while !self.store.is_idle_until(until) {
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn deliver(&self, mut claimed: Box<Claimed>) {
        let places = claimed.entry.waiting();
        let octets = claimed.entry.length - claimed.entry.content_at;
        // The spool gives out none whose envelope cannot be read.
        let Some(message) = message(&claimed, &places, octets) else { return };
        let sender = message.envelope.mail.reverse_path.as_ref();
        let mailbox = self.accounts.mailbox_of(sender);
        let context = Context { mailbox, from_is_ours: message.from_is_ours, spool: true };
        let account = self.accounts.of(sender);
        let possible_duplicate = claimed.may_have_arrived(&places);
        let mut record = DeliveryRecord {
            message_id: claimed.entry.head.message_id.clone(),
            octets,
            attempts: u32::try_from(claimed.entry.tries() + 1).unwrap_or(u32::MAX),
            possible_duplicate,
            ..DeliveryRecord::default()
        };
        let begun = Instant::now();
        let mut content = claimed.content(&self.budget);
        let (id, message_id) = (message.id, record.message_id.clone());
        let mut mark = Some(self.store.begin(&claimed, &places));
        let mut begins = || -> Awaited<'static, bool> {
            let Some(mark) = mark.take() else { return Box::pin(std::future::ready(true)) };
            if possible_duplicate {
                telemetry::spool_sends_again(id, message_id.as_deref());
            }
            Box::pin(mark)
        };
        let each = match account {
            Ok(account) => account.attempt_each(&message, &mut content, &mut record, &mut begins).await,
            Err(_) => Each::NotTried(TOO_MANY_SENDERS, Fault::new(Stage::Wait, Cause::TooManySenders)),
        };
        let is_begun = mark.is_none();
        let outcomes = match each {
            Each::Done(outcomes) => outcomes,
            // Its time may be over without anybody having been asked: so many of one sender wait that Office 365 refuses.
            Each::NotTried(_, fault) if self.is_over(mailbox, &claimed.entry, &fault, &context) => {
                vec![RecipientOutcome::Settled(Outcome::Failed(fault)); places.len()]
            }
            Each::NotTried(wait, _) => return self.store.release(claimed, wait, is_begun),
            Each::ShuttingDown => return self.store.release(claimed, Duration::ZERO, is_begun),
            // Its file could be read a moment ago. It waits again.
            Each::Abandoned => {
                return telemetry::spool_file_unreadable(&claimed.entry.head.id, "it cannot be read on");
            }
        };
        drop(content);
        record.total = begun.elapsed();
        let since = self.lived_since(mailbox, &claimed.entry, &outcomes, &context);
        let mut verdicts = Verdicts::new(&outcomes, &places, &context);
        let moment = Moment { now: self.store.now(), since, lifetime: self.lifetime, chance: chance() };
        let (mut attempt, then) = verdicts.settle(&claimed.entry, moment);
        self.tell(&claimed.entry, &message, &record, &verdicts, &context);
        self.reporter.about(&claimed.entry, &claimed.header, &mut attempt, then).await;
        let given_up = (then == Then::Dead).then(|| given_up(&claimed.entry, &attempt)).flatten();
        let mut owed = claimed;
        while let Err((claimed, error)) = self.store.settle(owed, &attempt, then).await {
            telemetry::spool_delivery_not_recorded(&message.id.to_string(), &error.to_string());
            owed = claimed;
            // Nothing more is delivered here meanwhile: it could not be recorded either, and would double.
            tokio::select! {
                () = sleep(RECORD_AGAIN) => {}
                () = ending(&self.life) => return self.store.abandon(owed),
            }
        }
        if let Some(entry::Result { reply, fix, .. }) = given_up {
            telemetry::spool_given_up(mailbox, &reply, fix.as_deref());
        }
    }

    /// Whether the time of a message that was not tried is over. A set-up fault keeps it for as long as it holds.
    fn is_over(&self, mailbox: &str, entry: &Entry, fault: &Fault, context: &Context<'_>) -> bool {
        if judge(fault, context).class == Class::SetUp {
            return false;
        }
        let last = entry.attempts.last().map_or(entry.head.created, |attempt| attempt.at);
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let since = faults.lived(mailbox, last, self.store.started_at(), self.store.now());
        schedule::is_over(entry.lived() + since, self.lifetime)
    }

    /// Learns whether the mailbox is held by a set-up fault. Seconds that the message has lived since its last attempt.
    fn lived_since(
        &self,
        mailbox: &str,
        entry: &Entry,
        outcomes: &[RecipientOutcome],
        context: &Context<'_>,
    ) -> u64 {
        let now = self.store.now();
        let held_by = outcomes.iter().find_map(|outcome| match outcome {
            RecipientOutcome::Settled(Outcome::Failed(fault)) if holds_the_mailbox(fault, context) => {
                Some(fault)
            }
            _ => None,
        });
        let last = entry.attempts.last().map_or(entry.head.created, |attempt| attempt.at);
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let (lived, fault_begins) =
            faults.attempt(mailbox, held_by.is_some(), last, self.store.started_at(), now);
        if let Some(fault) = held_by.filter(|_| fault_begins) {
            telemetry::mailbox_held(mailbox, fault);
        }
        lived
    }

    /// One line for each outcome, with the recipients that it is about.
    fn tell(
        &self,
        entry: &Entry,
        message: &Message,
        record: &DeliveryRecord,
        verdicts: &Verdicts,
        context: &Context<'_>,
    ) {
        let given = entry.head.app.whole();
        for group in &verdicts.groups {
            let envelope = entry.head.sent.envelope.envelope_of(&group.places, None);
            let envelope: &Envelope = envelope.as_ref().unwrap_or(&message.envelope);
            let given = given.as_ref().unwrap_or(envelope);
            let name = match group.verdict {
                Verdict::Expired => "expired",
                _ => group.outcome.name(context),
            };
            let reply = group.outcome.to_reply(context);
            let mail = telemetry::Mail { id: message.id, given, envelope, record };
            telemetry::spool_tried(mail, &group.outcome, name, context, &reply);
        }
    }
}

/// What was said of the recipients who will never get a message: of the last of them.
fn given_up(entry: &Entry, attempt: &Attempt) -> Option<entry::Result> {
    let results = entry.attempts.iter().chain([attempt]).flat_map(|attempt| &attempt.results);
    let mut failed = results.filter(|result| matches!(result.verdict, Verdict::Refused | Verdict::Expired));
    failed.next_back().cloned()
}

/// The message for those who still wait for it, as the policy made it when it was accepted.
fn message(claimed: &Claimed, places: &[usize], octets: u64) -> Option<Message> {
    let entry = &claimed.entry;
    let sent = &entry.head.sent;
    let envelope = sent.envelope.envelope_of(places, Some(octets))?;
    Some(Message {
        id: MessageId::parse(&entry.head.id)?,
        sender: claimed.shown.key(envelope.mail.reverse_path.as_ref()),
        envelope,
        from_is_ours: sent.from_is_ours,
        was_null_sender: sent.was_null_sender,
    })
}

/// Counted for as long as a large message is under way.
struct Streams(Option<Arc<AtomicUsize>>);

impl Streams {
    fn count(large: &Arc<AtomicUsize>, streams: bool) -> Self {
        if streams {
            large.fetch_add(1, Ordering::Relaxed);
        }
        Self(streams.then(|| Arc::clone(large)))
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        if let Some(large) = &self.0 {
            large.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// From 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "chance needs no more")]
fn chance() -> f64 {
    RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64
}
