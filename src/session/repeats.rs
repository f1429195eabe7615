//! Told once: a mail that was accepted while its app had gone is answered, not sent again, when it comes again.
//!
//! RFC 1047 described it in 1988: an app with a time-out of 5 s hangs up while Office 365 takes its mail, and sends it
//! again. What was accepted and not heard is remembered as a digest of the envelope and the octets as the app sent them,
//! and the next coming of the same uses it up. While a mail is with Office 365, the same coming again waits for that
//! verdict. It is the same only where the app gave it a Message-ID or a Date of its own: a monitor that sends one text
//! every minute sends many mails.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::message::{Envelope, MessageId};
use crate::smtp::reply::Reply;

/// Mails that are remembered at once; the oldest goes.
pub const MAX_REMEMBERED: usize = 1024;
/// How long an app may take to come again.
pub const REMEMBERED: Duration = Duration::from_secs(15 * 60);

/// A mail's digest: a keyed hash, whose key nobody outside the process knows, and how many octets it is of.
pub type Digest = [u64; 2];

/// The answer that nobody heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What Office 365 said.
    pub reply: Reply,
    /// The mail that it was said of.
    pub id: MessageId,
}

/// What to do with a mail that comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coming {
    /// Send it.
    New,
    /// The same is being sent: wait for its end, and ask again.
    UnderWay,
    /// It was accepted before: answer so.
    Told(Told),
}

/// What is remembered. Pure: `now` is handed in.
#[derive(Debug, Default)]
pub struct Table {
    under_way: HashSet<Digest>,
    unheard: VecDeque<(Digest, std::time::Instant, Told)>,
}

impl Table {
    /// A mail comes. [`Coming::New`] owes [`Table::ended`].
    pub fn comes(&mut self, digest: Digest, now: std::time::Instant) -> Coming {
        self.unheard.retain(|(_, since, _)| now.saturating_duration_since(*since) < REMEMBERED);
        let at = self.unheard.iter().position(|(other, ..)| *other == digest);
        if let Some((.., told)) = at.and_then(|at| self.unheard.remove(at)) {
            return Coming::Told(told);
        }
        if self.under_way.insert(digest) { Coming::New } else { Coming::UnderWay }
    }

    /// A mail that was new has its end: with what was accepted and not heard, or with nothing to remember.
    pub fn ended(&mut self, digest: Digest, unheard: Option<Told>, now: std::time::Instant) {
        self.under_way.remove(&digest);
        if let Some(told) = unheard {
            self.remember(digest, told, now);
        }
    }

    /// An answer that was given was not heard.
    pub fn remember(&mut self, digest: Digest, told: Told, now: std::time::Instant) {
        if self.unheard.len() >= MAX_REMEMBERED {
            self.unheard.pop_front();
        }
        self.unheard.push_back((digest, now, told));
    }

    /// How many are remembered.
    pub fn remembered(&self) -> usize {
        self.unheard.len()
    }
}

/// What all sessions remember.
#[derive(Clone, Debug, Default)]
pub struct Repeats(Arc<(Mutex<Table>, Notify)>);

impl Repeats {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A mail of this envelope begins to come.
    pub fn begin(&self, envelope: &Envelope) -> Arc<OneMail> {
        let mut hashes = Hashes::default();
        let mail = &envelope.mail;
        let sender = mail.reverse_path.as_ref().map_or("", |path| path.as_str());
        for text in [Some(sender), mail.ret.as_deref(), mail.envid.as_deref()] {
            hashes.field(text);
        }
        for recipient in &envelope.recipients {
            hashes.field(Some(recipient.address.as_str()));
            hashes.field(recipient.notify.as_deref());
            hashes.field(recipient.orcpt.as_deref());
        }
        let state = OneMailState { hashes, is_its_own: false, claimed: None, told: None };
        Arc::new(OneMail { repeats: self.clone(), state: Mutex::new(state) })
    }
}

