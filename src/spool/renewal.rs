//! A stored message made ready once more, by today's sender policy: what the app gave stands in its file.
//!
//! The new file is written beside the old one and takes its name by one rename, so that there is one message under it all
//! along.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::reading::{self, Unusable};
use crate::durable::{Disk, DiskFile, directory_of};
use crate::message::policy::Policy;
use crate::message::prepare::{Again, prepare_again};
use crate::queue::entry::{self, Attempt, Entry, Head, Sent, StoredEnvelope, Sum, Verdict};
use crate::redact::without_error_numbers;

/// Octets of one read.
const CHUNK: usize = 64 * 1024;
/// Where a header block ends.
const BLANK_LINE: &[u8] = b"\r\n\r\n";

/// Replaces a message's file. `new` is where it is written, in the directory where mail waits.
///
/// # Errors
/// In words; the message is as it was.
pub(super) fn renew(
    disk: &Arc<dyn Disk>,
    path: &Path,
    new: &Path,
    policy: &Policy,
    now: u64,
) -> Result<(), String> {
    let in_words = |error: io::Error| without_error_numbers(&error.to_string());
    let entry = reading::read_record(disk, path).map_err(|unusable| match unusable {
        Unusable::Io(error) => in_words(error),
        Unusable::Damage(_) => "its file cannot be read".to_string(),
    })?;
    let file = disk.open(path).map_err(in_words)?;
    let old = Old::examine(&*file, &entry).map_err(in_words)?;
    if !old.is_whole {
        return Err("its checksum does not fit: it is damaged".to_string());
    }
    let (sent, block) = made_ready(&entry, old.is_eight_bit, policy)?;
    let changed = changed_recipients(&entry, &sent)?;
    let head = Head { sent, ..entry.head.clone() };
    let behind = changed.then(|| {
        let again = Vec::from_iter(0..head.sent.envelope.recipients.len());
        Attempt { at: now, lived: entry.lived(), next: now, again, ..Attempt::default() }.line()
    });
    // What a crash has left of an attempt to do this.
    match disk.remove(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(in_words(error)),
        _ => {}
    }
    let written = write(disk, new, &*file, &entry, &head, &block, old.body_at, behind.as_deref())
        .and_then(|()| disk.rename(new, path));
    if let Err(error) = written {
        let _ = disk.remove(new);
        return Err(in_words(error));
    }
    // Whichever of the two files a crash leaves under the name, it is whole.
    disk.sync_directory(directory_of(path)).map_err(in_words)
}

/// What must be known of the old content.
struct Old {
    is_whole: bool,
    is_eight_bit: bool,
    /// Where the body begins in the file.
    body_at: u64,
}

impl Old {
    fn examine(file: &dyn DiskFile, entry: &Entry) -> io::Result<Self> {
        let mut first =
            vec![0; usize::try_from(entry.content_at).unwrap_or(usize::MAX).min(entry::MAX_FIRST_LINE)];
        read_whole(file, &mut first, 0)?;
        let Ok(wanted) = entry::read_prefix(&first) else {
            return Err(io::Error::other("its first line cannot be read"));
        };
        let mut sum = Sum::of_first_line(&first);
        let (mut is_eight_bit, mut body_at) = (false, None);
        // What may be the beginning of the blank line.
        let mut last: Vec<u8> = Vec::new();
        each_chunk(file, entry.content_at, entry.length, &mut |octets, at| {
            sum.add(octets);
            if body_at.is_none() {
                let seam = last.len();
                last.extend_from_slice(octets);
                match memchr::memmem::find(&last, BLANK_LINE) {
                    Some(end) => {
                        let body = end + BLANK_LINE.len();
                        body_at = Some(at + (body - seam) as u64);
                        is_eight_bit |= !last[body..].is_ascii();
                    }
                    None => drop(last.drain(..last.len().saturating_sub(BLANK_LINE.len() - 1))),
                }
            } else {
                is_eight_bit |= !octets.is_ascii();
            }
            Ok(())
        })?;
        let body_at = body_at.unwrap_or(entry.length);
        Ok(Self { is_whole: sum.fits(&wanted), is_eight_bit, body_at })
    }
}

