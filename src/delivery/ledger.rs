//! Who keeps a mailbox's counts: this process alone, or with the other replicas of its fleet.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use super::limits::{Elsewhere, Event, Told};
use super::waiting::remembered;
use crate::fleet::{Booking, Concern, Denied, FleetMailbox, News, Reserved, Unreachable};
use crate::outcome::{Cause, Fault, Stage};
use crate::smtp::reply::{Reply, ReplyReader};
use crate::term::Term;

/// The longest refusal that is told to the others, in octets.
const MAX_WORDS: usize = 1024;

/// Who keeps the counts.
pub enum Ledger {
    /// This process: nobody is asked.
    Own,
    /// The fleet.
    Fleet(InFleet),
}

/// This replica's part.
pub struct InFleet {
    mailbox: FleetMailbox,
    news: Mutex<watch::Receiver<News>>,
}

/// Why a mail does not get its time from the fleet.
pub enum NoTime {
    /// For a reason that is its answer, as far as its hold goes.
    Answer(Fault),
    /// The next attempt may get one.
    Again(Fault),
}

impl From<FleetMailbox> for Ledger {
    fn from(mailbox: FleetMailbox) -> Self {
        let mut news = mailbox.news();
        // What is known already is looked at, too.
        news.mark_changed();
        Self::Fleet(InFleet { mailbox, news: Mutex::new(news) })
    }
}

impl Ledger {
    /// What the fleet has said since this was asked last.
    pub fn heard(&self) -> Option<Elsewhere> {
        let Self::Fleet(fleet) = self else { return None };
        let mut news = fleet.news.lock().unwrap_or_else(PoisonError::into_inner);
        if !news.has_changed().unwrap_or(false) {
            return None;
        }
        let news = news.borrow_and_update();
        let fault = |(until, words): &(Instant, String)| (until.into_std(), fault_of(words));
        Some(Elsewhere {
            // Before the engine was asked for the first time it is waited for.
            is_reached: news.is_reached.unwrap_or(true),
            replicas: news.replicas.max(1),
            paused: news.paused.as_ref().map(fault),
            refused: news.refused.as_ref().map(fault),
            used_up: news.used_up.map(Instant::into_std),
        })
    }

    /// Ends when the fleet says something; never where there is none.
    pub async fn changed(&self) {
        let Self::Fleet(fleet) = self else { return std::future::pending().await };
        let mut news = fleet.news.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if news.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// The right to open one more connection; `None` where nobody need be asked.
    ///
    /// # Errors
    /// Why nobody may sign in now.
    pub async fn slot(&self) -> Result<Option<Term>, Fault> {
        let Self::Fleet(fleet) = self else { return Ok(None) };
        loop {
            match fleet.mailbox.slot().await {
                Ok(term) => return Ok(Some(term)),
                Err(Denied::Refused(until, words)) => {
                    return Err(remembered(
                        fault_of(&words),
                        until.saturating_duration_since(Instant::now()),
                    ));
                }
                Err(Denied::NotReached) if fleet.mailbox.unreachable() == Unreachable::Share => {
                    return Ok(Some(fleet.mailbox.alone().await));
                }
                Err(Denied::NotReached) => self.changed().await,
            }
        }
    }

    /// Waits for a mail's time, over the connection of this term; the last wait that was heard stands in `wait`.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn reserve(
        &self,
        term: &Term,
        recipients: usize,
        wait: &mut Option<Instant>,
    ) -> Result<Option<Booking>, NoTime> {
        let Self::Fleet(fleet) = self else { return Ok(None) };
        let reserved = tokio::select! {
            biased;
            () = term.over() => Reserved::Lost,
            reserved = fleet.mailbox.reserve(term, recipients, wait) => reserved,
        };
        let waiting = |cause| Fault::new(Stage::Wait, cause);
        match reserved {
            Reserved::Now(booking) => Ok(Some(booking)),
            Reserved::Paused(time, words) => Err(NoTime::Again(remembered(fault_of(&words), time))),
            Reserved::Refused(time, words) => Err(NoTime::Answer(remembered(fault_of(&words), time))),
            Reserved::UsedUp(time) => Err(NoTime::Answer(waiting(Cause::UsedUp(time)))),
            Reserved::Lost => Err(NoTime::Again(waiting(Cause::TermOver))),
            Reserved::NotReached => Err(NoTime::Again(waiting(Cause::WithoutFleet))),
        }
    }

