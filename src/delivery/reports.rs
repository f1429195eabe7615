//! Tells who sent a mail that it was not delivered: one report for a mail and a time, or one for many.
//!
//! A report is put into the spool before the verdict that it is about is recorded there: should the process die between
//! the two, the mail is tried once more and reported once more. What waits to be listed in a merged report is known from
//! the dead letters themselves, which say what was reported of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;

use crate::message::{HeldContent, MessageId};
use crate::queue::entry::{Attempt, Entry, Head, Sent, StoredEnvelope, StoredRecipient, Verdict};
use crate::queue::flood::{Flood, Key, Owed};
use crate::queue::report::{self, Listed, Report, ReportOptions, Stamp};
use crate::smtp::path::Address;
use crate::spool::{PutFault, Store, Then};
use crate::telemetry;

/// What writes reports. A clone is the same one.
#[derive(Clone)]
pub struct Reporter {
    store: Store,
    options: Arc<ReportOptions>,
    flood: Arc<Mutex<Flood>>,
}

impl Reporter {
    /// Puts its reports into this spool.
    pub fn new(store: Store, options: ReportOptions) -> Self {
        Self { store, options: Arc::new(options), flood: Arc::default() }
    }

    /// Reports what an attempt has come to, where that is owed, and notes in the attempt whom it is about.
    /// `header` is the block that was to be sent.
    pub async fn about(&self, entry: &Entry, header: &[u8], attempt: &mut Attempt, then: Then) {
        let is_news = attempt
            .results
            .iter()
            .any(|result| matches!(result.verdict, Verdict::Refused | Verdict::Expired));
        if !is_news && then != Then::Dead {
            return;
        }
        let mut entry = entry.clone();
        entry.attempts.push(attempt.clone());
        let places = self.about_entry(&entry, header, then == Then::Dead).await;
        attempt.reported = places.unwrap_or_default();
    }

    /// What was owed when the last process ended: of letters that were laid aside lately.
    pub async fn recover(&self) {
        for (entry, header) in self.store.recent_dead_letters().await {
            if let Some(places) = self.about_entry(&entry, &header, true).await {
                let id = MessageId::parse(&entry.head.id).map_or(0, MessageId::number);
                self.store.note(vec![(id, noted(&entry, places))]).await;
            }
        }
    }

    /// The recipients that a report was written about; `None` where none was. `last` says that nothing more comes of the
    /// mail: what is not reported now is listed later.
    async fn about_entry(&self, entry: &Entry, header: &[u8], last: bool) -> Option<Vec<usize>> {
        let places = report::owed(entry);
        let first = *places.first()?;
        let to = self.options.recipient(entry)?;
        let states = entry.states();
        let key = Key { to: to.to_string(), reason: report::reason(&states[first]) };
        let now = self.store.now();
        let may_tell = self.flood().may_tell(&key, now);
        if may_tell {
            let id = MessageId::next(SystemTime::now());
            let report = self.options.report(entry, &places, &to, header, Stamp { now, id: &id.to_string() });
            if self.put(id, report, &to, &entry.head.id).await {
                return Some(places);
            }
        }
        if last && let Some(listed) = Listed::of(entry, &places) {
            let id = MessageId::parse(&entry.head.id).map_or(0, MessageId::number);
            self.flood().owe(&key, listed, (id, noted(entry, places)), now);
        }
        None
    }

    /// Writes the merged reports that are due, or all that are owed where the process ends.
    pub async fn merge(&self, all: bool) {
        let due = self.flood().due(self.store.now(), all);
        for (key, owed) in due {
            self.merged(key, owed).await;
        }
    }

    async fn merged(&self, key: Key, owed: Owed) {
        // It was one when it became a key.
        let Some(to) = Address::parse(&key.to) else { return };
        let id = MessageId::next(SystemTime::now());
        let stamp = Stamp { now: self.store.now(), id: &id.to_string() };
        let report = self.options.merged(&owed.listed, owed.all, &to, stamp);
        if self.put(id, report, &to, &format!("{} mails", owed.all)).await {
            self.store.note(owed.letters).await;
        } else {
            self.flood().owe_again(key, owed);
        }
    }

    async fn put(&self, id: MessageId, report: Report, to: &Address, about: &str) -> bool {
        let head = self.head(id, &report, to);
        let mut content = HeldContent::in_memory([Bytes::from(report.content)]);
        match self.store.put(id.number(), &head, &mut content).await {
            Ok(()) => {
                telemetry::spool_reported(&head.id, about, to.as_str());
                true
            }
            Err(fault) => {
                let problem = match fault {
                    PutFault::Disk(error) => error.to_string(),
                    other => format!("{other:?}"),
                };
                telemetry::spool_not_reported(about, &problem);
                false
            }
        }
    }

    /// A report comes from the mailbox, since Office 365 takes nothing from `<>`, and is never answered with another one.
    fn head(&self, id: MessageId, report: &Report, to: &Address) -> Head {
        let policy = &self.options.policy;
        // RFC 3461 section 5.2.7: nobody reports about a report.
        let notify = Some("NEVER".to_string());
        let recipient = StoredRecipient { address: to.to_string(), notify, orcpt: None };
        let sender = (!policy.null_sender_stays).then(|| policy.from.address.to_string());
        let envelope = StoredEnvelope {
            reverse_path: None,
            eight_bit: false,
            ret: None,
            envid: None,
            recipients: vec![recipient],
        };
        Head {
            id: id.to_string(),
            created: self.store.now(),
            message_id: Some(report.message_id.clone()),
            app: envelope.clone(),
            header: String::from_utf8_lossy(&report.header).into_owned(),
            sent: Sent {
                envelope: StoredEnvelope { reverse_path: sender, ..envelope },
                from_is_ours: true,
                was_null_sender: true,
                changes: Vec::new(),
            },
            report: true,
        }
    }

    fn flood(&self) -> MutexGuard<'_, Flood> {
        self.flood.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The line that says of a dead letter whom a report was about.
fn noted(entry: &Entry, reported: Vec<usize>) -> Attempt {
    let at = entry.attempts.last().map_or(0, |attempt| attempt.at);
    Attempt { at, lived: entry.lived(), reported, ..Attempt::default() }
}
