//! Which message is tried next. Pure: names and `now` in, a name out.
//!
//! The index is made of file names alone, so that a hundred thousand messages cost a few megabytes and one reading of the
//! directory.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;

/// Mail that was accepted so lately takes turns with the backlog: a burst or an outage must not keep a password reset
/// waiting for an hour. In seconds.
const FRESH: u64 = 120;
/// A longer message streams, and holds up nobody. In octets.
pub const LARGE: u64 = 256 * 1024;
/// No message waits for as long as this, in seconds: one that is due later was named by a wall clock that was ahead of
/// the one of today, and would wait until that has caught up.
const TOO_FAR: u64 = 24 * 3600;

/// Stands for the sender in the name of a report.
pub const REPORT: u32 = 0;
/// The time in which [`Index::reports_in_a_minute`] reports may be tried, in seconds.
const MINUTE: u64 = 60;

/// What a file name says: `DUE-ID-OCTETS-SENDER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    /// When it is tried, in seconds since 1970.
    pub due: u64,
    /// The message's name in log and queue, as a number.
    pub id: u64,
    /// Octets of the file as it was accepted; 0 while it is written.
    pub octets: u64,
    /// Of the reverse-path, so that what is waiting for one sender can be counted without opening a file.
    pub sender: u32,
}

impl Name {
    /// Reads a file's name; `None` for any that is none of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (due, id, octets, sender) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let name = Self {
            due: due.parse().ok()?,
            id: u64::from_str_radix(id, 16).ok()?,
            octets: octets.parse().ok()?,
            sender: u32::from_str_radix(sender, 16).ok()?,
        };
        // What is written otherwise (a plus sign, a zero too few) would be another file.
        (parts.next().is_none() && name.to_string() == text).then_some(name)
    }

    /// When the message was accepted, in seconds since 1970: the upper part of its id.
    pub const fn created(self) -> u64 {
        self.id >> 20
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:010}-{:x}-{}-{:08x}", self.due, self.id, self.octets, self.sender)
    }
}

/// Takes the one that has been due for longest, or one that is due at a time that cannot be meant.
fn take_due(lane: &mut BTreeMap<Key, Value>, now: u64) -> Option<(Key, Value)> {
    if let Some(first) = lane.first_entry().filter(|first| u64::from(first.key().0) <= now) {
        return Some(first.remove_entry());
    }
    let last = lane.last_entry().filter(|last| u64::from(last.key().0) > now + TOO_FAR);
    last.map(|last| last.remove_entry())
}

/// When and which; as small as it can be, since there is one for each message.
pub(super) type Key = (u32, u64);
pub(super) type Value = (u32, u32);

pub(super) fn entry(name: Name) -> (Key, Value) {
    let due = u32::try_from(name.due).unwrap_or(u32::MAX);
    ((due, name.id), (u32::try_from(name.octets).unwrap_or(u32::MAX), name.sender))
}

pub(super) fn name(key: Key, value: Value) -> Name {
    Name { due: u64::from(key.0), id: key.1, octets: u64::from(value.0), sender: value.1 }
}

/// The messages that wait.
#[derive(Debug, Default)]
pub struct Index {
    /// Accepted lately.
    fresh: BTreeMap<Key, Value>,
    /// All others.
    backlog: BTreeMap<Key, Value>,
    /// Of either age, too long to be sent from memory.
    large: BTreeMap<Key, Value>,
    /// Of mailshim itself: they go when nothing else is due.
    reports: BTreeMap<Key, Value>,
    /// When the last ones were tried.
    reported: VecDeque<u64>,
    /// The most of them that are tried in a minute; `None` for no limit.
    pub reports_in_a_minute: Option<usize>,
    /// Being tried.
    claimed: HashMap<u64, Name>,
    octets: u64,
    /// Which lane the last one came from.
    last: usize,
}

impl Index {
    /// A message waits from now on, or again.
    pub fn add(&mut self, name: Name, now: u64) {
        if self.claimed.remove(&name.id).is_none() {
            self.octets += name.octets;
        }
        let (key, value) = entry(name);
        let lane = match name {
            _ if name.sender == REPORT => &mut self.reports,
            _ if name.octets > LARGE => &mut self.large,
            _ if name.created() + FRESH > now => &mut self.fresh,
            _ => &mut self.backlog,
        };
        lane.insert(key, value);
    }

