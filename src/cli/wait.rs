//! `mailshim healthcheck` and `mailshim wait`: is the shim there? For images without a shell, and for start scripts.
//!
//! Both read where to ask and nothing else of the configuration. What they do leaves no line in the shim's log above
//! `debug`: a greeting, QUIT and goodbye, or one GET of `/readyz`.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::exit::USAGE;
use crate::config::{http_listen_only, listen_only};
use crate::deadlines::Deadlines;

const HTTP_LISTEN: &str = "MAILSHIM_HTTP_LISTEN";
/// Between two tries: short against a start, long against the cost of a try.
const PAUSE: Duration = Duration::from_millis(50);
/// The most that is read of an answer.
const ANSWER: u64 = 16 * 1024;

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

/// Where to ask an endpoint that is bound to `address`: a wildcard is asked on loopback.
fn askable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
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
    let ask = || {
        let mut stream = connect(address, bound)?;
        // 1.0: the answer is not chunked and ends with the connection.
        stream.write_all(format!("GET /readyz HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
        let mut answer = Vec::new();
        stream.take(ANSWER).read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = ask().map_err(|error: io::Error| {
        format!("http://{address}/readyz does not answer: {error} ({HTTP_LISTEN})")
    })?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().unwrap_or_default();
    let mut words = status.split_ascii_whitespace();
    match (words.next(), words.next()) {
        (Some(version), Some("200")) if version.starts_with("HTTP/1.") => Ok(()),
        _ => {
            let reason =
                body.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
            let said = if reason.is_empty() { status } else { &reason };
            let said: String = said.chars().take(500).flat_map(char::escape_debug).collect();
            Err(format!("not ready: {said}"))
        }
    }
}

/// The bound holds for each step alone: three short ones at most.
fn connect(address: SocketAddr, bound: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, bound)?;
    stream.set_read_timeout(Some(bound))?;
    stream.set_write_timeout(Some(bound))?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    const BOUND: Duration = Duration::from_secs(10);

    #[test]
    fn a_wildcard_is_asked_on_loopback() {
        for (bound, asked) in
            [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "[::1]:80"), ("10.0.0.7:80", "10.0.0.7:80")]
        {
            assert_eq!(askable(bound.parse().unwrap()).to_string(), asked);
        }
    }

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
