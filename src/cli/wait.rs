//! `mailshim healthcheck` and `mailshim wait`: is the shim there? For images without a shell, and for start scripts.
//!
//! Both read where to ask and nothing else of the configuration. What they do leaves no line in the shim's log above
//! `debug`: a greeting, QUIT and goodbye, or one GET of `/readyz`.

use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::USAGE;
use crate::config::{duration, listen_only};
use crate::deadlines::Deadlines;

const HTTP_LISTEN: &str = "MAILSHIM_HTTP_LISTEN";
const HTTP_LISTEN_DEFAULT: &str = "127.0.0.1:9025";
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// Between two tries: short against a start, long against the cost of a try.
const PAUSE: Duration = Duration::from_millis(50);
/// The most that is read of an answer.
const ANSWER: u64 = 16 * 1024;

/// `healthcheck [--ready]`: 0 while the shim listens; with `--ready`, while `/readyz` says so.
pub(super) fn healthcheck(arguments: &[OsString]) -> ExitCode {
    match options(arguments, false).and_then(|options| Question::new(options.ready)) {
        Ok(question) => told(question.ask(Deadlines::default().probe)),
        Err(problem) => usage("healthcheck", &problem),
    }
}

/// `wait [--timeout 30s] [--ready]`: returns when `healthcheck` would say 0, or with 1 after the timeout.
pub(super) fn wait(arguments: &[OsString]) -> ExitCode {
    let question =
        options(arguments, true).and_then(|options| Ok((Question::new(options.ready)?, options.timeout)));
    let (question, timeout) = match question {
        Ok(found) => found,
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

#[derive(Debug, PartialEq, Eq)]
struct Options {
    ready: bool,
    timeout: Duration,
}

fn options(arguments: &[OsString], takes_timeout: bool) -> Result<Options, String> {
    let mut options = Options { ready: false, timeout: TIMEOUT_DEFAULT };
    let mut words = arguments.iter().map(|word| word.to_string_lossy());
    while let Some(word) = words.next() {
        let (name, mut value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_string())),
            None => (&*word, None),
        };
        match name {
            "--ready" if value.is_none() => options.ready = true,
            "--timeout" if takes_timeout => {
                value = value.or_else(|| words.next().map(Into::into));
                let text = value.ok_or("--timeout needs a duration, such as 30s")?;
                options.timeout =
                    duration("0s", "1h")(&text).map_err(|problem| format!("\"{text}\" {problem}"))?;
            }
            _ => return Err(format!("unknown argument {word}")),
        }
    }
    Ok(options)
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
            let text = std::env::var(HTTP_LISTEN).unwrap_or_default();
            return Ok(Self::Ready(http_address(text.trim())?));
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

/// The address of the HTTP endpoint; a wildcard is asked on loopback.
fn http_address(text: &str) -> Result<SocketAddr, String> {
    let text = if text.is_empty() { HTTP_LISTEN_DEFAULT } else { text };
    if text == "off" {
        return Err(format!("{HTTP_LISTEN} is off, so that there is no /readyz to ask: leave --ready out"));
    }
    let first = text.split(',').next().unwrap_or_default().trim();
    let first = first.replacen("localhost:", "127.0.0.1:", 1);
    let mut address: SocketAddr = first
        .parse()
        .map_err(|_| format!("{HTTP_LISTEN} is not an address with a port: write {HTTP_LISTEN_DEFAULT}"))?;
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(address)
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

    fn read(words: &[&str]) -> Result<Options, String> {
        options(&words.iter().map(OsString::from).collect::<Vec<_>>(), true)
    }

    #[test]
    fn arguments() {
        let given = |ready, seconds| Ok(Options { ready, timeout: Duration::from_secs(seconds) });
        assert_eq!(read(&[]), given(false, 30));
        assert_eq!(read(&["--ready", "--timeout", "2m"]), given(true, 120));
        assert_eq!(read(&["--timeout=0s"]), given(false, 0));
        for wrong in [&["--timeout"][..], &["--timeout", "30"], &["--ready=1"], &["x"]] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
        assert!(options(&["--timeout=1s".into()], false).is_err(), "healthcheck has none");
    }

    #[test]
    fn where_readyz_is() {
        for (text, address) in [
            ("", "127.0.0.1:9025"),
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("10.0.0.7:80", "10.0.0.7:80"),
            ("localhost:80", "127.0.0.1:80"),
        ] {
            assert_eq!(http_address(text).map(|address| address.to_string()), Ok(address.to_string()));
        }
        assert!(http_address("off").is_err_and(|problem| problem.contains("leave --ready out")));
        assert!(http_address("9025").is_err());
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
