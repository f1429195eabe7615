//! Where the content of a message comes from, and how much of it is held.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::pin::Pin;

use bytes::Bytes;

use super::budget::{Budget, Share};
use super::{block, header};

/// Content of one message that is held in memory, in octets; beyond it, content streams.
pub const MAX_HELD: usize = 256 * 1024;

/// Why content did not become whole, or why nobody waits for the verdict any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abandoned {
    /// The app closed the connection.
    HungUp,
    /// The app was silent for too long.
    Idle,
    /// More than MAILSHIM_MAX_MESSAGE_SIZE.
    TooBig,
    /// RSET, EHLO or QUIT between chunks.
    Reset,
    /// The disk that it was kept on does not give it back.
    Unreadable,
    /// The shim is shutting down.
    ShuttingDown,
    /// It was accepted before, and the app has not heard so: it is answered, not sent again.
    Accepted,
}

/// The next piece of content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Canonical content.
    Chunk(Bytes),
    /// All of it has come.
    End,
    /// It will not become whole.
    Abandoned(Abandoned),
}

/// What a [`Source`] will have said, once it is awaited.
pub type Awaited<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where content comes from: the app's connection, memory, a file.
///
/// Its futures are boxed, so that whatever takes a message on its way is written and compiled once, not once for each
/// source. That costs a small allocation for a piece of 16 KiB.
pub trait Source: Send {
    /// Reads the next piece. Nothing is read unless it is awaited: not asking is the back-pressure.
    fn next(&mut self) -> Awaited<'_, Piece>;

    /// Ends when nobody waits for the verdict any more; for ever pending where that cannot be known.
    fn gone(&mut self) -> Awaited<'_, Abandoned>;

    /// Whether the verdict is still waited for. It is asked once, when all that is left to send is the end.
    fn stays(&mut self) -> Awaited<'_, Result<(), Abandoned>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

impl<S: Source + ?Sized> Source for &mut S {
    fn next(&mut self) -> Awaited<'_, Piece> {
        (**self).next()
    }

    fn gone(&mut self) -> Awaited<'_, Abandoned> {
        (**self).gone()
    }

    fn stays(&mut self) -> Awaited<'_, Result<(), Abandoned>> {
        (**self).stays()
    }
}

/// The source of content that is held as a whole: nothing more comes, and nobody goes away.
struct Memory;

impl Source for Memory {
    fn next(&mut self) -> Awaited<'_, Piece> {
        Box::pin(std::future::ready(Piece::End))
    }

    fn gone(&mut self) -> Awaited<'_, Abandoned> {
        Box::pin(std::future::pending())
    }
}

/// A message's content: what is held of it, and the source of the rest.
///
/// While all of it is held it can be sent again; once a chunk has been let go it cannot.
pub struct HeldContent<'a> {
    kept: VecDeque<Bytes>,
    position: usize,
    source: Box<dyn Source + 'a>,
    complete: bool,
    released: bool,
    /// Nobody sends it any more.
    draining: bool,
    octets: u64,
    reserved: usize,
    budget: Budget,
    /// Where the header block is counted.
    share: Option<Share>,
}

/// Octets of one chunk of a header block.
const PIECE: usize = 16 * 1024;

/// A header block that was taken out of its message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderBlock {
    /// Its fields, mended.
    pub fields: Bytes,
    /// What was mended.
    pub repairs: block::Repairs,
    /// It ended with a blank line.
    pub has_blank_line: bool,
    /// A Bcc stands where it cannot be taken out.
    pub shows_bcc: bool,
    /// Octets that were taken, the blank line too.
    pub taken: usize,
}

/// Why a header block cannot be taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The content will not become whole.
    Abandoned(Abandoned),
    /// There is no memory for it now.
    NoRoom,
}

impl From<Abandoned> for Missing {
    fn from(why: Abandoned) -> Self {
        Self::Abandoned(why)
    }
}

/// Content was let go: it cannot be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released;

impl<'a> HeldContent<'a> {
    /// Content that this source is about to give.
    pub fn new(source: impl Source + 'a, budget: Budget) -> Self {
        let (kept, position, octets, reserved) = (VecDeque::new(), 0, 0, 0);
        let source = Box::new(source);
        let (complete, released, draining, share) = (false, false, false, None);
        Self { kept, position, source, complete, released, draining, octets, reserved, budget, share }
    }

