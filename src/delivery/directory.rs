//! The mailboxes that sign in: the configured one, and for the senders of `MAILSHIM_LOGIN_AS_SENDER` their own.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::account::Account;
use super::ledger::Ledger;
use super::left::Left;
use super::limits::Limits;
use crate::fleet::Fleet;
use crate::identity::Identity;
use crate::life::Life;
use crate::message::sender::AddressList;
use crate::outcome::Fault;
use crate::smtp::path::Address;
use crate::telemetry;
use crate::upstream::Pool;
use crate::upstream::connector::Connector;

/// Mailboxes of senders that are kept at once, each with its connections and its limits.
const MAX_SENDERS: usize = 256;
/// Mailboxes of senders that are remembered as kept back when they are no longer kept themselves.
const MAX_LEFT: usize = 1024;
/// A sender's mailbox that was not used for this long is forgotten: its count of the day is empty by then.
const FORGET_AFTER: Duration = Duration::from_secs(25 * 60 * 60);

/// What every mailbox is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// `MAILSHIM_MAX_CONNECTIONS`.
    pub connections: usize,
    /// `MAILSHIM_MESSAGES_PER_MINUTE`.
    pub messages_per_minute: usize,
    /// `MAILSHIM_RECIPIENTS_PER_DAY`.
    pub recipients_per_day: u64,
}

impl Allowance {
    fn limits(self) -> Limits {
        Limits::new(self.messages_per_minute, self.recipients_per_day, self.connections)
    }
}

/// All of them.
pub struct Accounts {
    main: Arc<Account>,
    /// Senders that sign in as their own mailbox; `None` for nobody.
    login_as_sender: Option<AddressList>,
    identity: Arc<Identity>,
    connector: Connector,
    allowance: Allowance,
    fleet: Option<Fleet>,
    life: watch::Receiver<Life>,
    senders: Mutex<Senders>,
}

/// The mailboxes of senders, and when each was last used; and what is left of those that had to make room.
#[derive(Default)]
struct Senders {
    kept: HashMap<String, (Arc<Account>, Instant)>,
    left: HashMap<String, Left>,
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts").field("main", &self.main.mailbox()).finish_non_exhaustive()
    }
}

/// As many senders' mailboxes are in use as are kept at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

impl Accounts {
    /// The configured mailbox, and the senders that sign in as themselves. No mail waits for longer than `life` says.
    pub fn new(
        identity: Arc<Identity>,
        connector: Connector,
        allowance: Allowance,
        login_as_sender: Option<AddressList>,
        fleet: Option<Fleet>,
        life: watch::Receiver<Life>,
    ) -> Self {
        let pool = Pool::new(connector.clone(), allowance.connections);
        let limits = (allowance.limits(), ledger(fleet.as_ref(), identity.mailbox()));
        let main = Arc::new(Account::new(Arc::clone(&identity), pool, limits, life.clone()));
        Self { main, login_as_sender, identity, connector, allowance, fleet, life, senders: Mutex::default() }
    }

    /// The configured mailbox.
    pub const fn main(&self) -> &Arc<Account> {
        &self.main
    }

    /// The address of the mailbox that a mail of this sender is sent through.
    pub fn mailbox_of<'a>(&'a self, sender: Option<&'a Address>) -> &'a str {
        self.own_mailbox(sender).map_or(self.main.mailbox(), Address::as_str)
    }

    /// Why no mail of this sender can be sent today, if so.
    pub fn used_up(&self, sender: Option<&Address>) -> Option<Fault> {
        self.of(sender).ok()?.used_up()
    }