    /// A claimed message is gone.
    pub fn remove(&mut self, id: u64) {
        if let Some(name) = self.claimed.remove(&id) {
            self.octets -= name.octets;
        }
    }

    /// Takes the message that is to be tried now. Fresh mail, the backlog and large mail take turns; inside a lane the
    /// one that has been due for longest comes first, so that the order of a sender's mail holds there.
    pub fn claim(&mut self, now: u64, large: bool) -> Option<Name> {
        self.age(now);
        for step in 1..=3 {
            let place = (self.last + step) % 3;
            let lane = match place {
                0 => &mut self.fresh,
                1 => &mut self.backlog,
                _ if large => &mut self.large,
                _ => continue,
            };
            if let Some((key, value)) = take_due(lane, now) {
                let name = name(key, value);
                self.claimed.insert(name.id, name);
                self.last = place;
                return Some(name);
            }
        }
        self.claim_report(now)
    }

    /// Takes a report. What was reported waits for nobody, and a flood of reports must not hold up mail.
    fn claim_report(&mut self, now: u64) -> Option<Name> {
        self.reported.retain(|at| *at + MINUTE > now && *at <= now);
        if self.reports_in_a_minute.is_some_and(|most| self.reported.len() >= most) {
            return None;
        }
        let (key, value) = take_due(&mut self.reports, now)?;
        let name = name(key, value);
        self.claimed.insert(name.id, name);
        if self.reports_in_a_minute.is_some() {
            self.reported.push_back(now);
        }
        Some(name)
    }

    /// When a report may be tried next.
    fn next_report(&self) -> Option<u64> {
        let (key, _) = self.reports.first_key_value()?;
        let is_full = self.reports_in_a_minute.is_some_and(|most| self.reported.len() >= most);
        let opens = self.reported.front().filter(|_| is_full).map_or(0, |at| at + MINUTE);
        Some(opens.max(key.0.into()))
    }

    /// What is no longer fresh joins the backlog.
    fn age(&mut self, now: u64) {
        while let Some(first) = self.fresh.first_entry().filter(|first| (first.key().1 >> 20) + FRESH <= now)
        {
            let (key, value) = first.remove_entry();
            self.backlog.insert(key, value);
        }
    }

    /// When the next one is due, in seconds since 1970.
    pub fn next_due(&self, large: bool) -> Option<u64> {
        let lanes = [Some(&self.fresh), Some(&self.backlog), large.then_some(&self.large)];
        let firsts = lanes.into_iter().flatten().filter_map(|lane| lane.first_key_value());
        firsts.map(|(key, _)| u64::from(key.0)).chain(self.next_report()).min()
    }

    /// Forgets all that wait but these.
    pub fn keep_only(&mut self, ids: &HashSet<u64>) {
        for lane in [&mut self.fresh, &mut self.backlog, &mut self.large, &mut self.reports] {
            lane.retain(|(_, id), _| ids.contains(id));
        }
        self.octets = self.names().map(|name| name.octets).sum();
    }

    /// Messages, those under way included.
    pub fn len(&self) -> usize {
        self.fresh.len() + self.backlog.len() + self.large.len() + self.reports.len() + self.claimed.len()
    }

    /// Their octets.
    pub const fn octets(&self) -> u64 {
        self.octets
    }