    /// Whether nothing goes now for want of the engine.
    pub fn is_held(&self) -> bool {
        match self {
            Self::Own => false,
            Self::Fleet(fleet) => {
                let is_reached = fleet.mailbox.news().borrow().is_reached;
                fleet.mailbox.unreachable() == Unreachable::Hold && is_reached == Some(false)
            }
        }
    }

    /// Whether a fleet keeps the counts: its pace binds.
    pub const fn is_fleet(&self) -> bool {
        matches!(self, Self::Fleet(_))
    }

    /// Tells the others what they should know of an event.
    pub fn tell(&self, event: Event<'_>, told: Option<Told>) {
        let Self::Fleet(fleet) = self else { return };
        let (concern, words) = match (told, event) {
            (Some(told), Event::Failed { fault, .. }) => (concern(told), words_of(fault)),
            (_, Event::SignedIn | Event::SecretChanged) => (Concern::SignedIn, String::new()),
            (_, Event::ProbeEnded) => (Concern::ProbeEnded, String::new()),
            _ => return,
        };
        fleet.mailbox.tell(concern, words);
    }
}

const fn concern(told: Told) -> Concern {
    match told {
        Told::Paused(time) => Concern::Paused(time),
        Told::TooMany(time) => Concern::TooMany(time),
        Told::SignInRefused(first, most) => Concern::SignInRefused(first, most),
    }
}

/// Stages at which somebody else's word reaches us.
const STAGES: [Stage; 7] =
    [Stage::Token, Stage::Auth, Stage::Mail, Stage::Rcpt, Stage::Content, Stage::Verdict, Stage::Greeting];

/// A fault for the other replicas: its stage, then Office 365's reply, or a sentence.
fn words_of(fault: &Fault) -> String {
    let mut words = match fault.cause() {
        Cause::Refused(Reply { code, lines }) => {
            format!("{} {code} {}", fault.stage().name(), lines.join("\n"))
        }
        _ => format!("{} - {fault}", fault.stage().name()),
    };
    let end = (0..=MAX_WORDS.min(words.len())).rev().find(|end| words.is_char_boundary(*end));
    words.truncate(end.unwrap_or_default());
    words
}

/// The fault that another replica met. What stands in the engine is foreign text: it is read as a reply is.
fn fault_of(words: &str) -> Fault {
    let (stage, rest) = words.split_once(' ').unwrap_or((words, ""));
    let stage = STAGES.into_iter().find(|known| known.name() == stage).unwrap_or(Stage::Wait);
    let reply = rest.split_once(' ').and_then(|(code, lines)| {
        let mut reader = ReplyReader::default();
        let lines: Vec<&str> = lines.split(['\r', '\n']).collect();
        for (place, line) in lines.iter().enumerate() {
            let dash = if place + 1 < lines.len() { '-' } else { ' ' };
            reader.received(format!("{code}{dash}{line}\r\n").as_bytes());
        }
        reader.next().ok().flatten().filter(|reply| reply.code >= 400)
    });
    let cause = match reply {
        Some(reply) => Cause::Refused(reply),
        None => Cause::SetUp(format!("another replica met it: {}", rest.trim_start_matches("- "))),
    };
    Fault::new(stage, cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_refusal_goes_by_way_of_the_engine_unchanged() {
        let lines = vec!["4.7.0 Temporary".to_string(), "server error".to_string()];
        let fault = Fault::new(Stage::Verdict, Cause::Refused(Reply { code: 451, lines }));
        assert_eq!(fault_of(&words_of(&fault)), fault);
    }

    #[test]
    fn what_is_no_reply_is_a_sentence() {
        let fault = Fault::new(Stage::Token, Cause::TimedOut(Duration::from_secs(3)));
        let got = fault_of(&words_of(&fault));
        assert_eq!(got.stage(), Stage::Token);
        assert!(matches!(got.cause(), Cause::SetUp(_)));
        for foreign in ["", "x", "verdict 250 fine", "auth 999 x"] {
            assert!(matches!(fault_of(foreign).cause(), Cause::SetUp(_)), "{foreign}");
        }
    }
}
