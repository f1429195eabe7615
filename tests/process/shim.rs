//! The real program, started with an environment of its own.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use office365::Office365;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_mailshim");

/// The bound of every wait. Nothing is measured by it: a test that reaches it has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Four variables with no truth in them, for what ends before the first connection.
pub const FOUR: [(&str, &str); 4] = [
    ("MAILSHIM_MAILBOX", "app@contoso.com"),
    ("MAILSHIM_TENANT_ID", "11111111-2222-3333-4444-555555555555"),
    ("MAILSHIM_CLIENT_ID", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"),
    ("MAILSHIM_CLIENT_SECRET", "c4n4ry~Q.secret"),
];

/// A running mailshim; killed with this value.
pub struct Shim {
    child: Child,
    lines: Receiver<String>,
    /// The log so far, as far as somebody waited for it.
    pub log: Vec<String>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Shim {
    /// A shim that sends to `office365`, on a free port, with these variables besides; it listens.
    pub fn start(office365: &Office365, variables: &[(&str, &str)]) -> Self {
        Self::start_by(Command::new(PROGRAM), office365, variables)
    }

    /// The same, started by a command that ends in it.
    pub fn start_by(mut command: Command, office365: &Office365, variables: &[(&str, &str)]) -> Self {
        command.env_clear().envs(office365.env());
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command.envs([("MAILSHIM_LISTEN", "127.0.0.1:0"), ("MAILSHIM_LOG_FORMAT", "json")]);
        command.envs(variables.iter().copied());
        let mut child =
            command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let (write, lines) = mpsc::channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).all(|line| write.send(line).is_ok()));
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut shim = Self { child, lines, log: Vec::new(), address: nowhere };
        let listening = shim.wait_for("\"message\":\"listening\"");
        shim.address = event(&listening)["address"].as_str().expect("text").parse().expect("an address");
        shim
    }

    /// Waits for the next log line that contains this.
    #[track_caller]
    pub fn wait_for(&mut self, part: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.log.push(line.clone());
                    if line.contains(part) {
                        return line;
                    }
                }
                Err(error) => panic!("no log line with {part} ({error}):\n{}", self.log.join("\n")),
            }
        }
    }

    /// Sends a signal, by its name without SIG.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits for the end; the log is whole then.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            // The log's end is the process's.
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => self.log.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(error) => panic!("mailshim does not end ({error}):\n{}", self.log.join("\n")),
            }
        }
        self.child.wait().expect("a child can be waited for")
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.wait();
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A log line of the JSON format.
pub fn event(line: &str) -> serde_json::Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// The shell's own `kill`: a bare machine has no other.
pub fn signal(pid: u32, name: &str) {
    let kill = format!("kill -{name} {pid}");
    assert!(Command::new("sh").args(["-c", &kill]).status().expect("sh").success(), "{kill}");
}

/// Runs it to its end, with nothing but these variables and arguments; its exit code and what it printed.
#[track_caller]
pub fn run(variables: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(PROGRAM);
    command.env_clear().envs(variables.iter().copied()).args(arguments);
    run_by(command)
}

/// The same, started by a command that ends in it.
#[track_caller]
pub fn run_by(mut command: Command) -> (Option<i32>, String) {
    let mut printed = output();
    let (stdout, stderr) = (printed.try_clone().expect("a handle"), printed.try_clone().expect("a handle"));
    let mut child =
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn().expect("the program starts");
    // A child that starts although it should not would keep the test for ever: killed by a watchdog.
    let (done, ended) = mpsc::channel::<()>();
    let pid = child.id();
    let watchdog = std::thread::spawn(move || {
        if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            signal(pid, "KILL");
        }
    });
    let status = child.wait().expect("a child can be waited for");
    drop(done);
    watchdog.join().expect("no panic");
    printed.rewind().expect("a file");
    let mut text = String::new();
    printed.read_to_string(&mut text).expect("UTF-8");
    (status.code(), text)
}

/// A file without a name.
fn output() -> File {
    temporary_file("").0
}

/// A file with this content; removed with the guard.
pub fn temporary_file(content: &str) -> (File, TemporaryFile) {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("mailshim-process-{}-{count}", std::process::id()));
    let mut file =
        File::options().read(true).write(true).create(true).truncate(true).open(&path).expect("a file");
    file.write_all(content.as_bytes()).expect("room");
    (file, TemporaryFile(path))
}

/// A path that goes away.
pub struct TemporaryFile(pub std::path::PathBuf);

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
