//! Processes that are started, listened to, and gone at the end of the test.

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use office365::{Office365, Settings};

/// For anything that is waited for: far beyond what it takes.
pub const BOUND: Duration = Duration::from_secs(60);
pub const BINARY: &str = env!("CARGO_BIN_EXE_mailshim");

pub fn office() -> Office365 {
    Office365::start(Settings::default())
}

/// Polls until `done`; panics where it never comes.
#[track_caller]
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + BOUND;
    while !done() {
        assert!(Instant::now() < end, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A directory that goes away with the test.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("mailshim-exec-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// A pipe whose readers wait until [`release`].
    pub fn pipe(&self, name: &str) -> String {
        let path = self.path(name);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Lets the readers of a pipe go on; waits for one.
pub fn release(pipe: &str) {
    let pipe = pipe.to_string();
    let (done, released) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        drop(fs::OpenOptions::new().write(true).open(pipe).unwrap());
        let _ = done.send(());
    });
    released.recv_timeout(BOUND).expect("a reader of the pipe");
}

/// What has been written so far, by line ends or not.
#[derive(Clone, Default)]
pub struct Heard(Arc<(Mutex<(String, bool)>, Condvar)>);

impl Heard {
    fn listen(mut from: impl Read + Send + 'static) -> Self {
        let heard = Self::default();
        let into = heard.clone();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(octets @ 1..) = from.read(&mut piece) {
                into.0.0.lock().unwrap().0 += &String::from_utf8_lossy(&piece[..octets]);
                into.0.1.notify_all();
            }
            into.0.0.lock().unwrap().1 = true;
            into.0.1.notify_all();
        });
        heard
    }

    pub fn text(&self) -> String {
        self.0.0.lock().unwrap().0.clone()
    }

    /// Waits for a text, and forgets what came up to its end.
    #[track_caller]
    pub fn expect(&self, part: &str) {
        let mut heard = self.0.0.lock().unwrap();
        let end = Instant::now() + BOUND;
        loop {
            if let Some(at) = heard.0.find(part) {
                heard.0.drain(..at + part.len());
                return;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero() && !heard.1, "in vain: {part:?}; there is:\n{}", heard.0);
            heard = self.0.1.wait_timeout(heard, left).unwrap().0;
        }
    }

    /// Waits for the end; all that was not expected.
    #[track_caller]
    pub fn rest(&self) -> String {
        until("the end of the output", || self.0.0.lock().unwrap().1);
        self.text()
    }
}

/// A running command with its output; killed with all its descendants when dropped.
pub struct Running {
    child: Child,
    pub input: ChildStdin,
    pub output: Heard,
    pub log: Heard,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = Heard::listen(child.stdout.take().unwrap());
        let log = Heard::listen(child.stderr.take().unwrap());
        Self { input: child.stdin.take().unwrap(), child, output, log }
    }

    /// `mailshim exec -- bash -c SCRIPT`.
    pub fn app(office: &Office365, script: &str) -> Self {
        Self::start(&mut exec(office, &["bash", "-c", script]))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn type_in(&mut self, text: &str) {
        self.input.write_all(text.as_bytes()).unwrap();
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(&mut self) -> ExitStatus {
        let end = Instant::now() + BOUND;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            let (output, log) = (&self.output, &self.log);
            assert!(Instant::now() < end, "it does not end:\n{}\n{}", output.text(), log.text());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[track_caller]
    pub fn code(&mut self) -> i32 {
        let status = self.end();
        status.code().unwrap_or_else(|| panic!("{status}; the log:\n{}", self.log.text()))
    }

    /// The process of `mailshim run` below it.
    #[track_caller]
    pub fn shim(&self) -> u32 {
        let mut found = None;
        until("the shim", || {
            let is_shim = |pid: &u32| {
                fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == b"mailshim\0run\0")
            };
            found = children(self.pid()).into_iter().find(is_shim);
            found.is_some()
        });
        found.unwrap()
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

/// `mailshim exec -- COMMAND`, with the simulator's variables and a free port.
pub fn exec(office: &Office365, command: &[&str]) -> Command {
    let mut exec = mailshim(office, &["exec", "--"]);
    exec.args(command);
    exec
}

pub fn mailshim(office: &Office365, arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    environment(&mut command, office);
    command.args(arguments);
    command
}

/// Nothing of the environment that the tests run in, but PATH.
pub fn environment(command: &mut Command, office: &Office365) {
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.envs(office.env()).env("MAILSHIM_LISTEN", "127.0.0.1:0");
}

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

pub fn is_alive(pid: u32) -> bool {
    stat(pid, 3).is_some_and(|state| state != "Z")
}

pub fn children(parent: u32) -> Vec<u32> {
    let parent = parent.to_string();
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat(*pid, 4).as_deref() == Some(&parent)).collect()
}

/// An answer from the app: the rest of the line after this word.
#[track_caller]
pub fn answer(output: &Heard, word: &str) -> String {
    output.expect(word);
    let mut line = None;
    until("the end of the line", || {
        line = output.text().split_once('\n').map(|(line, _)| line.trim().to_string());
        line.is_some()
    });
    line.unwrap()
}

/// Whether a message of this text is in a log of JSON lines.
pub fn logged(log: &str, message: &str) -> bool {
    BufReader::new(log.as_bytes()).lines().map_while(Result::ok).any(|line| line.contains(message))
}

/// Bash that sends one mail to `$MAILSHIM_LISTEN` on descriptor 3, up to the dot, and then reads its reply into
/// `$reply`.
pub const SEND: &str = r#"
    say() { printf '%s\r\n' "$1" >&3; read -r reply <&3; }
    connect() { exec 3<>"/dev/tcp/${MAILSHIM_LISTEN%:*}/${MAILSHIM_LISTEN##*:}"; read -r reply <&3; }
    content() {
        say 'HELO app'; say 'MAIL FROM:<app@contoso.com>'; say 'RCPT TO:<a@fabrikam.com>'; say DATA
        printf 'From: app@contoso.com\r\nSubject: x\r\n\r\nin flight\r\n.\r\n' >&3
    }
    verdict() { read -r reply <&3; reply=${reply%$'\r'}; }
"#;

pub fn exists(path: &str) -> bool {
    Path::new(path).exists()
}
