//! What all commands of `queue` do first: look into the spool, and say why that cannot be done.

use std::io::{self, IsTerminal as _};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::SystemTime;

use super::select::Selection;
use super::view::View;
use crate::redact::without_error_numbers;
use crate::spool::{Browser, Found, Whereabouts, owner_of};

/// Why the command fails.
pub(super) struct Failed {
    pub code: u8,
    /// Empty where all was said.
    pub words: String,
}

impl Failed {
    pub const fn told() -> Self {
        Self { code: 1, words: String::new() }
    }
}

impl From<String> for Failed {
    fn from(words: String) -> Self {
        Self { code: 1, words }
    }
}

/// Looks into the spool, as the user whose it is: what root would leave there that user could not read.
pub(super) fn open(directory: &Path) -> Result<Option<Browser>, Failed> {
    let us = rustix::process::geteuid();
    let in_words = |path: &Path, owner: Option<u32>, error: &io::Error| {
        let whose = match owner.filter(|owner| *owner != us.as_raw()) {
            Some(owner) if error.kind() == io::ErrorKind::PermissionDenied => format!(
                ": it belongs to user {owner}, and you are {} (run this as that user; in a container: docker exec -u {owner})",
                us.as_raw()
            ),
            _ => String::new(),
        };
        format!("{} cannot be read: {}{whose}", path.display(), without_error_numbers(&error.to_string()))
    };
    let spool = Browser::open(directory).map_err(|error| in_words(directory, owner_of(directory), &error))?;
    let Some(spool) = spool else { return Ok(None) };
    if us.is_root() && spool.owner() != 0 {
        // Nothing but this thread runs yet. Without the right to do it, root has what rights it has.
        let user = rustix::process::Uid::from_raw(spool.owner());
        let _ = rustix::thread::set_thread_res_uid(user, user, user);
    }
    spool.try_to_read().map_err(|error| in_words(spool.folder(), Some(spool.owner()), &error))?;
    Ok(Some(spool))
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The terminal's width; `None` where nobody looks.
pub(super) fn width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|width| *width > 0)
}

/// The directories in which a message of the wanted states can lie.
fn places(selection: &Selection) -> Vec<Whereabouts> {
    let is_wanted = |place: &Whereabouts| match place {
        Whereabouts::Queue => selection.wants_state("waiting") || selection.wants_state("deferred"),
        Whereabouts::Dead => selection.wants_state("dead"),
        Whereabouts::Damaged => selection.wants_state("damaged"),
    };
    Whereabouts::ALL.into_iter().filter(is_wanted).collect()
}

/// Gives every message that is meant to the visitor, with what is shown of it. The names that were given and not found.
pub(super) fn each(
    spool: &Browser,
    selection: &Selection,
    visit: &mut dyn FnMut(Found, View) -> ControlFlow<()>,
) -> Result<Vec<u64>, Failed> {
    let now = now();
    let in_words = |error: io::Error| {
        format!("{} cannot be read: {}", spool.folder().display(), without_error_numbers(&error.to_string()))
    };
    if !selection.ids.is_empty() {
        let found = spool.find(&selection.ids).map_err(in_words)?;
        let mut missing = selection.ids.clone();
        for found in found {
            missing.remove(&found.id);
            let view = View::of(&found);
            if selection.holds(&view, now) && visit(found, view).is_break() {
                break;
            }
        }
        let mut missing: Vec<u64> = missing.into_iter().collect();
        missing.sort_unstable();
        return Ok(missing);
    }
    for place in places(selection) {
        let mut flow = ControlFlow::Continue(());
        let mut filter = |found: Found| {
            let view = View::of(&found);
            if selection.holds(&view, now) {
                flow = visit(found, view);
            }
            flow
        };
        spool.each(place, &mut filter).map_err(in_words)?;
        if flow.is_break() {
            break;
        }
    }
    Ok(Vec::new())
}

/// Whether a person can be asked.
pub(super) fn is_person() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}