    /// Every name, in no order.
    pub fn names(&self) -> impl Iterator<Item = Name> + '_ {
        let waiting = [&self.fresh, &self.backlog, &self.large, &self.reports].into_iter().flatten();
        waiting.map(|(key, value)| name(*key, *value)).chain(self.claimed.values().copied())
    }

    /// When the oldest was accepted, in seconds since 1970.
    pub fn oldest(&self) -> Option<u64> {
        self.names().map(Name::created).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_764_000_000;

    fn at(created: u64, number: u64, octets: u64) -> Name {
        Name { due: created, id: (created << 20) | number, octets, sender: 7 }
    }

    fn order(index: &mut Index, now: u64, large: bool) -> Vec<u64> {
        std::iter::from_fn(|| index.claim(now, large)).map(|name| name.id & 0xfff).collect()
    }

    #[test]
    fn a_name_is_read_as_it_is_written() {
        let name = Name { due: 5, id: 0x67a_bcde, octets: 4711, sender: 0xff };
        assert_eq!(name.to_string(), "0000000005-67abcde-4711-000000ff");
        assert_eq!(Name::parse(&name.to_string()), Some(name));
        for text in
            ["", "lost+found", "5-67abcde-4711-ff", "0000000005-67ABCDE-4711-000000ff", ".swp", "a-b-c-d-e"]
        {
            assert_eq!(Name::parse(text), None, "{text}");
        }
    }

    #[test]
    fn fresh_mail_and_backlog_take_turns_and_each_keeps_its_order() {
        let mut index = Index::default();
        (0..4).for_each(|number| index.add(at(NOW - 9000, number, 10), NOW));
        (10..14).for_each(|number| index.add(at(NOW, number, 10), NOW));
        assert_eq!(order(&mut index, NOW, true), [0, 10, 1, 11, 2, 12, 3, 13]);
    }

    #[test]
    fn large_mail_holds_up_nobody() {
        let mut index = Index::default();
        (0..3).for_each(|number| index.add(at(NOW - 9000, number, LARGE + 1), NOW));
        index.add(at(NOW - 10, 9, 10), NOW);
        assert_eq!(order(&mut index, NOW, false), [9]);
        assert_eq!(order(&mut index, NOW, true), [0, 1, 2]);
    }

    #[test]
    fn reports_go_last_and_a_few_in_a_minute() {
        let mut index = Index { reports_in_a_minute: Some(2), ..Index::default() };
        let report = |number| Name { sender: REPORT, ..at(NOW - 9000, number, 10) };
        (0..5).for_each(|number| index.add(report(number), NOW));
        index.add(at(NOW, 9, 10), NOW);
        assert_eq!(order(&mut index, NOW, true), [9, 0, 1]);
        assert_eq!((index.len(), index.next_due(true)), (6, Some(NOW + 60)));
        assert_eq!(order(&mut index, NOW + 59, true), [0; 0]);
        assert_eq!(order(&mut index, NOW + 60, true), [2, 3]);
        let mut free = Index::default();
        (0..50).for_each(|number| free.add(report(number), NOW));
        assert_eq!(order(&mut free, NOW, true).len(), 50);
    }

    #[test]
    fn what_is_not_due_waits_and_is_known() {
        let mut index = Index::default();
        index.add(Name { due: NOW + 30, ..at(NOW, 1, 10) }, NOW);
        assert_eq!((index.claim(NOW, true), index.next_due(true)), (None, Some(NOW + 30)));
        let claimed = index.claim(NOW + 30, true).unwrap();
        assert_eq!((index.len(), index.octets()), (1, 10));
        index.add(Name { due: NOW + 90, ..claimed }, NOW);
        assert_eq!((index.len(), index.octets(), index.next_due(true)), (1, 10, Some(NOW + 90)));
        let again = index.claim(NOW + 90, true).unwrap();
        index.remove(again.id);
        assert_eq!((index.len(), index.octets(), index.oldest()), (0, 0, None));
    }

    #[test]
    fn a_wall_clock_that_was_put_back_keeps_nobody_waiting() {
        let mut index = Index::default();
        index.add(Name { due: NOW + 30, ..at(NOW - 9000, 1, 10) }, NOW);
        index.add(Name { due: NOW + 365 * 86_400, ..at(NOW + 365 * 86_400, 2, 10) }, NOW);
        index.add(Name { due: NOW + 365 * 86_400, ..at(NOW - 9000, 3, 10) }, NOW);
        let mut claimed = order(&mut index, NOW, true);
        claimed.sort_unstable();
        assert_eq!(claimed, [2, 3]);
    }

    #[test]
    fn fresh_mail_ages() {
        let mut index = Index::default();
        index.add(at(NOW, 1, 10), NOW);
        index.add(at(NOW - 9000, 2, 10), NOW);
        index.add(at(NOW - 9000, 3, 10), NOW);
        index.add(at(NOW + 500, 4, 10), NOW + 500);
        assert_eq!(order(&mut index, NOW + 500, true), [2, 4, 3, 1]);
    }
}
