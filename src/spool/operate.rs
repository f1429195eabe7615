//! What the operator asks for, done to the files: in the running shim, or by `mailshim queue` where none runs.
//!
//! | step | what a crash behind it leaves |
//! |---|---|
//! | retry: the later due time is taken out of the name | the old name or the new one |
//! | retry of a dead letter: a line is appended and synced | a dead letter, retried as if nothing had been |
//! | … it is renamed into queue/ | the same in either directory: it waits, or is retried again |
//! | prepare: the new file is written, with no size in its name | the old file; the next start removes the new one |
//! | … the new one takes the old one's name | one of them, whole |
//! | drop: the file is removed | it is there, or not |

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::claim::Place;
use super::commit::Work;
use super::index::Name;
use super::reading::{self, Unusable};
use super::renewal;
use super::store::{DAMAGED, DEAD, QUEUE, Store, blocking};
use crate::message::policy::Policy;
use crate::queue::entry::{Attempt, Entry, Verdict};
use crate::queue::request::{Action, Answer, Answers, Request};
use crate::redact::without_error_numbers;
use crate::telemetry;

/// Names that are changed at once for [`Action::Flush`].
const AT_ONCE: usize = 64;

impl Store {
    /// Does what is asked. `policy` is today's, for [`Action::Prepare`].
    pub async fn operate(&self, request: &Request, policy: Option<&Arc<Policy>>) -> Answers {
        self.opened().await;
        let answers = match request.action {
            Action::Flush => vec![(self.flush().await, Answer::Done)],
            action => self.each_of(action, &request.ids, policy).await,
        };
        let done = answers.iter().filter(|(_, answer)| *answer == Answer::Done);
        let done = match request.action {
            Action::Flush => done.map(|(count, _)| *count).sum(),
            _ => done.count() as u64,
        };
        telemetry::spool_operated(request.action.name(), done, answers.len());
        answers
    }

    /// Lets all that waits be due now; how many were not.
    async fn flush(&self) -> u64 {
        let mut count = 0;
        {
            let mut state = self.state();
            for (due, _) in &mut state.later {
                count += 1;
                *due = 0;
            }
        }
        loop {
            let now = self.now();
            let names = self.state().index.take_later(now, AT_ONCE);
            let Some((last, others)) = names.split_last() else { break };
            count += names.len() as u64;
            others.iter().for_each(|name| self.rename(*name, now, Vec::new()));
            // One after the other: when this one is done, so are those before it.
            self.hasten(*last).await;
        }
        self.0.changed.notify_one();
        count
    }

    /// Lets a message that was taken out of the index be due now.
    async fn hasten(&self, name: Name) {
        let due = self.now();
        match self.change(Work::Again { name, due, line: Vec::new(), sync: false }).await {
            Ok(()) => self.wait_again(Name { due, ..name }),
            Err(_) => self.state().later.push((due, name)),
        }
    }

    async fn each_of(&self, action: Action, ids: &[u64], policy: Option<&Arc<Policy>>) -> Answers {
        let wanted: HashSet<u64> = ids.iter().copied().collect();
        let (mut answers, waiting) = self.take(&wanted);
        for name in waiting {
            // Should this end before its end, it waits again.
            let place = Place::taken(name, self.clone());
            let answer = match action {
                Action::Drop => self.drop_waiting(place).await,
                Action::Prepare => self.prepare_waiting(place, policy).await,
                Action::Retry | Action::Flush => {
                    self.hasten(place.into_name()).await;
                    Answer::Done
                }
            };
            answers.insert(name.id, answer);
        }
        for directory in [DEAD, DAMAGED] {
            let left: HashSet<u64> = wanted.iter().filter(|id| !answers.contains_key(id)).copied().collect();
            if left.is_empty() {
                break;
            }
            match self.lying(directory, left).await {
                Ok(lying) => {
                    for name in lying {
                        let answer = self.given_up(action, directory, name, policy).await;
                        answers.insert(name.id, answer);
                    }
                }
                Err(error) => return ids.iter().map(|id| (*id, failed(&error))).collect(),
            }
        }
        ids.iter().map(|id| (*id, answers.remove(id).unwrap_or(Answer::Unknown))).collect()
    }

    /// Takes those of them that wait. Those that are under way are answered.
    fn take(&self, wanted: &HashSet<u64>) -> (HashMap<u64, Answer>, Vec<Name>) {
        let mut state = self.state();
        let state = &mut *state;
        let mut names = Vec::new();
        state.later.retain(|(_, name)| {
            let is_wanted = wanted.contains(&name.id);
            names.extend(is_wanted.then_some(*name));
            !is_wanted
        });
        let own: HashSet<u64> = names.iter().map(|name| name.id).collect();
        let under_way = wanted.iter().filter(|id| state.index.is_claimed(**id) && !own.contains(*id));
        let answers = under_way.map(|id| (*id, Answer::UnderWay)).collect();
        names.extend(state.index.take(wanted));
        (answers, names)
    }

