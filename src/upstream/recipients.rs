//! Where each recipient of a message stands while its transaction goes on, pure.

use crate::message::Envelope;
use crate::outcome::{Cause, Fault, Outcome, RecipientOutcome, Stage};

/// Where a recipient stands.
#[derive(Debug)]
pub(super) enum Standing {
    /// No reply has come yet, or none that is about this recipient alone.
    Open,
    /// RCPT was taken.
    Taken,
    /// RCPT was refused, or cannot be written.
    Refused(Fault),
    /// The server takes no more recipients in this transaction.
    NoRoom(Fault),
    /// Not asked for any more, since the server takes no more.
    NotAsked,
}

/// Where all recipients stand, in the envelope's order.
#[derive(Debug)]
pub(super) struct Standings(Vec<Standing>);

impl Standings {
    pub(super) fn new(envelope: &Envelope) -> Self {
        Self(envelope.recipients.iter().map(|_| Standing::Open).collect())
    }

    /// A server without SMTPUTF8 takes no address that is not ASCII; the others it may take.
    pub(super) fn refuse_what_needs_smtputf8(&mut self, envelope: &Envelope) {
        for (standing, recipient) in self.0.iter_mut().zip(&envelope.recipients) {
            let address = recipient.address.to_string();
            if !address.is_ascii() {
                let cause = Cause::ExtensionMissing("SMTPUTF8");
                *standing = Standing::Refused(Fault::new(Stage::Rcpt, cause).about(address));
            }
        }
    }

    /// Those whom RCPT is sent for.
    pub(super) fn asked(&self) -> impl Iterator<Item = usize> {
        let open = |(index, standing)| matches!(standing, &Standing::Open).then_some(index);
        self.0.iter().enumerate().filter_map(open)
    }

    pub(super) fn set(&mut self, index: usize, standing: Standing) {
        if let Some(place) = self.0.get_mut(index) {
            *place = standing;
        }
    }

    pub(super) fn any_taken(&self) -> bool {
        self.0.iter().any(|standing| matches!(standing, Standing::Taken))
    }

    /// The refusal that stands for all of them: the first, but a 5xx before a 4xx.
    pub(super) fn worst(&self) -> Option<&Fault> {
        let refused = || {
            self.0.iter().filter_map(|standing| match standing {
                Standing::Refused(fault) | Standing::NoRoom(fault) => Some(fault),
                _ => None,
            })
        };
        refused().find(|fault| is_5xx(fault)).or_else(|| refused().next())
    }

    /// What became of each, where `outcome` became of the mail for those who were not refused alone.
    pub(super) fn outcomes(&self, outcome: &Outcome) -> Vec<RecipientOutcome> {
        // Without one who was taken another transaction would meet the same: that is a refusal, not a matter of room.
        let another_may_do = self.any_taken();
        let of = |standing: &Standing| match standing {
            Standing::Open | Standing::Taken => RecipientOutcome::Settled(outcome.clone()),
            Standing::NotAsked => RecipientOutcome::NotTried,
            Standing::NoRoom(_) if another_may_do => RecipientOutcome::NotTried,
            Standing::Refused(fault) | Standing::NoRoom(fault) => {
                RecipientOutcome::Settled(Outcome::Failed(fault.clone()))
            }
        };
        self.0.iter().map(of).collect()
    }
}

/// A 5xx of the server's.
pub(super) const fn is_5xx(fault: &Fault) -> bool {
    matches!(fault.cause(), Cause::Refused(reply) if reply.code >= 500)
}
