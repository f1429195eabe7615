//! Processes that are started, listened to, and gone at the end of the test.

use std::fs;
use std::io::{Read, Write as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::PATIENCE;

/// Polls until `done`; panics where it never comes.
#[track_caller]
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What has been written so far, by line ends or not. It is read at once, whoever waits: a full pipe would stop the
/// writer.
#[derive(Clone, Default)]
pub struct Heard(Arc<(Mutex<Said>, Condvar)>);

#[derive(Default)]
struct Said {
    octets: Vec<u8>,
    /// What came before has been waited for.
    expected: usize,
    has_ended: bool,
}

/// Why there is no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoLine {
    /// The output has ended.
    Ended,
    /// None came in time.
    TimeIsUp,
}

impl Heard {
    fn listen(mut from: impl Read + Send + 'static) -> Self {
        let heard = Self::default();
        let into = heard.clone();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(octets @ 1..) = from.read(&mut piece) {
                into.0.0.lock().unwrap().octets.extend_from_slice(&piece[..octets]);
                into.0.1.notify_all();
            }
            into.0.0.lock().unwrap().has_ended = true;
            into.0.1.notify_all();
        });
        heard
    }

    /// All that was not expected.
    pub fn text(&self) -> String {
        let said = self.0.0.lock().unwrap();
        String::from_utf8_lossy(&said.octets[said.expected..]).into_owned()
    }

    /// All of it.
    pub fn all(&self) -> String {
        String::from_utf8_lossy(&self.0.0.lock().unwrap().octets).into_owned()
    }

    /// Waits for a text, and forgets what came up to its end.
    #[track_caller]
    pub fn expect(&self, part: &str) {
        let found = self.up_to(part, Instant::now() + PATIENCE);
        assert!(found.is_ok(), "in vain ({found:?}): {part:?}; there is:\n{}", self.text());
    }

    /// Waits for the next whole line, and forgets it.
    ///
    /// # Errors
    /// None came.
    pub fn line(&self, until: Instant) -> Result<String, NoLine> {
        self.up_to("\n", until).map(|line| line.trim_end().to_string())
    }

    /// What came up to the end of this part, which is waited for.
    fn up_to(&self, part: &str, until: Instant) -> Result<String, NoLine> {
        let mut said = self.0.0.lock().unwrap();
        let mut from = said.expected;
        loop {
            if let Some(at) = find(&said.octets[from..], part.as_bytes()) {
                let end = from + at + part.len();
                let text = String::from_utf8_lossy(&said.octets[said.expected..end]).into_owned();
                said.expected = end;
                return Ok(text);
            }
            let left = until.saturating_duration_since(Instant::now());
            if said.has_ended {
                return Err(NoLine::Ended);
            }
            if left.is_zero() {
                return Err(NoLine::TimeIsUp);
            }
            // A part may have begun with what is there.
            from = said.expected.max(said.octets.len().saturating_sub(part.len()));
            said = self.0.1.wait_timeout(said, left).unwrap().0;
        }
    }

    /// Waits for the end; all that was not expected.
    #[track_caller]
    pub fn rest(&self) -> String {
        until("the end of the output", || self.0.0.lock().unwrap().has_ended);
        self.text()
    }
}

fn find(octets: &[u8], part: &[u8]) -> Option<usize> {
    octets.windows(part.len()).position(|window| window == part)
}

/// A running command with its output; killed with all its descendants when dropped.
pub struct Running {
    child: Child,
    /// Its standard input.
    pub input: ChildStdin,
    /// Its standard output.
    pub output: Heard,
    /// Its standard error.
    pub log: Heard,
}

impl Running {
    /// Starts it.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = Heard::listen(child.stdout.take().unwrap());
        let log = Heard::listen(child.stderr.take().unwrap());
        Self { input: child.stdin.take().unwrap(), child, output, log }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes to its standard input.
    pub fn type_in(&mut self, text: &str) {
        self.input.write_all(text.as_bytes()).unwrap();
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            let (output, log) = (&self.output, &self.log);
            assert!(Instant::now() < end, "it does not end:\n{}\n{}", output.text(), log.text());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for its end; its exit code.
    #[track_caller]
    pub fn code(&mut self) -> i32 {
        let status = self.end();
        status.code().unwrap_or_else(|| panic!("{status}; the log:\n{}", self.log.text()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut all = vec![self.pid()];
        let mut next = 0;
        while let Some(pid) = all.get(next) {
            let below = children(*pid);
            all.extend(below);
            next += 1;
        }
        if self.child.try_wait().unwrap().is_none() {
            all.iter().for_each(|pid| kill("KILL", *pid));
            let _ = self.child.wait();
        }
    }
}

/// Sends a signal, by its name without SIG. By the shell's own `kill`: a bare machine has no other, and no crate has the
/// real-time signals by name.
pub fn kill(signal: &str, pid: u32) {
    let mut kill = Command::new("bash");
    kill.args(["-c", "kill -s \"$1\" \"$2\"", "kill", signal, &pid.to_string()]).stderr(Stdio::null());
    assert!(kill.status().is_ok());
}

/// One field of /proc/PID/stat, counted as in proc(5); not the first two.
pub fn stat(pid: u32, field: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold spaces and brackets.
    let (_, after_name) = stat.rsplit_once(") ")?;
    after_name.split_ascii_whitespace().nth(field - 3).map(str::to_string)
}

/// Whether it is there, and no zombie.
pub fn is_alive(pid: u32) -> bool {
    stat(pid, 3).is_some_and(|state| state != "Z")
}

/// The processes that it is the parent of, zombies too.
pub fn children(parent: u32) -> Vec<u32> {
    let parent = parent.to_string();
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat(*pid, 4).as_deref() == Some(&parent)).collect()
}
