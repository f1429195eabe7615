//! What is asked of a mailbox's [`limits`](super::limits), what they learn, and what they answer.

use std::time::{Duration, Instant};

use crate::outcome::Fault;

/// What a mail may do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Go.
    Now,
    /// Its turn by our own pace comes then. At the end of its hold it goes anyway, unless `believed`: Office 365 has
    /// refused for rate within the last minute.
    Paced {
        /// When.
        until: Instant,
        /// Office 365 counts as we do.
        believed: bool,
    },
    /// Office 365 throttled the mailbox until then, as far as is known.
    Paused(Instant, Fault),
    /// Nothing is tried before then.
    Refused(Instant, Fault),
    /// Today's recipients are used up until then.
    UsedUp(Instant),
}

/// What is asked of the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question<'a> {
    /// May a mail of this sender (all that Exchange judges it by, in one text) go?
    Mail(&'a str),
    /// Are recipients left of today's, whatever else keeps a mail back?
    Recipients,
    /// May somebody sign in?
    SignIn,
}

/// What the limits learn.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A message for so many recipients is about to be submitted: it counts, whatever Office 365 says of it. Its
    /// recipients are reserved until [`Event::Ended`], and count for today only if it is accepted.
    Submitted {
        /// How many.
        recipients: usize,
    },
    /// Office 365 is asked about the message counted at that time: its minute begins now. Mails that were counted
    /// together and then waited for a connection would else come too close to those of the next minute.
    Submitting {
        /// When [`Event::Submitted`] was learned.
        counted_at: Instant,
    },
    /// The message counted at that time has not reached Office 365: another one may have its place in the minute.
    Withdrawn {
        /// When [`Event::Submitted`] was learned.
        counted_at: Instant,
    },
    /// The message for so many recipients is done with: releases what [`Event::Submitted`] reserved.
    Ended {
        /// How many.
        recipients: usize,
    },
    /// Office 365 has taken a message of this sender.
    Accepted {
        /// All that Exchange judges a sender by.
        sender: &'a str,
        /// For how many.
        recipients: usize,
    },
    /// A sign-in, or a mail of this sender, came to nothing.
    Failed {
        /// All that Exchange judges a sender by; empty where it was no mail's, or is not known.
        sender: &'a str,
        /// Why.
        fault: &'a Fault,
    },
    /// Somebody goes to sign in. Where the breaker is not closed this is the probe: [`Event::ProbeEnded`] must follow.
    SignInBegins,
    /// The probe is done. If it never got as far (its app hung up, no connection came about, it used one that was
    /// signed in before), the next one may try at once.
    ProbeEnded,
    /// A sign-in succeeded.
    SignedIn,
    /// The secret has changed: what was refused may pass.
    SecretChanged,
    /// The fleet has said how the mailbox stands.
    Fleet(&'a Elsewhere),
}

/// How a mailbox stands by what the whole fleet knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// Its engine answers: it keeps the minute and the day. Else this replica keeps to its share of them.
    pub is_reached: bool,
    /// Replicas that share, at least 1.
    pub replicas: usize,
    /// Office 365 has told one of them to pause until then.
    pub paused: Option<(Instant, Fault)>,
    /// It has refused the sign-in of one of them: nobody tries until then.
    pub refused: Option<(Instant, Fault)>,
    /// The day's recipients are used up until then.
    pub used_up: Option<Instant>,
}

/// What the other replicas of a fleet should hear of what was learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// A pause of this time.
    Paused(Duration),
    /// One connection fewer, and a pause of this time.
    TooMany(Duration),
    /// No sign-in for the first time, doubled with each repetition up to the second.
    SignInRefused(Duration, Duration),
}

/// The breaker on sign-ins: repeated wrong passwords lock a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaker {
    /// Sign-ins are made.
    Closed,
    /// A sign-in was refused, and none has succeeded since.
    Open,
    /// One mail is probing; the others still hear the last refusal.
    HalfOpen,
}

/// How a mailbox stands once something was learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Connections that may be used now: one less after each 432, one more after a quiet time.
    pub connections: usize,
    /// The breaker.
    pub breaker: Breaker,
    /// What concerns the others, where there are others.
    pub told: Option<Told>,
}
