//! A message read from its file: whole and verified, or the reason why it is not delivered.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::index::{LARGE, Name};
use crate::durable::{Disk, DiskFile};
use crate::message::header::MAX_HEADER_BLOCK;
use crate::message::shown::Shown;
use crate::message::{Abandoned, Awaited, Budget, HeldContent, Piece, Source};
use crate::queue::entry::{self, Damage, Entry, Head, Sum};

/// Octets of a header block that are kept for a report.
const MOST_HEADER: usize = 32 * 1024;
/// Octets of one read.
const CHUNK: usize = 64 * 1024;

/// The content of a message.
pub(super) enum Content {
    /// All of it.
    Memory(Vec<Bytes>),
    /// Verified, and read again as it is sent.
    File(Box<dyn DiskFile>),
}

impl Content {
    /// Takes it out.
    pub fn take(&mut self, entry: &Entry, budget: &Budget) -> HeldContent<'static> {
        match std::mem::replace(self, Self::Memory(Vec::new())) {
            Self::Memory(chunks) => HeldContent::in_memory(chunks),
            Self::File(file) => {
                let (at, end) = (entry.content_at, entry.length);
                HeldContent::new(FileContent { file: Some(file), at, end }, budget.clone())
            }
        }
    }
}

/// What a file holds.
pub(super) struct Read {
    pub entry: Entry,
    pub begun: Vec<usize>,
    pub shown: Shown,
    /// The header block, as far as it is kept.
    pub header: Vec<u8>,
    pub content: Content,
}

/// The header block at the beginning of content, as far as it is here.
fn header_of(content: &[u8]) -> &[u8] {
    let end = memchr::memmem::find(content, b"\r\n\r\n").map_or(content.len(), |end| end + 2);
    &content[..end]
}

/// Why a file cannot be used.
pub(super) enum Unusable {
    Damage(Damage),
    Io(io::Error),
}

impl From<io::Error> for Unusable {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Damage> for Unusable {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}

/// Reads the first line of a file, and what comes with it in one read.
fn first_line(file: &dyn DiskFile) -> Result<(Vec<u8>, usize), Unusable> {
    let mut first = Vec::new();
    loop {
        if let Some(end) = memchr::memchr(b'\n', &first) {
            return Ok((first, end + 1));
        }
        if first.len() > entry::MAX_FIRST_LINE {
            return Err(Damage::Damaged("its first line does not end").into());
        }
        if read_on(file, &mut first)? == 0 {
            // A prefix that says a length belongs to a line that was whole once.
            let cut =
                entry::read_prefix(&first).map_or_else(|damage| damage, |_| Damage::Damaged("it is cut off"));
            return Err(cut.into());
        }
    }
}

/// Reads what stands in a file's first line, and verifies nothing.
pub(super) fn read_head(disk: &Arc<dyn Disk>, path: &Path) -> Result<Head, Unusable> {
    let (first, end) = first_line(&*disk.open(path)?)?;
    Ok(entry::read_head(&first[..end])?)
}

/// Reads a file and verifies all of it.
pub(super) fn read(disk: &Arc<dyn Disk>, path: &Path, name: Name) -> Result<Read, Unusable> {
    let file = disk.open(path)?;
    let (first, end) = first_line(&*file)?;
    let wanted = entry::read_prefix(&first)?;
    let head = entry::read_head(&first[..end])?;
    let (content_at, length) = (end as u64, wanted.length);
    let damaged = || Unusable::Damage(Damage::Damaged("its checksum does not fit"));
    if length < content_at {
        return Err(damaged());
    }
    let mut sum = Sum::of_first_line(&first[..end]);
    let keep = name.octets <= LARGE;
    let mut kept = Vec::new();
    let mut behind = Vec::new();
    let mut header = Vec::new();
    let mut take = |octets: &[u8], at: u64| {
        let content = usize::try_from(length.saturating_sub(at)).unwrap_or(usize::MAX).min(octets.len());
        sum.add(&octets[..content]);
        if header.len() <= MAX_HEADER_BLOCK {
            header.extend_from_slice(&octets[..content]);
        }
        if keep && content > 0 {
            kept.push(Bytes::copy_from_slice(&octets[..content]));
        }
        behind.extend_from_slice(&octets[content..]);
    };
    take(&first[end..], content_at);
    let mut at = first.len() as u64;
    let mut buffer = vec![0; CHUNK];
    loop {
        let octets = file.read_at(&mut buffer, at)?;
        if octets == 0 {
            break;
        }
        take(&buffer[..octets], at);
        at += octets as u64;
    }
    if !sum.fits(&wanted) {
        return Err(damaged());
    }
    let entry = Entry { head, content_at, length, attempts: entry::read_attempts(&behind) };
    let content = if keep { Content::Memory(kept) } else { Content::File(file) };
    if entry.head.sent.envelope.whole().is_none() {
        return Err(Damage::Damaged("its envelope cannot be read").into());
    }
    header.truncate(header_of(&header).len());
    let shown = Shown::of(&header);
    header.truncate(MOST_HEADER);
    header.shrink_to_fit();
    Ok(Read { entry, begun: entry::read_begun(&behind), shown, header, content })
}

fn read_on(file: &dyn DiskFile, octets: &mut Vec<u8>) -> io::Result<usize> {
    let at = octets.len();
    octets.resize(at + CHUNK, 0);
    let read = file.read_at(&mut octets[at..], at as u64)?;
    octets.truncate(at + read);
    Ok(read)
}

/// The content of a large message, read as it is sent.
struct FileContent {
    file: Option<Box<dyn DiskFile>>,
    at: u64,
    end: u64,
}

impl Source for FileContent {
    fn next(&mut self) -> Awaited<'_, Piece> {
        Box::pin(async {
            if self.at >= self.end {
                return Piece::End;
            }
            let Some(file) = self.file.take() else { return Piece::Abandoned(Abandoned::Unreadable) };
            let (at, most) = (self.at, usize::try_from(self.end - self.at).unwrap_or(CHUNK).min(CHUNK));
            let reading = tokio::task::spawn_blocking(move || {
                let mut buffer = vec![0; most];
                let read = file.read_at(&mut buffer, at);
                (file, buffer, read)
            });
            match reading.await {
                Ok((file, mut buffer, Ok(octets))) if octets > 0 => {
                    self.file = Some(file);
                    self.at += octets as u64;
                    buffer.truncate(octets);
                    Piece::Chunk(buffer.into())
                }
                // It was whole a moment ago: a disk that fails now must not send half a message as a whole one.
                _ => Piece::Abandoned(Abandoned::Unreadable),
            }
        })
    }

    fn gone(&mut self) -> Awaited<'_, Abandoned> {
        Box::pin(std::future::pending())
    }
}
