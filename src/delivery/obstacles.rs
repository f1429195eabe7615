//! What keeps mail of one mailbox back, for people: nothing is decided by it. Pure, beside the [`limits`](super::limits)
//! that it looks at.

use std::time::Instant;

use super::limits::{Breaker, Limits, Remembered, Turn};
use crate::outcome::{Cause, Fault, Stage};

/// What keeps mail back, and whose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// Which limit.
    pub kind: ObstacleKind,
    /// All that Exchange judges the one sender by whose mail is kept back; `None` for all mail of the mailbox.
    pub sender: Option<String>,
    /// Since when, where that is known.
    pub since: Option<Instant>,
    /// When a mail is let go, or tried again.
    pub until: Instant,
    /// Why.
    pub fault: Fault,
}

/// The limit that keeps mail back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObstacleKind {
    /// The breaker on sign-ins, in this state.
    SignIn(Breaker),
    /// Office 365 throttled the mailbox.
    Throttled,
    /// A refusal is remembered.
    Refused,
    /// `MAILSHIM_MESSAGES_PER_MINUTE`.
    Paced,
    /// `MAILSHIM_RECIPIENTS_PER_DAY`.
    UsedUp,
}

/// Senders of one mailbox that [`Limits::obstacles`] names.
const SENDERS_NAMED: usize = 5;

impl Limits {
    /// All that keeps mail back now, what concerns the whole mailbox first: for people, nothing is decided by it.
    pub fn obstacles(&mut self, now: Instant) -> Vec<Obstacle> {
        let known = |kind, sender, remembered: &Remembered| Obstacle {
            kind,
            sender,
            since: Some(remembered.since),
            until: remembered.until,
            fault: remembered.fault.clone(),
        };
        // A breaker whose time is over stays open until a sign-in succeeds.
        let sign_in =
            self.refused_sign_in.iter().map(|one| known(ObstacleKind::SignIn(self.breaker), None, one));
        let paused = self.pause.iter().filter(|paused| now < paused.until);
        let paused = paused.map(|paused| known(ObstacleKind::Throttled, None, paused));
        let whole = self.memory.get("").filter(|refused| now < refused.until);
        let whole = whole.map(|refused| known(ObstacleKind::Refused, None, refused));
        let senders =
            self.memory.iter().filter(|(sender, refused)| !sender.is_empty() && now < refused.until);
        let senders = senders
            .take(SENDERS_NAMED)
            .map(|(sender, one)| known(ObstacleKind::Refused, Some(sender.clone()), one));
        let mut all: Vec<_> = sign_in.chain(paused).chain(whole).chain(senders).collect();
        let ours = match self.count(now) {
            Turn::Paced { until, .. } => Some((ObstacleKind::Paced, until, Cause::Paced(until - now))),
            Turn::UsedUp(until) => Some((ObstacleKind::UsedUp, until, Cause::UsedUp(until - now))),
            _ => None,
        };
        all.extend(ours.map(|(kind, until, cause)| {
            let fault = Fault::new(Stage::Wait, cause);
            Obstacle { kind, sender: None, since: None, until, fault }
        }));
        all
    }
}
