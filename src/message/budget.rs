//! The memory that all sessions share, in two parts: one for content, and one for envelopes and header blocks, of which
//! each session has some for certain. However many mails come at once, together they take no more.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::smtp::command::Recipient;

/// Content of all messages together that is held in memory, in octets.
pub const MAX_HELD_TOGETHER: usize = 6 * 1024 * 1024;
/// Envelopes and header blocks that a session may keep whatever the others do, in octets.
pub const CERTAIN_SHARE: usize = 24 * 1024;
/// What envelopes and header blocks of all sessions may take beyond that: 3 MiB in all with 64 sessions.
pub const MAX_COMMON_SHARE: usize = 3 * 1024 * 1024 - 64 * CERTAIN_SHARE;

/// The memory that all sessions share.
#[derive(Clone, Debug, Default)]
pub struct Budget {
    content: Arc<AtomicUsize>,
    common: Arc<AtomicUsize>,
}

impl Budget {
    /// Takes so many octets for content if they are left.
    pub(super) fn take(&self, octets: usize) -> bool {
        take(&self.content, octets, MAX_HELD_TOGETHER)
    }

    pub(super) fn give_back(&self, octets: usize) {
        self.content.fetch_sub(octets, Ordering::Relaxed);
    }

    /// Octets of content in use.
    pub fn used(&self) -> usize {
        self.content.load(Ordering::Relaxed)
    }

    /// Octets of envelopes and header blocks in use beyond what the sessions have for certain.
    pub fn common_used(&self) -> usize {
        self.common.load(Ordering::Relaxed)
    }

    /// The share of a new session.
    pub fn share(&self) -> Share {
        let common = Arc::clone(&self.common);
        Share(Arc::new(Shared { common, kept: Mutex::default() }))
    }
}

fn take(used: &AtomicUsize, octets: usize, most: usize) -> bool {
    let take = |used: usize| (used + octets <= most).then_some(used + octets);
    used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
}

/// What one session keeps of envelopes and header blocks.
#[derive(Clone, Debug)]
pub struct Share(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    common: Arc<AtomicUsize>,
    kept: Mutex<Kept>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    envelope: usize,
    header: usize,
}

impl Kept {
    const fn in_common(self) -> usize {
        (self.envelope + self.header).saturating_sub(CERTAIN_SHARE)
    }
}

impl Share {
    /// Room for an envelope of so many octets in place of the last one; false, and nothing changes, if there is none.
    pub fn keep_envelope(&self, octets: usize) -> bool {
        self.keep(|kept| kept.envelope = octets)
    }

    /// Room for a header block, likewise.
    pub fn keep_header(&self, octets: usize) -> bool {
        self.keep(|kept| kept.header = octets)
    }

    fn keep(&self, change: impl FnOnce(&mut Kept)) -> bool {
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wanted = *kept;
        change(&mut wanted);
        let (before, after) = (kept.in_common(), wanted.in_common());
        if after > before && !take(&self.0.common, after - before, MAX_COMMON_SHARE) {
            return false;
        }
        self.0.common.fetch_sub(before.saturating_sub(after), Ordering::Relaxed);
        *kept = wanted;
        true
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let kept = self.kept.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.common.fetch_sub(kept.in_common(), Ordering::Relaxed);
    }
}

/// What a list of recipients takes beside the text of one of them: its place, twice while the list grows.
const PLACE: usize = 2 * size_of::<Recipient>();
/// What the allocator adds to a text.
const ALLOCATED: usize = 16;

/// The memory that one recipient takes, in octets.
pub fn memory_of(recipient: &Recipient) -> usize {
    let texts = [Some(recipient.address.as_str()), recipient.notify.as_deref(), recipient.orcpt.as_deref()];
    texts.into_iter().flatten().fold(PLACE, |octets, text| octets + ALLOCATED + text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_shared_and_bounded() {
        let budget = Budget::default();
        assert!(budget.take(MAX_HELD_TOGETHER));
        assert!(!budget.take(1));
        budget.give_back(10);
        assert!(budget.take(10));
        assert_eq!(budget.used(), MAX_HELD_TOGETHER);
    }

    #[test]
    fn a_session_has_its_own_share_whatever_the_others_keep() {
        let budget = Budget::default();
        let (greedy, modest) = (budget.share(), budget.share());
        assert!(greedy.keep_header(MAX_COMMON_SHARE));
        assert!(greedy.keep_envelope(CERTAIN_SHARE));
        assert!(!greedy.keep_envelope(CERTAIN_SHARE + 1), "no more is left");
        assert!(modest.keep_envelope(CERTAIN_SHARE));
        assert!(!modest.keep_header(1));
        assert!(greedy.keep_header(MAX_COMMON_SHARE - 1));
        assert!(modest.keep_header(1), "what one gives back is there for the other");
        drop(greedy);
        assert_eq!(budget.common_used(), 1);
        drop(modest);
        assert_eq!(budget.common_used(), 0);
    }
}
