//! A shim in front of a simulated Office 365, and programs that send through it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use office365::{Office365, Settings, Taken};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_mailshim");

/// The bound of every wait. Nothing is measured by it: a test that reaches it has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Stands in a secret; it may appear nowhere.
pub const CANARY: &str = "c4n4ry";

/// A running shim and where it listens; killed with this value.
pub struct Shim {
    pub office365: Office365,
    pub listen: String,
    child: Child,
}

impl Shim {
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// With these variables besides.
    pub fn with(variables: &[(&str, &str)]) -> Self {
        // Who may send as whom is the sender policy's tests' affair.
        let settings = Settings { enforce_send_as: false, ..Settings::default() };
        let office365 = Office365::start(settings);
        let mut command = Command::new(PROGRAM);
        command.env_clear().envs(office365.env());
        command.envs([("MAILSHIM_LISTEN", "127.0.0.1:0"), ("MAILSHIM_LOG_FORMAT", "json")]);
        command.envs(variables.iter().copied());
        let mut child =
            command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let (write, read) = mpsc::channel();
        // It reads on, so that the log never blocks the shim.
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
                if line["message"] == "listening" {
                    let _ = write.send(line["address"].as_str().unwrap_or_default().to_string());
                }
            }
        });
        let listen = read.recv_timeout(PATIENCE).expect("the shim listens");
        Self { office365, listen, child }
    }

    /// The command of the program called by this path, which sends through this shim; `environment` besides.
    pub fn command(&self, program: impl AsRef<Path>, environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env_clear().env("MAILSHIM_LISTEN", &self.listen).envs(environment.iter().copied());
        command
    }

    /// `mailshim sendmail` with these flags.
    #[track_caller]
    pub fn sendmail(&self, flags: &[&str], input: &[u8]) -> Ended {
        run(self.command(PROGRAM, &[]).arg("sendmail").args(flags), input)
    }

    /// The same, which has to succeed without a word; the mail that came of it.
    #[track_caller]
    pub fn sent(&self, flags: &[&str], input: &[u8]) -> Mail {
        let ended = self.sendmail(flags, input);
        assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, "", ""), "{flags:?}");
        self.only_mail()
    }

    /// The one mail that was taken since the last call.
    #[track_caller]
    pub fn only_mail(&self) -> Mail {
        assert_eq!(self.office365.violations(), Vec::<String>::new());
        let taken = self.office365.drain_taken();
        let [taken] = <[Taken; 1]>::try_from(taken).unwrap_or_else(|all| panic!("{} mails", all.len()));
        Mail::of(taken)
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A mail as it came to Office 365.
pub struct Mail {
    /// The reverse-path.
    pub from: String,
    /// The forward-paths.
    pub to: Vec<String>,
    /// MAIL's whole argument.
    pub mail: String,
    /// RCPT's whole arguments.
    pub rcpts: Vec<String>,
    pub header: String,
    pub body: Vec<u8>,
}

/// The header without what the shim adds to every mail; these senders leave all of it out.
fn given(header: &str) -> String {
    let header = office365::without_first_received(header.as_bytes());
    let header = std::str::from_utf8(header).expect("it was text");
    let is_mime = header.contains("Content-Type:");
    let added = |line: &&str| {
        line.starts_with("Date: ")
            || line.starts_with("Message-ID: ")
            || (line.starts_with("MIME-Version: ") && !is_mime)
    };
    header.split_inclusive("\r\n").filter(|line| !added(line)).collect()
}

impl Mail {
    fn of(taken: Taken) -> Self {
        let path = |argument: &str| {
            let inside = argument.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
            inside.map_or_else(String::new, |(path, _)| path.to_string())
        };
        let end = taken.content.windows(4).position(|four| four == b"\r\n\r\n");
        let (header, body) = match end {
            Some(end) => (&taken.content[..end + 2], &taken.content[end + 4..]),
            // No header at all: the blank line comes first.
            None => (&b""[..], taken.content.strip_prefix(b"\r\n").expect("a blank line")),
        };
        Self {
            from: path(&taken.mail),
            to: taken.rcpts.iter().map(|rcpt| path(rcpt)).collect(),
            header: given(&String::from_utf8_lossy(header)),
            body: body.to_vec(),
            mail: taken.mail,
            rcpts: taken.rcpts,
        }
    }

    #[track_caller]
    pub fn assert_body(&self, text: &str) {
        assert_eq!(String::from_utf8_lossy(&self.body), text);
    }

    /// Whether a field of this name is there.
    pub fn has(&self, name: &str) -> bool {
        let start = format!("{}:", name.to_ascii_lowercase());
        self.header.lines().any(|line| line.to_ascii_lowercase().starts_with(&start))
    }
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a command with this on its standard input, within bounds. No secret is in what it prints.
#[track_caller]
pub fn run(command: &mut Command, input: &[u8]) -> Ended {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("piped");
    let (id, input) = (child.id(), input.to_vec());
    std::thread::spawn(move || {
        // A program that refuses its flags reads nothing.
        let _ = stdin.write_all(&input);
    });
    let (write, read) = mpsc::channel();
    std::thread::spawn(move || write.send(child.wait_with_output()));
    let Ok(output) = read.recv_timeout(PATIENCE) else {
        let _ = Command::new("kill").arg("-9").arg(id.to_string()).status();
        panic!("the program does not end: {command:?}");
    };
    let Output { status, stdout, stderr } = output.expect("its output");
    let text = |octets: Vec<u8>| String::from_utf8_lossy(&octets).into_owned();
    let ended = Ended { code: status.code().unwrap_or(-1), stdout: text(stdout), stderr: text(stderr) };
    assert!(!ended.stdout.contains(CANARY) && !ended.stderr.contains(CANARY), "{ended:?}");
    ended
}

/// A link to the program in a directory of its own; both go with this value.
pub struct Link(PathBuf);

impl Link {
    pub fn named(name: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("mailshim-link-{}-{count}", std::process::id()));
        std::fs::create_dir(&directory).expect("a directory");
        let path = directory.join(name);
        std::os::unix::fs::symlink(PROGRAM, &path).expect("a link");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
        let _ = self.0.parent().map(std::fs::remove_dir);
    }
}