    /// The files of these messages in one of the other directories.
    async fn lying(&self, directory: &str, wanted: HashSet<u64>) -> io::Result<Vec<Name>> {
        let (disk, path) = (Arc::clone(&self.0.disk), self.0.folder.join(directory));
        let list = move || {
            let mut names = Vec::new();
            disk.list(&path, &mut |name| {
                let name = name.to_str().and_then(Name::parse);
                names.extend(name.filter(|name| wanted.contains(&name.id)));
            })?;
            Ok(names)
        };
        blocking(list).await.and_then(|names| names)
    }

    async fn drop_waiting(&self, place: Place) -> Answer {
        let name = place.name();
        let record = self.record(self.path(name)).await;
        match self.change(Work::Remove { name }).await {
            Ok(()) => {
                place.into_name();
                self.state().index.remove(name.id);
                tell_dropped(name, record.ok().as_ref());
                Answer::Done
            }
            Err(error) => failed(&error),
        }
    }

    async fn prepare_waiting(&self, place: Place, policy: Option<&Arc<Policy>>) -> Answer {
        let name = place.name();
        match self.renew(QUEUE, name, policy).await {
            Ok(()) => {
                self.hasten(place.into_name()).await;
                Answer::Done
            }
            Err(problem) => {
                // It was not under way, and waits as it did.
                self.wait_again(place.into_name());
                Answer::Failed(problem)
            }
        }
    }

    async fn given_up(
        &self,
        action: Action,
        directory: &str,
        name: Name,
        policy: Option<&Arc<Policy>>,
    ) -> Answer {
        let from = self.0.folder.join(directory);
        let path = from.join(name.to_string());
        match action {
            Action::Drop => {
                let record = self.record(path).await;
                match self.change(Work::Discard { name, from }).await {
                    Ok(()) => {
                        tell_dropped(name, record.ok().as_ref());
                        Answer::Done
                    }
                    Err(error) => failed(&error),
                }
            }
            _ if directory == DAMAGED => Answer::Failed("it is damaged, and nothing delivers it".to_string()),
            Action::Prepare => match self.renew(directory, name, policy).await {
                Ok(()) => self.revive(name, from).await,
                Err(problem) => Answer::Failed(problem),
            },
            Action::Retry | Action::Flush => self.revive(name, from).await,
        }
    }

    /// Brings a dead letter back, for those who have not got it.
    async fn revive(&self, name: Name, from: PathBuf) -> Answer {
        let entry = match self.record(from.join(name.to_string())).await {
            Ok(entry) => entry,
            Err(answer) => return answer,
        };
        let states = entry.states();
        let is_left =
            |place: &usize| !matches!(states[*place].verdict, Some(Verdict::Delivered | Verdict::Dropped));
        let again: Vec<usize> = (0..states.len()).filter(is_left).collect();
        if again.is_empty() {
            return Answer::Failed("nobody is left who has not got it".to_string());
        }
        if self.is_full(name.octets) {
            return Answer::Failed("the spool is full (MAILSHIM_SPOOL_MAX_BYTES)".to_string());
        }
        let due = self.now();
        let line = Attempt { at: due, next: due, again, ..Attempt::default() }.line();
        let back = Name { due, ..name };
        let result = self.change(Work::Revive { name, from, due, line }).await;
        let disk = Arc::clone(&self.0.disk);
        let path = self.path(back);
        // Where only the directory was not synced it waits there all the same.
        let is_there = result.is_ok() || blocking(move || disk.open(&path).is_ok()).await.unwrap_or(false);
        if is_there {
            self.wait_again(back);
        }
        result.map_or_else(|error| failed(&error), |()| Answer::Done)
    }

    async fn renew(&self, directory: &str, name: Name, policy: Option<&Arc<Policy>>) -> Result<(), String> {
        let path = self.0.folder.join(directory).join(name.to_string());
        // Without a size: should a crash leave it there, the next start takes it for what was never finished.
        let new = self.path(Name { octets: 0, ..name });
        let Some(policy) = policy.map(Arc::clone) else { return Err("there is no policy".to_string()) };
        let (disk, now) = (Arc::clone(&self.0.disk), self.now());
        let renewed = blocking(move || renewal::renew(&disk, &path, &new, &policy, now)).await;
        renewed.map_err(|error| error.to_string())?
    }

    async fn record(&self, path: PathBuf) -> Result<Entry, Answer> {
        let disk = Arc::clone(&self.0.disk);
        match blocking(move || reading::read_record(&disk, &path)).await {
            Ok(Ok(entry)) => Ok(entry),
            Ok(Err(Unusable::Io(error))) if error.kind() == io::ErrorKind::NotFound => Err(Answer::Unknown),
            Ok(Err(Unusable::Io(error))) | Err(error) => Err(failed(&error)),
            Ok(Err(Unusable::Damage(_))) => Err(Answer::Failed("its file cannot be read".to_string())),
        }
    }
}

fn failed(error: &io::Error) -> Answer {
    Answer::Failed(without_error_numbers(&error.to_string()))
}

fn tell_dropped(name: Name, entry: Option<&Entry>) {
    let recipients = entry.map(|entry| entry.head.sent.envelope.recipients.as_slice()).unwrap_or_default();
    let recipients = recipients.iter().map(|recipient| recipient.address.as_str());
    let message_id = entry.and_then(|entry| entry.head.message_id.as_deref());
    telemetry::spool_dropped(&format!("{:x}", name.id), message_id, &recipients.collect::<Vec<_>>());
}
