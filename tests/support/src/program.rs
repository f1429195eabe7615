//! The real program, started with an environment of its own.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{LazyLock, mpsc};
use std::time::Instant;

use office365::Office365;

use crate::client::Client;
use crate::process::{Heard, NoLine, Running, kill};
use crate::{CANARY, PATIENCE};

/// The path of the program that the tests are of.
pub fn program() -> &'static str {
    static PATH: LazyLock<String> = LazyLock::new(|| {
        std::env::var("CARGO_BIN_EXE_mailshim").expect("cargo names the program to what it runs")
    });
    &PATH
}

/// The variables of the simulator, a free port and a log for programs, with these over them; an empty value takes one
/// away.
pub fn variables(office365: &Office365, more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut variables: BTreeMap<_, _> = office365.env().into_iter().collect();
    let ours = [("MAILSHIM_LISTEN", "127.0.0.1:0"), ("MAILSHIM_LOG_FORMAT", "json")];
    for (name, value) in ours.iter().chain(more) {
        variables.insert((*name).to_string(), (*value).to_string());
    }
    variables.retain(|_, value| !value.is_empty());
    variables
}

/// A running mailshim; killed with this value.
pub struct Program {
    running: Running,
    /// The log so far, as far as somebody waited for it.
    pub log: Vec<String>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Program {
    /// A shim that sends to this simulator, with these variables besides; it listens.
    #[track_caller]
    pub fn start(office365: &Office365, more: &[(&str, &str)]) -> Self {
        Self::start_by(Command::new(program()), office365, more)
    }

    /// The same, started by a command that ends in it.
    #[track_caller]
    pub fn start_by(mut command: Command, office365: &Office365, more: &[(&str, &str)]) -> Self {
        command.env_clear().envs(variables(office365, more));
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut shim = Self { running: Running::start(&mut command), log: Vec::new(), address: nowhere };
        shim.address = loop {
            let line = shim.wait_for("listening");
            if let Some(address) = listens(&line) {
                break address;
            }
        };
        shim
    }

    /// An app, greeted.
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// What it prints to standard output.
    pub const fn output(&self) -> &Heard {
        &self.running.output
    }

    /// The whole log so far, waited for or not.
    pub fn printed(&self) -> String {
        self.running.log.all()
    }

    /// Waits for the next log line that contains this.
    #[track_caller]
    pub fn wait_for(&mut self, part: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.running.log.line(until) {
                Ok(line) => {
                    self.log.push(line.clone());
                    if line.contains(part) {
                        return line;
                    }
                }
                Err(why) => panic!("no log line with {part} ({why:?}):\n{}", self.log.join("\n")),
            }
        }
    }

    /// Sends a signal, by its name without SIG.
    pub fn signal(&self, name: &str) {
        kill(name, self.pid());
    }

    /// Waits for the end; the log is whole then.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.running.log.line(until) {
                Ok(line) => self.log.push(line),
                Err(NoLine::Ended) => return self.running.end(),
                Err(why) => panic!("mailshim does not end ({why:?}):\n{}", self.log.join("\n")),
            }
        }
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.signal("KILL");
        self.wait();
    }
}

/// The address of the line that says where it listens, in either format of the log.
fn listens(line: &str) -> Option<SocketAddr> {
    if line.starts_with('{') {
        let event = event(line);
        let address = event["address"].as_str().filter(|_| event["message"] == "listening")?;
        return address.parse().ok();
    }
    let (_, address) = line.split_once(" listening address=")?;
    address.split(' ').next()?.parse().ok()
}

/// A log line of the JSON format.
#[track_caller]
pub fn event(line: &str) -> serde_json::Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; -1 where a signal ended it.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it printed to standard error.
    pub stderr: String,
}

impl Ended {
    /// All that it printed.
    pub fn printed(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
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
        kill("KILL", id);
        panic!("the program does not end: {command:?}");
    };
    let output = output.expect("its output");
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    let ended = Ended { code: output.status.code().unwrap_or(-1), stdout, stderr };
    assert!(!ended.printed().contains(CANARY), "{ended:?}");
    ended
}