    /// Counts its header block in this share; otherwise it is counted nowhere.
    #[must_use]
    pub fn within(mut self, share: Share) -> Self {
        self.share = Some(share);
        self
    }

    /// Content that is in memory as a whole.
    pub fn in_memory(content: impl IntoIterator<Item = Bytes>) -> HeldContent<'static> {
        let kept: VecDeque<Bytes> = content.into_iter().collect();
        let octets = kept.iter().map(|chunk| chunk.len() as u64).sum();
        let (source, budget) = (Box::new(Memory), Budget::default());
        HeldContent {
            kept,
            position: 0,
            source,
            complete: true,
            released: false,
            draining: false,
            octets,
            reserved: 0,
            budget,
            share: None,
        }
    }

    /// Reads until all of it is held, or as much as may be. It takes no connection: an app that sends slowly costs
    /// nobody anything.
    ///
    /// # Errors
    /// The content will not become whole.
    pub async fn fill(&mut self) -> Result<(), Abandoned> {
        while !self.complete && self.reserved < MAX_HELD {
            match self.source.next().await {
                Piece::Chunk(chunk) => {
                    self.octets += chunk.len() as u64;
                    let size = chunk.len();
                    self.kept.push_back(chunk);
                    if !self.budget.take(size) {
                        // At most this one chunk a session stands outside the budget.
                        break;
                    }
                    self.reserved += size;
                }
                Piece::End => self.complete = true,
                Piece::Abandoned(why) => return Err(why),
            }
        }
        Ok(())
    }

    /// Takes the header block out; what is left begins with the body. Reads on where it has not yet come whole. Call it
    /// before anything is sent.
    ///
    /// # Errors
    /// The content will not become whole, or there is no room for the block.
    pub async fn take_header_block(&mut self) -> Result<Option<HeaderBlock>, Missing> {
        let mut octets = Vec::new();
        let mut finder = block::EndFinder::default();
        loop {
            if let Some(end) = finder.find(&octets, self.complete && self.kept.is_empty()) {
                let mut octets = Bytes::from(octets);
                let body = octets.split_off(end.body);
                self.octets -= octets.len() as u64;
                let taken = HeaderBlock {
                    fields: match end.block(&octets) {
                        Cow::Borrowed(fields) => octets.slice_ref(fields),
                        Cow::Owned(fields) => fields.into(),
                    },
                    repairs: end.repairs(&octets),
                    has_blank_line: end.body > end.fields,
                    shows_bcc: end.shows_bcc,
                    taken: octets.len(),
                };
                self.keep_header(octets.len());
                if self.budget.take(body.len()) {
                    self.reserved += body.len();
                }
                self.put_front(body);
                return Ok(Some(taken).filter(|taken| taken.fields.len() <= header::MAX_HEADER_BLOCK));
            }
            if octets.len() > header::MAX_HEADER_BLOCK {
                return Ok(None);
            }
            let chunk = match self.kept.pop_front() {
                Some(chunk) => {
                    self.unreserve(chunk.len());
                    chunk
                }
                None => match self.source.next().await {
                    Piece::Chunk(chunk) => {
                        self.octets += chunk.len() as u64;
                        chunk
                    }
                    Piece::End => {
                        self.complete = true;
                        continue;
                    }
                    Piece::Abandoned(why) => return Err(why.into()),
                },
            };
            if !self.keep_header(octets.len() + chunk.len()) {
                return Err(Missing::NoRoom);
            }
            if octets.is_empty() {
                // Most header blocks end in the first chunk, which is not copied.
                octets = chunk.into();
            } else {
                // Never a doubling: 64 blocks at once would take twice what is counted.
                octets.reserve_exact(chunk.len());
                octets.extend_from_slice(&chunk);
            }
        }
    }

    /// Puts a header block before what is left.
    pub fn put_header_block(&mut self, mut block: Vec<u8>) {
        self.octets += block.len() as u64;
        block.shrink_to_fit();
        // Hardly longer than the one that came, for which there was room.
        self.keep_header(block.len());
        self.put_front(block.into());
    }

    fn keep_header(&self, octets: usize) -> bool {
        self.share.as_ref().is_none_or(|share| share.keep_header(octets))
    }

    /// A chunk of this size is held no longer, or is counted elsewhere.
    fn unreserve(&mut self, octets: usize) {
        let reserved = octets.min(self.reserved);
        self.reserved -= reserved;
        self.budget.give_back(reserved);
    }

    fn put_front(&mut self, octets: Bytes) {
        let pieces = octets.chunks(PIECE).map(|piece| octets.slice_ref(piece));
        pieces.rev().for_each(|piece| self.kept.push_front(piece));
    }

    /// Whether all of the content has come from the app.
    pub const fn is_complete(&self) -> bool {
        self.complete
    }

    /// Octets that have come so far.
    pub const fn octets(&self) -> u64 {
        self.octets
    }

    /// What is held, in order.
    pub fn kept(&self) -> impl Iterator<Item = &Bytes> {
        self.kept.iter()
    }

    /// The next piece to send. While the content is complete in memory it stays there; otherwise it is let go.
    pub async fn next(&mut self) -> Piece {
        if self.complete && !self.released {
            let chunk = self.kept.get(self.position).cloned();
            self.position += 1;
            return chunk.map_or(Piece::End, Piece::Chunk);
        }
        self.released = true;
        if let Some(chunk) = self.kept.pop_front() {
            self.unreserve(chunk.len());
            return Piece::Chunk(chunk);
        }
        if self.complete {
            return Piece::End;
        }
        let next = self.source.next().await;
        match &next {
            Piece::Chunk(chunk) => self.octets += chunk.len() as u64,
            Piece::End => {
                self.complete = true;
                return self.end().await;
            }
            Piece::Abandoned(_) => {}
        }
        next
    }

    /// The end of what streams, if it may still be sent.
    async fn end(&mut self) -> Piece {
        match self.stays().await {
            Ok(()) => Piece::End,
            Err(why) => Piece::Abandoned(why),
        }
    }

    /// Whether the verdict is still waited for. Ask it before content that is held as a whole is sent; what streams asks it
    /// at its end.
    ///
    /// # Errors
    /// Nobody waits any more: the end must not be sent.
    pub async fn stays(&mut self) -> Result<(), Abandoned> {
        if self.draining { Ok(()) } else { self.source.stays().await }
    }

    /// Begins again from the first octet.
    ///
    /// # Errors
    /// Something was let go.
    pub const fn rewind(&mut self) -> Result<(), Released> {
        if self.released {
            return Err(Released);
        }
        self.position = 0;
        Ok(())
    }

    /// Reads the rest and drops it, so that the app hears its answer where it expects it.
    ///
    /// # Errors
    /// The content will not become whole.
    pub async fn drain(&mut self) -> Result<(), Abandoned> {
        (self.released, self.draining) = (true, true);
        self.kept.clear();
        self.budget.give_back(std::mem::take(&mut self.reserved));
        while !self.complete {
            if let Piece::Abandoned(why) = self.next().await {
                return Err(why);
            }
        }
        Ok(())
    }

    /// Ends when nobody waits for the verdict any more.
    pub async fn gone(&mut self) -> Abandoned {
        self.source.gone().await
    }
}

impl Drop for HeldContent<'_> {
    fn drop(&mut self) {
        self.budget.give_back(self.reserved);
        self.keep_header(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(held: &mut HeldContent<'_>) -> Vec<u8> {
        let mut content = Vec::new();
        while let Piece::Chunk(chunk) = held.next().await {
            content.extend_from_slice(&chunk);
        }
        content
    }

    #[tokio::test]
    async fn what_is_held_can_be_sent_again() {
        let mut held = HeldContent::in_memory([Bytes::from_static(b"ab"), Bytes::from_static(b"c")]);
        assert_eq!(all(&mut held).await, b"abc");
        assert_eq!(held.rewind(), Ok(()));
        assert_eq!(all(&mut held).await, b"abc");
        held.drain().await.unwrap();
        assert_eq!(held.rewind(), Err(Released));
    }
}
