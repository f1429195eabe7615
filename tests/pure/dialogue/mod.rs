//! The client's side of the dialogue, as transcripts: `C:` what is written, `S:` what comes, `=` where it leads.
//!
//! Lines of `C:` with no `S:` between them leave in one flight.

mod opening;
mod transaction;
mod recipients;
mod out_of_step;

use mailshim::testing::outcome::{Cause, Fault};
use mailshim::testing::smtp::reply::{Reply, ReplyReader};

fn reply(line: &str) -> Reply {
    let (code, text) = line.split_once(' ').unwrap_or((line, ""));
    // A bar stands for a line's end.
    let lines = text.split('|').map(str::to_string).collect();
    Reply { code: code.parse().expect("a code"), lines }
}

fn shown(fault: &Fault) -> String {
    let cause = match fault.cause() {
        Cause::Refused(reply) => reply.to_string(),
        other => format!("{other:?}"),
    };
    let about = fault.recipient().iter().map(|recipient| format!(" about {recipient}")).collect::<String>();
    format!("{:?}{about}: {cause}", fault.stage())
}

/// The replies of a transcript as they come over the wire: those between two lines of the client's arrive together, cut
/// into pieces of so many octets.
struct Replies {
    runs: std::vec::IntoIter<String>,
    arriving: Vec<u8>,
    piece: usize,
    reader: ReplyReader,
}

/// Octet by octet, in pieces that cut lines and replies in odd places, and as one.
const PIECES: [usize; 4] = [1, 7, 40, usize::MAX];

impl Replies {
    fn new(transcript: &[&str], piece: usize) -> Self {
        let mut runs = Vec::new();
        for run in transcript.split(|line| !line.starts_with("S: ")).filter(|run| !run.is_empty()) {
            let encode = |line: &&str| String::from_utf8_lossy(&reply(&line[3..]).encode()).into_owned();
            runs.push(run.iter().map(encode).collect());
        }
        Self { runs: runs.into_iter(), arriving: Vec::new(), piece, reader: ReplyReader::default() }
    }

    /// The next reply, as it is written in a transcript.
    fn next(&mut self) -> Option<(Reply, String)> {
        loop {
            if let Some(reply) = self.reader.next().expect("a reply") {
                let line = format!("S: {} {}", reply.code, reply.lines.join("|"));
                return Some((reply, line));
            }
            if self.arriving.is_empty() {
                self.arriving = self.runs.next()?.into_bytes();
            }
            let piece = self.piece.min(self.arriving.len());
            self.reader.received(&self.arriving[..piece]);
            self.arriving.drain(..piece);
        }
    }

    /// Every reply that has come was asked for.
    fn is_in_step(&self) -> bool {
        self.arriving.is_empty() && !self.reader.has_unread()
    }
}
