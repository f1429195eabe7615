//! The probes' own HTTP.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use office365::{Office365, Settings};
use support::PATIENCE;
use support::program::{Program, event};

/// An answer.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// The probes of a running shim.
#[derive(Clone, Copy)]
pub struct Probes(pub SocketAddr);

/// A shim with probes on a free port of this address.
pub fn start(office365: &Office365, listen: &str, more: &[(&str, &str)]) -> (Program, Probes) {
    let variables: Vec<_> = [("MAILSHIM_HTTP_LISTEN", listen)].iter().chain(more).copied().collect();
    started(Program::start(office365, &variables))
}

/// The same, without the simulator's client secret: another way to sign in is among the variables.
pub fn start_without_secret(office365: &Office365, more: &[(&str, &str)]) -> (Program, Probes) {
    start(office365, "127.0.0.1:0", &[&[("MAILSHIM_CLIENT_SECRET", "")], more].concat())
}

pub fn started(shim: Program) -> (Program, Probes) {
    let line = shim.log.iter().find(|line| line.contains("probes and metrics are served"));
    let address = event(line.expect("told before the app's port"));
    let mut address: SocketAddr = address["address"].as_str().expect("text").parse().expect("an address");
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    (shim, Probes(address))
}

impl Probes {
    /// One request.
    #[track_caller]
    pub fn ask(self, method: &str, path: &str) -> Answer {
        self.ask_with(method, path, "Host: localhost")
    }

    /// One request with these header lines.
    #[track_caller]
    pub fn ask_with(self, method: &str, path: &str, headers: &str) -> Answer {
        let mut socket = TcpStream::connect(self.0).expect("the probes listen");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        write!(socket, "{method} {path} HTTP/1.1\r\n{headers}\r\nContent-Length: 0\r\n\r\n")
            .expect("it reads");
        let mut text = String::new();
        socket.read_to_string(&mut text).expect("it answers and closes");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_string() }
    }

    /// Asks until the answer is as wanted.
    #[track_caller]
    pub fn until(self, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask("GET", path);
            if wanted(&answer) {
                return answer;
            }
            assert!(Instant::now() < until, "{path} stays {}", answer.body);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn get_and_head_only_and_nothing_is_logged() {
    let office365 = Office365::start(Settings::default());
    let (mut shim, probes) = start(&office365, "127.0.0.1:0", &[("MAILSHIM_LOG", "trace")]);
    probes.until("/readyz", |answer| answer.status == 200);
    shim.wait_for("signed in to Office 365");
    let get = probes.ask("GET", "/metrics");
    assert_eq!(get.status, 200);
    assert!(get.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{}", get.head);
    assert!(get.head.contains("cache-control: no-store"), "{}", get.head);
    let head = probes.ask("HEAD", "/metrics");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert!(head.head.contains("content-length: ") && head.head.contains("version=0.0.4"), "{}", head.head);
    for path in ["/livez", "/readyz", "/metrics", "/"] {
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let refused = probes.ask(method, path);
            assert_eq!(refused.status, 405, "{method} {path}");
            assert!(refused.head.contains("allow: get, head"), "{}", refused.head);
        }
    }
    assert_eq!(probes.ask("GET", "/livez").body, "alive\n");
    assert_eq!(probes.ask("GET", "/nothing").status, 404);
    shim.signal("TERM");
    assert_eq!(shim.wait().code(), Some(0));
    let log = shim.log.join("\n");
    for word in ["livez", "/metrics", "GET", "probes\""] {
        assert!(!log.contains(word), "{word} in the log:\n{log}");
    }
}

#[test]
fn openmetrics_where_it_is_asked_for_and_each_outcome_from_the_start() {
    let office365 = Office365::start(Settings::default());
    let (_shim, probes) = start(&office365, "127.0.0.1:0", &[]);
    let accept = "Host: localhost\r\nAccept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
    let openmetrics = probes.ask_with("GET", "/metrics", accept);
    assert!(openmetrics.head.contains("content-type: application/openmetrics-text; version=1.0.0"));
    assert!(openmetrics.body.contains("# TYPE mailshim_messages counter"), "{}", openmetrics.body);
    let plain = probes.ask("GET", "/metrics").body;
    assert!(plain.contains("# TYPE mailshim_messages_total counter") && !plain.contains("# EOF"), "{plain}");
    for outcome in ["accepted", "refused", "deferred", "unknown", "abandoned"] {
        let born = format!("mailshim_messages_total{{outcome=\"{outcome}\",code=\"\"}} 0");
        assert!(plain.lines().any(|line| line == born), "{born}\n{plain}");
    }
}

#[test]
fn another_name_than_localhost_is_refused() {
    let office365 = Office365::start(Settings::default());
    let (_shim, probes) = start(&office365, "127.0.0.1:0", &[]);
    for path in ["/", "/livez", "/readyz", "/metrics"] {
        assert_eq!(probes.ask_with("GET", path, "Host: rebound.example").status, 421, "{path}");
    }
    assert_eq!(probes.ask_with("GET", "/livez", "Host: 127.0.0.1:9025").status, 200);
}

#[test]
fn silent_connections_keep_nobody_from_being_answered() {
    let office365 = Office365::start(Settings::default());
    let (_shim, probes) = start(&office365, "127.0.0.1:0", &[]);
    let mut silent: Vec<_> = (0..24).map(|_| TcpStream::connect(probes.0).expect("it listens")).collect();
    let begun = Instant::now();
    assert_eq!(probes.ask("GET", "/livez").status, 200);
    // Before any of them has used up its two seconds.
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    // The oldest were closed at once, the last after its time.
    for index in [0, 23] {
        let socket = &mut silent[index];
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        assert!(matches!(socket.read(&mut [0]), Ok(0) | Err(_)));
    }
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}
