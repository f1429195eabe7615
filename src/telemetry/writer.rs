//! The way of a log line to standard error: a bounded queue and a thread that waits for the reader, so that nobody else
//! does. Standard error stays a blocking descriptor: O_NONBLOCK belongs to the open file, which the app may share.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use tracing::Level;

use super::line::LEVELS;
use super::metrics::metrics;

/// Octets of lines that wait for the reader.
const QUEUE: usize = 256 * 1024;
/// What a line in the queue takes besides its octets.
const OVERHEAD: usize = 64;
/// The thread writes and does nothing else.
const STACK: usize = 64 * 1024;
/// How long the end of the process waits for the reader.
const LAST_WORDS: Duration = Duration::from_secs(1);

fn name(level: Level) -> &'static str {
    LEVELS[index(level)]
}

const fn index(level: Level) -> usize {
    match level {
        Level::ERROR => 0,
        Level::WARN => 1,
        Level::INFO => 2,
        Level::DEBUG => 3,
        Level::TRACE => 4,
    }
}

/// Lines that were dropped, by level.
pub(super) type Dropped = [u64; LEVELS.len()];

/// The lines that wait, and what did not fit.
#[derive(Default)]
struct Waiting {
    lines: VecDeque<(Level, Vec<u8>)>,
    octets: usize,
    /// Since it was last said.
    dropped: Dropped,
}

impl Waiting {
    /// The newest gives way: the first lines of a trouble say what it is.
    fn push(&mut self, level: Level, line: Vec<u8>) -> bool {
        let size = line.len() + OVERHEAD;
        if self.octets + size > QUEUE {
            self.dropped[index(level)] += 1;
            return false;
        }
        self.octets += size;
        self.lines.push_back((level, line));
        true
    }

    fn pop(&mut self) -> Option<(Level, Vec<u8>)> {
        let (level, line) = self.lines.pop_front()?;
        self.octets -= line.len() + OVERHEAD;
        Some((level, line))
    }

    /// What was dropped, once the reader has caught up with half of what waited. Not earlier: a reader that is only
    /// slow would hear of each line.
    fn take_unsaid(&mut self) -> Option<Dropped> {
        let is_due = self.octets <= QUEUE / 2 && self.dropped.iter().any(|count| *count > 0);
        is_due.then(|| std::mem::take(&mut self.dropped))
    }
}

/// The queue, and what wakes its two sides.
#[derive(Default)]
struct Shared {
    waiting: Mutex<(Waiting, bool)>,
    /// There is a line.
    work: Condvar,
    /// There is none, and none is being written.
    done: Condvar,
}

impl Shared {
    /// The lock with whether the thread is writing.
    fn lock(&self) -> MutexGuard<'_, (Waiting, bool)> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Words the line that tells what was dropped.
pub(super) type Notice = fn(&Dropped) -> (Level, Vec<u8>);

static WRITER: OnceLock<Arc<Shared>> = OnceLock::new();

/// Starts the thread; the first call counts. Without a thread (no memory for it) lines are written at once, for want of
/// anything better.
pub(super) fn start(notice: Notice) {
    let shared = Arc::new(Shared::default());
    if WRITER.set(Arc::clone(&shared)).is_ok() {
        let run = move || write_for_ever(&shared, notice);
        if let Err(error) = thread::Builder::new().name("log".into()).stack_size(STACK).spawn(run) {
            let _ = write(format!("the log's thread cannot start: {error}\n").as_bytes());
        }
    }
}

/// Queues one line; it ends in a line end. Before [`start`] it is dropped.
pub(super) fn push(level: Level, line: Vec<u8>) {
    let Some(shared) = WRITER.get() else { return };
    if shared.lock().0.push(level, line) {
        shared.work.notify_one();
    } else {
        metrics().log_line_dropped(name(level));
    }
}

/// Waits until all is written, or until the reader has had its time: a reader that does not read must not keep the
/// process from ending.
pub fn flush() {
    let Some(shared) = WRITER.get() else { return };
    let until = Instant::now() + LAST_WORDS;
    let mut state = shared.lock();
    while !state.0.lines.is_empty() || state.1 {
        let Some(left) = until.checked_duration_since(Instant::now()) else { return };
        state = shared.done.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

fn write_for_ever(shared: &Shared, notice: Notice) {
    let mut state = shared.lock();
    loop {
        let next = state.0.take_unsaid().map(|dropped| notice(&dropped)).or_else(|| state.0.pop());
        let Some((level, line)) = next else {
            state.1 = false;
            shared.done.notify_all();
            state = shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        state.1 = true;
        drop(state);
        let written = write(&line);
        state = shared.lock();
        // The reader has gone: should there ever be another, it shall hear of it.
        if written.is_err() {
            state.0.dropped[index(level)] += 1;
            metrics().log_line_dropped(name(level));
        }
    }
}

/// One write(2), which the kernel does not tear as long as it is no longer than PIPE_BUF; only a full disk takes a part.
/// Not by `std::io::stderr`, whose lock would be held while the reader is waited for.
fn write(mut line: &[u8]) -> io::Result<()> {
    let stderr = io::stderr();
    while !line.is_empty() {
        match rustix::io::write(stderr.as_fd(), line) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(octets) => line = &line[octets..],
            Err(rustix::io::Errno::INTR) => {}
            // Somebody else made it non-blocking.
            Err(rustix::io::Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], None);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: usize = 1000;

    #[test]
    fn the_newest_is_dropped_and_counted_by_its_level() {
        let mut waiting = Waiting::default();
        let fit = QUEUE / (LINE + OVERHEAD);
        for _ in 0..fit {
            assert!(waiting.push(Level::INFO, vec![0; LINE]));
        }
        assert!(!waiting.push(Level::INFO, vec![0; LINE]));
        assert!(!waiting.push(Level::WARN, vec![0; LINE]));
        assert!(!waiting.push(Level::WARN, vec![0; LINE]));
        assert_eq!(waiting.lines.len(), fit);
        assert_eq!(waiting.take_unsaid(), None, "the reader has not caught up");
        while waiting.octets > QUEUE / 2 {
            assert!(waiting.pop().is_some());
        }
        assert_eq!(waiting.take_unsaid(), Some([0, 2, 1, 0, 0]));
        assert_eq!(waiting.take_unsaid(), None, "said once");
        while waiting.pop().is_some() {}
        assert_eq!(waiting.octets, 0);
    }
}
