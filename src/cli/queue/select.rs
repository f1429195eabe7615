//! Which messages a command is about. Pure.

use std::collections::HashSet;
use std::time::Duration;

use clap::ArgMatches;

use super::view::View;
use crate::cli::arguments::Who;

/// What was asked for; nothing means all.
#[derive(Debug, Default)]
pub struct Selection {
    pub ids: HashSet<u64>,
    from: Option<Who>,
    to: Option<Who>,
    older: Option<Duration>,
    states: Vec<String>,
}

impl Selection {
    pub fn of(given: &ArgMatches) -> Self {
        let ids = given.try_get_many::<u64>("id").ok().flatten();
        Self {
            ids: ids.into_iter().flatten().copied().collect(),
            from: given.get_one::<Who>("from").cloned(),
            to: given.get_one::<Who>("to").cloned(),
            older: given.get_one::<Duration>("older").copied(),
            states: given.get_many::<String>("state").into_iter().flatten().cloned().collect(),
        }
    }

    /// Whether anything narrows it.
    pub fn is_narrow(&self) -> bool {
        let filters = self.from.is_some() || self.to.is_some() || self.older.is_some();
        filters || !self.ids.is_empty() || !self.states.is_empty()
    }

    /// Whether this message was named.
    pub fn is_named(&self, view: &View) -> bool {
        self.ids.contains(&view.id) || self.states.iter().any(|state| state == view.state)
    }

    /// Whether a message of this state can be meant.
    pub fn wants_state(&self, state: &str) -> bool {
        self.states.is_empty() || self.states.iter().any(|wanted| wanted == state)
    }

    /// Whether this message is meant. A sender or recipient counts as the app gave it and as it is sent.
    pub fn holds(&self, view: &View, now: u64) -> bool {
        let from = |who: &Who| who.is(view.from.as_deref()) || who.is(view.given_from.as_deref());
        let to = |who: &Who| {
            let sent = view.recipients.iter().map(|recipient| &recipient.address);
            sent.chain(&view.given_recipients).any(|address| who.is(Some(address)))
        };
        (self.ids.is_empty() || self.ids.contains(&view.id))
            && self.wants_state(view.state)
            && self.from.as_ref().is_none_or(from)
            && self.to.as_ref().is_none_or(to)
            && self.older.is_none_or(|older| now.saturating_sub(view.created) >= older.as_secs())
    }
}
