//! The content of one message on its way in: decoded, counted, and cut into pieces.

use bytes::{Bytes, BytesMut};

use crate::smtp::data::ContentReader;

/// Octets of content in one piece, a line end more at most. Pieces are filled up to it: an app that writes an octet at a
/// time, or chunks of one, would otherwise cost a hundred times the memory that its content is counted as.
pub(super) const MAX_PIECE: usize = 16 * 1024;

/// Content on its way in.
#[derive(Debug)]
pub(super) struct Incoming {
    reader: ContentReader,
    octets: u64,
    piece: Vec<u8>,
}

impl Incoming {
    /// Behind DATA.
    pub(super) const fn data() -> Self {
        Self { reader: ContentReader::data(), octets: 0, piece: Vec::new() }
    }

    /// In chunks.
    pub(super) const fn bdat() -> Self {
        Self { reader: ContentReader::bdat(), octets: 0, piece: Vec::new() }
    }

    /// Takes up to `limit` octets of `input`, as far as the piece has room; how many.
    pub(super) fn read(&mut self, input: &mut BytesMut, limit: usize) -> usize {
        let before = self.piece.len();
        self.piece.reserve(input.len().min(limit).min(MAX_PIECE.saturating_sub(before)) + 2);
        let used = self.reader.read(input, limit, &mut self.piece, MAX_PIECE);
        self.octets += (self.piece.len() - before) as u64;
        used
    }

    /// Whether DATA's end was met.
    pub(super) const fn ended(&self) -> bool {
        self.reader.ended()
    }

    /// Whether what came last is an end with wrong line ends.
    pub(super) const fn looks_ended(&self) -> bool {
        self.reader.looks_ended()
    }

    /// The end of the last chunk: whether all that it owes is in the piece.
    pub(super) fn finish(&mut self) -> bool {
        let before = self.piece.len();
        let finished = self.reader.finish(&mut self.piece, MAX_PIECE);
        self.octets += (self.piece.len() - before) as u64;
        finished
    }

    /// Octets of canonical content so far.
    pub(super) const fn octets(&self) -> u64 {
        self.octets
    }

    /// The piece, once it is full, or the last one. Its memory is no larger than its content, or what is held would cost
    /// more than is counted.
    pub(super) fn take(&mut self, is_last: bool) -> Option<Bytes> {
        let is_due = self.piece.len() >= MAX_PIECE || (is_last && !self.piece.is_empty());
        is_due.then(|| {
            let mut piece = std::mem::take(&mut self.piece);
            piece.shrink_to_fit();
            piece.into()
        })
    }

    /// What is left of content that nobody wants.
    pub(super) fn into_reader(self) -> ContentReader {
        self.reader
    }
}
