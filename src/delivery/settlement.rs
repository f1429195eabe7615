//! What an attempt from the spool means: for each recipient, for the message, and for the next attempt. Pure.

use std::time::Duration;

use crate::outcome::{Class, Context, Fault, Judgement, Outcome, Pause, RecipientOutcome, judge};
use crate::queue::entry::{self, Attempt, Detail, Entry, Verdict};
use crate::queue::schedule::{self, Reason};
use crate::spool::Then;

/// Recipients of which the same became.
#[derive(Clone, Debug)]
pub struct Group {
    /// What.
    pub outcome: Outcome,
    /// Which, by their places in the entry.
    pub places: Vec<usize>,
    /// The same in the record's words.
    pub verdict: Verdict,
    fix: Option<String>,
    detail: Option<Detail>,
}

/// What became of the recipients of one attempt.
#[derive(Clone, Debug, Default)]
pub struct Verdicts {
    /// In the order of their first recipients.
    pub groups: Vec<Group>,
    /// The reason of each that is tried again, with what the other side asked for.
    reasons: Vec<(Reason, Option<Duration>)>,
}

/// What the next attempt depends on besides the verdicts.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Now, in seconds since 1970.
    pub now: u64,
    /// Seconds that the message has lived since its last attempt.
    pub since: u64,
    /// `MAILSHIM_SPOOL_LIFETIME`.
    pub lifetime: Duration,
    /// From 0 to 1.
    pub chance: f64,
}

impl Verdicts {
    /// Of these outcomes, each of the recipient at the same place of `places`.
    pub fn new(outcomes: &[RecipientOutcome], places: &[usize], context: &Context<'_>) -> Self {
        let mut verdicts = Self::default();
        for (outcome, place) in outcomes.iter().zip(places) {
            match outcome {
                RecipientOutcome::Settled(outcome) => verdicts.settled(outcome, *place, context),
                RecipientOutcome::NotTried => verdicts.reasons.push((Reason::Rest, None)),
            }
        }
        verdicts
    }

    fn settled(&mut self, outcome: &Outcome, place: usize, context: &Context<'_>) {
        let (verdict, fix, detail) = match outcome {
            Outcome::Accepted(_) | Outcome::Queued(_) => (Verdict::Delivered, None, None),
            Outcome::Unknown(fault) => {
                self.reasons.push((Reason::Passing, fault.retry_after()));
                (Verdict::Unknown, None, Some(detail(fault, &judge(fault, context))))
            }
            Outcome::Failed(fault) => {
                let judgement = judge(fault, context);
                let reason = reason(judgement.class);
                self.reasons.extend(reason.map(|reason| (reason, fault.retry_after())));
                let detail = detail(fault, &judgement);
                (reason.map_or(Verdict::Refused, |_| Verdict::Deferred), judgement.hint, Some(detail))
            }
        };
        let same = |group: &&mut Group| group.verdict == verdict && reply(&group.outcome) == reply(outcome);
        match self.groups.iter_mut().find(same) {
            Some(group) => group.places.push(place),
            None => {
                self.groups.push(Group {
                    outcome: outcome.clone(),
                    places: vec![place],
                    verdict,
                    fix,
                    detail,
                });
            }
        }
    }

    /// An administrator must act before any of this mailbox's mail goes.
    pub fn is_set_up_fault(&self) -> bool {
        self.reasons.iter().any(|(reason, _)| *reason == Reason::SetUp)
    }

    /// What is recorded of the attempt, and what becomes of the message. Those who would be tried again are given up where
    /// its lifetime has ended.
    pub fn settle(&mut self, entry: &Entry, moment: Moment) -> (Attempt, Then) {
        let Moment { now, since, lifetime, chance } = moment;
        let is_set_up = self.is_set_up_fault();
        let lived = entry.lived() + if is_set_up { 0 } else { since };
        let tries = entry.tries() + 1;
        let pauses =
            self.reasons.iter().map(|(reason, asked)| schedule::pause(*reason, tries, *asked, chance));
        let pause = pauses.min();
        if pause.is_some() && !is_set_up && schedule::is_over(lived, lifetime) {
            self.give_up();
        } else if let Some(pause) = pause {
            let next = now + pause.as_secs();
            return (self.attempt(now, lived, next), Then::Again(next));
        }
        let has_failed = self.groups.iter().any(|group| !matches!(group.verdict, Verdict::Delivered));
        let then = if has_failed || !entry.failed().is_empty() { Then::Dead } else { Then::Remove };
        (self.attempt(now, lived, 0), then)
    }

    fn give_up(&mut self) {
        for group in &mut self.groups {
            if matches!(group.verdict, Verdict::Deferred | Verdict::Unknown) {
                group.verdict = Verdict::Expired;
            }
        }
    }

    fn attempt(&self, at: u64, lived: u64, next: u64) -> Attempt {
        let results = self.groups.iter().map(|group| entry::Result {
            verdict: group.verdict,
            recipients: group.places.clone(),
            reply: reply(&group.outcome),
            fix: group.fix.clone(),
            detail: group.detail.clone(),
        });
        Attempt { at, lived, next, results: results.collect(), reported: Vec::new() }
    }
}

fn detail(fault: &Fault, judgement: &Judgement) -> Detail {
    Detail {
        rule: judgement.rule.to_string(),
        status: judgement.enhanced.to_string(),
        words: fault.in_plain_words(),
        reply: fault.refusal().map(ToString::to_string),
    }
}

fn reply(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Accepted(reply) | Outcome::Queued(reply) => reply.to_string(),
        Outcome::Failed(fault) | Outcome::Unknown(fault) => fault.to_string(),
    }
}

/// Why a recipient is tried again; `None` where it never will be.
const fn reason(class: Class) -> Option<Reason> {
    // How long the mailbox is paused for its account knows, and lets nothing be tried before.
    match class {
        Class::Permanent => None,
        Class::Transient | Class::Throttled(Pause::Seconds | Pause::NextMinute | Pause::Day) => {
            Some(Reason::Passing)
        }
        Class::Throttled(Pause::ContinuousErrors) => Some(Reason::Paused(Duration::from_secs(900))),
        Class::SetUp => Some(Reason::SetUp),
    }
}

/// Whether this fault is about the mailbox's set-up, not about this message's.
pub fn holds_the_mailbox(fault: &Fault, context: &Context<'_>) -> bool {
    use crate::outcome::Scope;
    let judgement = judge(fault, context);
    judgement.class == Class::SetUp
        && matches!(judgement.scope, Scope::Mailbox | Scope::Service)
        && !judgement.about_sender
}

#[cfg(test)]
#[path = "verdicts_tests.rs"]
mod tests;