/// What today's policy makes of what the app gave.
fn made_ready(entry: &Entry, is_eight_bit: bool, policy: &Policy) -> Result<(Sent, Vec<u8>), String> {
    let head = &entry.head;
    let given = head.app.whole().ok_or("its envelope cannot be read")?;
    let sender = given.mail.reverse_path.as_ref();
    let refused = sender
        .and_then(|sender| policy.refuse_sender(sender))
        .or_else(|| given.recipients.iter().find_map(|to| policy.refuse_recipient(&to.address)));
    if let Some(reply) = refused {
        return Err(format!("today's policy refuses it: {reply}"));
    }
    let again = Again {
        id: &head.id,
        envelope: &given,
        header: &head.header_octets().ok_or("its header block cannot be read")?,
        message_id: head.message_id.as_deref(),
        is_eight_bit,
        // Its Date stays what it was.
        accepted: UNIX_EPOCH + Duration::from_secs(head.created),
    };
    let rewritten =
        prepare_again(&again, policy).map_err(|refusal| format!("today's policy refuses it: {refusal}"))?;
    let sent = Sent {
        envelope: StoredEnvelope::of(&rewritten.envelope),
        from_is_ours: rewritten.from_is_ours,
        was_null_sender: rewritten.was_null_sender,
        changes: rewritten.notes.iter().map(|note| note.name().to_string()).collect(),
    };
    Ok((sent, rewritten.block))
}

/// Whether others get the message now.
fn changed_recipients(entry: &Entry, sent: &Sent) -> Result<bool, String> {
    let old = &entry.head.sent.envelope.recipients;
    let is_same = *old == sent.envelope.recipients;
    let has_it = entry.states().iter().any(|state| state.verdict == Some(Verdict::Delivered));
    if !is_same && has_it {
        return Err(
            "today's policy gives it to other recipients, and some of the old ones have it".to_string()
        );
    }
    Ok(!is_same)
}

#[expect(clippy::too_many_arguments, reason = "the parts of one file, in order")]
fn write(
    disk: &Arc<dyn Disk>,
    new: &Path,
    old: &dyn DiskFile,
    entry: &Entry,
    head: &Head,
    block: &[u8],
    body_at: u64,
    behind: Option<&[u8]>,
) -> io::Result<()> {
    let mut file = disk.create(new)?;
    let first_line = entry::first_line(head);
    let mut sum = Sum::of_first_line(&first_line);
    file.write(&first_line)?;
    sum.add(block);
    file.write(block)?;
    each_chunk(old, body_at, entry.length, &mut |octets, _| {
        sum.add(octets);
        file.write(octets)
    })?;
    file.write_at(sum.prefix().as_bytes(), 0)?;
    // What was tried before.
    each_chunk(old, entry.length, u64::MAX, &mut |octets, _| file.write(octets))?;
    if let Some(line) = behind {
        file.write(line)?;
    }
    file.sync()
}

fn read_whole(file: &dyn DiskFile, buffer: &mut [u8], mut at: u64) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            octets => {
                filled += octets;
                at += octets as u64;
            }
        }
    }
    Ok(())
}

/// Gives what stands between two offsets, or up to the end, with the offset of each piece.
fn each_chunk(
    file: &dyn DiskFile,
    mut at: u64,
    end: u64,
    visit: &mut dyn FnMut(&[u8], u64) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    while at < end {
        let most = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
        match file.read_at(&mut buffer[..most], at)? {
            0 => break,
            octets => {
                visit(&buffer[..octets], at)?;
                at += octets as u64;
            }
        }
    }
    Ok(())
}