/// The digest on its way. One hash: a second one over all octets was a tenth of what a small mail costs.
#[derive(Debug)]
struct Hashes {
    keyed: std::hash::DefaultHasher,
    octets: u64,
}

impl Default for Hashes {
    fn default() -> Self {
        static KEY: LazyLock<RandomState> = LazyLock::new(Default::default);
        Self { keyed: KEY.build_hasher(), octets: 0 }
    }
}

impl Hashes {
    fn octets(&mut self, octets: &[u8]) {
        self.keyed.write(octets);
        self.octets += octets.len() as u64;
    }

    /// With its length, so that no two envelopes run together into the same octets.
    fn field(&mut self, text: Option<&str>) {
        let length = text.map_or(u64::MAX, |text| text.len() as u64);
        self.octets(&length.to_ne_bytes());
        self.octets(text.unwrap_or_default().as_bytes());
    }

    fn digest(&self) -> Digest {
        [self.keyed.finish(), self.octets]
    }
}

/// One mail that comes: its digest is made as its octets pass. Dropped, it is no longer under way.
#[derive(Debug)]
pub struct OneMail {
    repeats: Repeats,
    state: Mutex<OneMailState>,
}

#[derive(Debug)]
struct OneMailState {
    hashes: Hashes,
    /// The app gave it a Message-ID or a Date.
    is_its_own: bool,
    /// Its digest once it was asked for, and whether the mail is under way.
    claimed: Option<(Digest, bool)>,
    told: Option<Told>,
}

impl OneMail {
    fn state(&self) -> MutexGuard<'_, OneMailState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Octets of its content, as the app sent them.
    pub fn passes(&self, octets: &[u8]) {
        self.state().hashes.octets(octets);
    }

    /// The app gave it a Message-ID or a Date of its own.
    pub fn is_its_own(&self) {
        self.state().is_its_own = true;
    }

    /// Waits while the same is under way, once all octets have passed; whether the mail was accepted before and must not
    /// be sent. Asked again it says the same.
    pub async fn was_accepted(&self) -> bool {
        loop {
            // Before the look, so that no end is missed after it.
            let ended = self.repeats.0.1.notified();
            {
                let mut state = self.state();
                if !state.is_its_own || state.claimed.is_some() {
                    return state.told.is_some();
                }
                let digest = state.hashes.digest();
                match self.repeats.table().comes(digest, Instant::now().into_std()) {
                    Coming::UnderWay => {}
                    Coming::New => {
                        state.claimed = Some((digest, true));
                        return false;
                    }
                    Coming::Told(told) => {
                        (state.claimed, state.told) = (Some((digest, false)), Some(told));
                        return true;
                    }
                }
            }
            ended.await;
        }
    }

    /// The answer that it had before.
    pub fn told(&self) -> Option<Told> {
        self.state().told.clone()
    }

    /// Its answer was not heard.
    pub fn was_not_heard(&self, told: Told) {
        self.state().told = Some(told);
        self.finish(true);
    }

    /// Its answer was heard, or is none to remember.
    pub fn was_heard(&self) {
        self.finish(false);
    }

    fn finish(&self, remembers: bool) {
        let (digest, told) = {
            let mut state = self.state();
            (state.claimed.take(), state.told.take())
        };
        let Some((digest, is_under_way)) = digest else { return };
        let (now, unheard) = (Instant::now().into_std(), told.filter(|_| remembers));
        let mut table = self.repeats.table();
        match (is_under_way, unheard) {
            (true, unheard) => table.ended(digest, unheard, now),
            (false, Some(told)) => table.remember(digest, told, now),
            (false, None) => {}
        }
        drop(table);
        self.repeats.0.1.notify_waiters();
    }
}

impl Drop for OneMail {
    fn drop(&mut self) {
        // With an answer that was found and not given: the app, or the session, has ended before.
        self.finish(true);
    }
}
