//! How a machine stands: what its driver asks of it. Nothing is changed here.

use super::{Machine, State, Transaction};

impl Machine {
    /// Whether it has not asked for a place yet.
    pub const fn is_newcomer(&self) -> bool {
        self.is_newcomer
    }

    /// How many octets wait to be looked at; the driver reads no more while there are many.
    pub fn unread(&self) -> usize {
        self.input.len()
    }

    /// Whether a QUIT is the next thing to be looked at: its sender has handed its mail over and may go. Behind another
    /// MAIL it may be a line of the next message, and says nothing.
    pub fn has_quit(&self) -> bool {
        let mut lines = self.input[..].split(|octet| *octet == b'\n').map(<[u8]>::trim_ascii);
        let idle = |line: &&[u8]| [&b"RSET"[..], b"NOOP"].iter().any(|verb| verb.eq_ignore_ascii_case(line));
        lines.find(|line| !idle(line)).is_some_and(|line| line.eq_ignore_ascii_case(b"QUIT"))
    }

    /// Whether all content has come and its verdict has not been given.
    pub const fn owes_verdict(&self) -> bool {
        matches!(self.state, State::Verdict)
    }

    /// Whether content that was refused is being read to its end.
    pub const fn is_dropping(&self) -> bool {
        matches!(self.state, State::DropData(..) | State::DropChunk(..))
    }

    /// The number of the command line that has begun and not ended.
    pub fn unfinished_line(&self) -> Option<u64> {
        let awaits_line = matches!(self.state, State::Commands | State::Sasl(_));
        (awaits_line && (self.dropping_line || !self.input.is_empty())).then_some(self.lines)
    }

    /// Whether MAIL was accepted and no content has begun.
    pub const fn is_in_envelope(&self) -> bool {
        matches!(self.transaction, Some(Transaction::Open(_) | Transaction::NoRoom))
    }

    /// Whether a command is waited for, and no mail has begun.
    pub const fn is_between_transactions(&self) -> bool {
        matches!(self.state, State::Commands | State::Sasl(_)) && self.transaction.is_none()
    }

    /// Whether the driver has been told of content whose end it has not seen.
    pub(super) fn is_receiving(&self) -> bool {
        matches!(self.state, State::Data(_) | State::Chunk { .. })
            || matches!(self.transaction, Some(Transaction::Chunked(_)))
    }

    /// The content ends where this app's end is no end to us: it waits for a reply, and we for more.
    pub(super) const fn has_unseen_end(&self) -> bool {
        match &self.state {
            State::Data(incoming) => incoming.looks_ended(),
            State::DropData(reader, _) => reader.looks_ended(),
            _ => false,
        }
    }
}
