//! A log that nobody reads costs lines of the log, and never a mail.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use office365::{Office365, Settings};
use support::PATIENCE;
use support::client::Client;
use support::process::kill;
use support::program::{event, program, variables};

use super::http::Probes;
use crate::process::MAIL;

/// More than the pipe and the queue hold.
const MAILS: usize = 800;

/// A program whose standard error is read up to its listening, and from there on only when somebody does.
struct Unread {
    child: Child,
    log: BufReader<ChildStderr>,
    address: std::net::SocketAddr,
    probes: Probes,
}

impl Unread {
    fn start(office365: &Office365, arguments: &[&str]) -> Self {
        let more = [("MAILSHIM_HTTP_LISTEN", "127.0.0.1:0"), ("MAILSHIM_MESSAGES_PER_MINUTE", "0")];
        let mut command = Command::new(program());
        command.args(arguments).env_clear().envs(variables(office365, &more)).env("PATH", "/usr/bin:/bin");
        let mut child =
            command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let mut log = BufReader::new(child.stderr.take().expect("piped"));
        let mut address = |part: &str| loop {
            let mut line = String::new();
            assert!(log.read_line(&mut line).expect("text") > 0, "no line with {part}");
            if line.contains(part) {
                break event(&line)["address"].as_str().expect("text").parse().expect("an address");
            }
        };
        let probes = Probes(address("probes and metrics"));
        let address = address("\"message\":\"listening\"");
        Self { child, log, address, probes }
    }

    fn send_all(&self) {
        let mut app = Client::connect(self.address);
        for _ in 0..MAILS {
            assert!(app.mail(MAIL).starts_with("250 "));
        }
        assert_eq!(app.command("QUIT"), "221 2.0.0 Bye");
    }

    /// SIGTERM; how long the end takes.
    fn end(&mut self) -> Duration {
        let begun = Instant::now();
        kill("TERM", self.child.id());
        while self.child.try_wait().expect("a child").is_none() {
            if begun.elapsed() > PATIENCE {
                let _ = self.child.kill();
                panic!("SIGTERM does not end it");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        begun.elapsed()
    }

    /// The rest of the log.
    fn read(&mut self) -> Vec<serde_json::Value> {
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).expect("text");
        rest.lines().map(event).collect()
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn mails(log: &[serde_json::Value]) -> usize {
    log.iter().filter(|line| line["outcome"] == "accepted").count()
}

fn dropped(probes: Probes, level: &str) -> usize {
    let series = format!("mailshim_log_lines_dropped_total{{level=\"{level}\"}} ");
    let metrics = probes.ask("GET", "/metrics").body;
    let count = metrics.lines().find_map(|line| line.strip_prefix(&series));
    count.map_or(0, |count| count.parse().expect("a number"))
}

#[test]
fn mail_goes_on_and_the_end_comes_in_time() {
    let office365 = Office365::start(Settings::default());
    let mut shim = Unread::start(&office365, &[]);
    shim.send_all();
    assert!(dropped(shim.probes, "info") > 0, "{MAILS} mails filled nothing: the test tests nothing");
    let took = shim.end();
    assert!(took < Duration::from_secs(10), "{took:?}");
    let log = shim.read();
    assert!(mails(&log) > 50 && mails(&log) < MAILS, "{}", mails(&log));
}

#[test]
fn who_comes_back_reads_how_many_lines_are_missing() {
    let office365 = Office365::start(Settings::default());
    let mut shim = Unread::start(&office365, &[]);
    shim.send_all();
    let missing = dropped(shim.probes, "info");
    assert!(missing > 0);
    let mut log = Vec::new();
    loop {
        let mut line = String::new();
        shim.log.read_line(&mut line).expect("text");
        log.push(event(&line));
        if line.contains("the log was not read for a while") {
            break;
        }
    }
    let notice = log.last().expect("it was read");
    assert_eq!((&notice["dropped"], &notice["info"]), (&missing.into(), &missing.into()), "{notice}");
    assert_eq!(notice["level"], "WARN");
    // It flows again: each line comes, and the notice does not.
    assert!(Client::connect(shim.address).mail(MAIL).starts_with("250 "));
    kill("TERM", shim.child.id());
    log.extend(shim.read());
    assert_eq!(mails(&log), MAILS - missing + 1);
    assert_eq!(log.iter().filter(|line| line.get("dropped").is_some()).count(), 1);
}

#[test]
fn exec_ends_with_its_app_though_nobody_reads() {
    let office365 = Office365::start(Settings::default());
    // Fills the pipe that it shares with both of ours, without being held up by it; then lives on.
    let app = "dd if=/dev/zero bs=4096 count=64 oflag=nonblock of=/dev/stderr 2>/dev/null; exec sleep 600";
    let mut shim = Unread::start(&office365, &["exec", "--", "sh", "-c", app]);
    shim.send_all();
    let took = shim.end();
    assert!(took < Duration::from_secs(15), "{took:?}");
}
