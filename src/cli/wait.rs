//! `mailshim healthcheck` and `mailshim wait`: is the shim there? For images without a shell, and for start scripts.
//!
//! Both read where to ask and nothing else of the configuration. What they do leaves no line in the shim's log above
//! `debug`: a greeting, QUIT and goodbye, or one GET of `/readyz`.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::ask::{ANSWER, HTTP_LISTEN, askable, connect, get};
use super::exit::USAGE;
use crate::config::{http_listen_only, listen_only};
use crate::deadlines::Deadlines;

/// Between two tries: short against a start, long against the cost of a try.
const PAUSE: Duration = Duration::from_millis(50);

/// `healthcheck [--ready]`: 0 while the shim listens; with `--ready`, while `/readyz` says so.
pub(super) fn healthcheck(ready: bool) -> ExitCode {
    match Question::new(ready) {
        Ok(question) => told(question.ask(Deadlines::default().probe)),
        Err(problem) => usage("healthcheck", &problem),
    }
}

/// `wait [--timeout 30s] [--ready]`: returns when `healthcheck` would say 0, or with 1 after the timeout.
pub(super) fn wait(timeout: Duration, ready: bool) -> ExitCode {
    let question = match Question::new(ready) {
        Ok(question) => question,
        Err(problem) => return usage("wait", &problem),
    };
    let end = Instant::now() + timeout;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        // Even with no time left one try is made.
        match question.ask(Deadlines::default().probe.min(left.max(PAUSE))) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(problem) if left <= PAUSE => {
                return told(Err(format!("not there after {timeout:?}: {problem}")));
            }
            Err(_) => sleep(PAUSE),
        }
    }
}

fn told(answer: Result<(), String>) -> ExitCode {
    match answer {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("mailshim: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn usage(command: &str, problem: &str) -> ExitCode {
    eprintln!("mailshim: {command}: {problem}");
    ExitCode::from(USAGE)
}

/// What is asked, and whom.
#[derive(Debug, PartialEq, Eq)]
enum Question {
    Listening(SocketAddr),
    Ready(SocketAddr),
}

impl Question {
    fn new(ready: bool) -> Result<Self, String> {
        if ready {
            let listen = http_listen_only(std::env::vars_os()).map_err(|errors| errors.to_string())?;
            let address = listen.ok_or_else(|| {
                format!("{HTTP_LISTEN} is off, so that there is no /readyz to ask: leave --ready out")
            })?;
            return Ok(Self::Ready(askable(address)));
        }
        let listen = listen_only(std::env::vars_os()).map_err(|errors| errors.to_string())?;
        // One is enough: all are bound, or the shim does not run.
        match listen.addresses.first().map(|address| address.get()) {
            Some(address) if address.port() != 0 => Ok(Self::Listening(address)),
            _ => {
                Err("MAILSHIM_LISTEN: port 0 is another one at each start: there is no telling where to ask"
                    .to_string())
            }
        }
    }

    fn ask(&self, bound: Duration) -> Result<(), String> {
        match *self {
            Self::Listening(address) => greeting(address, bound)
                .map_err(|error| format!("nothing takes mail on {address}: {error} (MAILSHIM_LISTEN)")),
            Self::Ready(address) => readiness(address, bound),
        }
    }
}

/// To connect would not do: the kernel accepts for a process that hangs. The goodbye is said so that the session ends
/// like any other.
fn greeting(address: SocketAddr, bound: Duration) -> io::Result<()> {
    let mut stream = connect(address, bound)?;
    let mut line = String::new();
    BufReader::new((&stream).take(ANSWER)).read_line(&mut line)?;
    match line.get(..3) {
        Some("220") => {
            // All is known that was asked: what goes wrong from here is nobody's trouble.
            let _ = stream.write_all(b"QUIT\r\n");
            let _ = stream.read_to_end(&mut Vec::new());
            Ok(())
        }
        // Every session is taken: it is busy, and not to be restarted for that.
        Some("421") => Ok(()),
        _ => {
            let line: String = line.trim_end().chars().take(80).flat_map(char::escape_debug).collect();
            Err(io::Error::other(format!("no SMTP greeting but \"{line}\"")))
        }
    }
}

/// The body of a refusal is the reason.
fn readiness(address: SocketAddr, bound: Duration) -> Result<(), String> {
    let answer = get(address, "/readyz", "*/*", bound)?;
    if answer.status == Some(200) {
        return Ok(());
    }
    let lines = answer.body.lines().map(str::trim).filter(|line| !line.is_empty());
    let reason = lines.collect::<Vec<_>>().join("; ");
    let said = if reason.is_empty() { &answer.line } else { &reason };
    let said: String = said.chars().take(500).flat_map(char::escape_debug).collect();
    Err(format!("not ready: {said}"))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread;

    use super::*;

    const BOUND: Duration = Duration::from_secs(10);

    /// A server that says this to one connection; what it was told.
    fn server(words: &'static str, reads_first: bool) -> (SocketAddr, thread::JoinHandle<String>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let serve = move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(BOUND)).unwrap();
            let mut heard = [0; 1024];
            let mut read = 0;
            if reads_first {
                read = stream.read(&mut heard).unwrap();
            }
            stream.write_all(words.as_bytes()).unwrap();
            if !reads_first {
                read = stream.read(&mut heard).unwrap();
            }
            String::from_utf8_lossy(&heard[..read]).into_owned()
        };
        (address, thread::spawn(serve))
    }

    #[test]
    fn a_greeting_is_answered_with_quit() {
        let (address, heard) = server("220 here\r\n", false);
        assert!(greeting(address, BOUND).is_ok());
        assert_eq!(heard.join().unwrap(), "QUIT\r\n");
    }

    #[test]
    fn busy_is_alive_and_a_stranger_is_not() {
        for (words, is_alive) in
            [("421 4.3.2 Too many\r\n", true), ("SSH-2.0-x\r\n", false), ("", false), ("22\u{fffd}", false)]
        {
            let (address, heard) = server(words, false);
            // The stranger closes when we do.
            let result = if !words.ends_with('\n') {
                greeting(address, Duration::from_millis(50))
            } else {
                greeting(address, BOUND)
            };
            assert_eq!(result.is_ok(), is_alive, "{words} {result:?}");
            heard.join().unwrap();
        }
    }

    #[test]
    fn the_reason_is_repeated() {
        let (address, heard) = server("HTTP/1.0 200 OK\r\n\r\nready\n", true);
        assert_eq!(readiness(address, BOUND), Ok(()));
        assert!(heard.join().unwrap().starts_with("GET /readyz HTTP/1.0\r\n"));
        let refusal =
            "HTTP/1.1 503 Service Unavailable\r\nX: y\r\n\r\nthe last sign-in was refused\nAADSTS7000222\n";
        let (address, _heard) = server(refusal, true);
        let reason = "not ready: the last sign-in was refused; AADSTS7000222";
        assert_eq!(readiness(address, BOUND), Err(reason.to_string()));
    }
}