    /// The sender, if it signs in as itself, through a mailbox that is not the configured one.
    fn own_mailbox<'a>(&self, sender: Option<&'a Address>) -> Option<&'a Address> {
        let list = self.login_as_sender.as_ref()?;
        let is_main = |sender: &Address| sender.as_str().eq_ignore_ascii_case(self.main.mailbox());
        sender.filter(|sender| list.holds(sender) && !is_main(sender))
    }

    /// The mailbox that a mail of this sender is sent through.
    ///
    /// # Errors
    /// Too many at once.
    pub fn of(&self, sender: Option<&Address>) -> Result<Arc<Account>, TooMany> {
        let Some(sender) = self.own_mailbox(sender) else { return Ok(Arc::clone(&self.main)) };
        let mailbox = sender.as_str().to_ascii_lowercase();
        let now = Instant::now();
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((account, used)) = senders.kept.get_mut(&mailbox) {
            *used = now;
            return Ok(Arc::clone(account));
        }
        senders.make_room(now)?;
        let identity = Arc::new(self.identity.of_mailbox(sender.as_str()));
        let pool = Pool::new(self.connector.clone(), self.allowance.connections);
        let limits = self.allowance.limits().of_a_sender();
        let (limits, refused_with) = match senders.left.remove(&mailbox).filter(|left| left.holds(now)) {
            Some(left) => (limits.kept_back_by(left.kept_back), left.refused_with),
            None => (limits, None),
        };
        let limits = (limits, ledger(self.fleet.as_ref(), &mailbox));
        let account = Account::new(identity, pool, limits, self.life.clone());
        let account = Arc::new(account.of_a_sender().refused_with(refused_with));
        senders.kept.insert(mailbox, (Arc::clone(&account), now));
        Ok(account)
    }

    /// What keeps mail back now, for people: the configured mailbox's first, then the senders' by name; no more than
    /// `most`.
    pub fn obstacles(&self, most: usize) -> Vec<telemetry::Obstacle> {
        let mut senders = self.all_senders();
        senders.sort_by(|one, other| one.mailbox().cmp(other.mailbox()));
        [&self.main].into_iter().chain(&senders).flat_map(|account| account.obstacles()).take(most).collect()
    }

    fn all_senders(&self) -> Vec<Arc<Account>> {
        let senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        senders.kept.values().map(|(account, _)| Arc::clone(account)).collect()
    }

    /// Closes all idle connections with QUIT.
    pub async fn close(&self) {
        for account in self.all_senders().iter().chain([&self.main]) {
            account.close().await;
        }
    }
}

/// Who keeps the counts of this mailbox.
fn ledger(fleet: Option<&Fleet>, mailbox: &str) -> Ledger {
    fleet.map_or(Ledger::Own, |fleet| fleet.mailbox(mailbox).into())
}

impl Senders {
    /// Forgets what was not used for long, and the one unused for longest if there still is no room. Idle connections go
    /// with their pool.
    fn make_room(&mut self, now: Instant) -> Result<(), TooMany> {
        self.kept.retain(|_, (_, used)| now < *used + FORGET_AFTER);
        if self.kept.len() < MAX_SENDERS {
            return Ok(());
        }
        // Whoever holds the account has a mail under way.
        let unused = self.kept.iter().filter(|(_, (account, _))| Arc::strong_count(account) == 1);
        let oldest = unused.min_by_key(|(_, (_, used))| *used).map(|(mailbox, _)| mailbox.clone());
        let mailbox = oldest.ok_or(TooMany)?;
        if let Some(left) = self.kept.remove(&mailbox).and_then(|(account, _)| account.left()) {
            self.remember(mailbox, left, now);
        }
        Ok(())
    }

    fn remember(&mut self, mailbox: String, left: Left, now: Instant) {
        if self.left.len() >= MAX_LEFT {
            self.left.retain(|_, left| left.holds(now));
        }
        if self.left.len() >= MAX_LEFT {
            let next =
                self.left.iter().min_by_key(|(_, left)| left.until()).map(|(mailbox, _)| mailbox.clone());
            next.map(|mailbox| self.left.remove(&mailbox));
        }
        self.left.insert(mailbox, left);
    }
}
