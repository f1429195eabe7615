//! A simulated Office 365 and a shim in front of it, each in a thread of its own. When it goes, both are looked over: the
//! client has broken no rule of the protocol, and the shim ended by itself.

use std::net::SocketAddr;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use mailshim::cli::serve;
use mailshim::config::Config;
use mailshim::deadlines::Deadlines;
use office365::{Fault, Office365, Settings, Side, Stats, Taken, Times, without_first_received};
use tokio::sync::oneshot;

use crate::client::{Client, Reply};

/// Bounds every wait of a test; reached only when something is broken.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// Long enough for a slow machine; a test shortens what it wants to see ending.
pub fn deadlines() -> Deadlines {
    let seconds = Duration::from_secs;
    Deadlines {
        greeting: seconds(20),
        command: seconds(20),
        tls: seconds(20),
        verdict: seconds(20),
        token: seconds(20),
        quit: Duration::from_millis(500),
        ..Deadlines::default()
    }
}

/// One that ends within the test, for what never answers.
pub const SOON: Duration = Duration::from_millis(600);

/// What a test changes before it starts.
pub struct Plan {
    settings: Settings,
    deadlines: Deadlines,
    env: Vec<(String, String)>,
    before: Vec<(Fault, Times)>,
}

pub fn plan() -> Plan {
    Plan { settings: Settings::default(), deadlines: deadlines(), env: Vec::new(), before: Vec::new() }
}

impl Plan {
    pub fn settings(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    pub fn deadlines(mut self, change: impl FnOnce(&mut Deadlines)) -> Self {
        change(&mut self.deadlines);
        self
    }

    /// Sets a variable; an empty value takes it away.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Signs in with the mailbox's password instead of tokens.
    pub fn password(self) -> Self {
        let password = self.settings.password.clone();
        ["MAILSHIM_TENANT_ID", "MAILSHIM_CLIENT_ID", "MAILSHIM_CLIENT_SECRET", "AZURE_AUTHORITY_HOST"]
            .iter()
            .fold(self, |plan, name| plan.env(name, ""))
            .env("MAILSHIM_PASSWORD", &password)
    }

    /// Arms a fault before the shim starts, and asks for its first token.
    pub fn fault(mut self, fault: Fault, times: Times) -> Self {
        self.before.push((fault, times));
        self
    }

    pub fn start(self) -> Setup {
        let office365 = Office365::start(self.settings);
        for (fault, times) in self.before {
            office365.fault(fault, times);
        }
        let mut env = office365.env();
        env.push(("MAILSHIM_LISTEN".into(), "127.0.0.1:0".into()));
        env.push(("MAILSHIM_HTTP_LISTEN".into(), "off".into()));
        env.push(("MAILSHIM_MESSAGES_PER_MINUTE".into(), "0".into()));
        env.push(("MAILSHIM_HOLD".into(), "30s".into()));
        env.push(("MAILSHIM_SHUTDOWN_GRACE".into(), "5s".into()));
        for (name, value) in self.env {
            env.retain(|(other, _)| *other != name);
            if !value.is_empty() {
                env.push((name, value));
            }
        }
        let vars = env.into_iter().map(|(name, value)| (name.into(), value.into()));
        let config = Config::from_env(vars).unwrap_or_else(|errors| panic!("{errors}"));
        let deadlines = self.deadlines;
        let (bound, address) = mpsc::channel();
        let (ended, end) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(4)
                .build()
                .expect("a runtime");
            let result = runtime.block_on(async {
                let sockets = serve::bind(&config).await?;
                bound.send(sockets.smtp[0].local_addr().expect("an address")).expect("the test waits");
                let run = serve::run(&config, deadlines, sockets, async { drop(stopped.await) });
                run.await.map_err(|failed| format!("{failed:?}"))
            });
            runtime.shutdown_background();
            let _ = ended.send(result);
        });
        let address = address.recv_timeout(PATIENCE).expect("the shim listens");
        Setup { office365, address, stop: Some(stop), end: Some(Mutex::new(end)) }
    }
}

/// The running pair.
pub struct Setup {
    pub office365: Office365,
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    /// Taken once it has ended.
    end: Option<Mutex<mpsc::Receiver<Result<(), String>>>>,
}

impl Setup {
    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// One mail by a client of its own.
    pub fn send(&self, content: &[u8]) -> Reply {
        self.client().mail(content)
    }

    pub fn fault(&self, fault: Fault, times: Times) {
        self.office365.fault(fault, times);
    }

    /// Waits until the counters are so.
    #[track_caller]
    pub fn wait(&self, done: impl Fn(&Stats) -> bool) {
        assert!(self.office365.wait(PATIENCE, done), "{:#?}", self.office365.stats());
    }

    /// Exactly these mails were taken, byte for byte, in any order.
    #[track_caller]
    pub fn took(&self, contents: &[&[u8]]) -> Vec<Taken> {
        let taken = self.office365.taken();
        assert_eq!(taken.len(), contents.len(), "{}", self.dialogue());
        let mut left: Vec<&[u8]> = taken.iter().map(|taken| without_first_received(&taken.content)).collect();
        for content in contents {
            let at = left.iter().position(|left| left == content);
            let at = at.unwrap_or_else(|| {
                panic!("not taken, or changed:\n{}\n\n{}", String::from_utf8_lossy(content), self.dialogue())
            });
            left.swap_remove(at);
        }
        taken
    }

    /// What was said upstream, for a person; its end.
    pub fn dialogue(&self) -> String {
        let lines: Vec<String> = self.office365.dialogue().iter().map(ToString::to_string).collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// How often the client said something that begins so.
    pub fn said(&self, start: &str) -> usize {
        let lines = self.office365.dialogue();
        lines.iter().filter(|line| line.side == Side::Client && line.text.starts_with(start)).count()
    }

    /// Begins the shutdown.
    pub fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits for the shim's end.
    #[track_caller]
    pub fn ended(&mut self) {
        self.stop();
        let Some(end) = self.end.take() else { return };
        let result =
            end.into_inner().unwrap().recv_timeout(PATIENCE).expect("the shim ends within its grace");
        assert_eq!(result, Ok(()));
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.ended();
        assert_eq!(self.office365.violations(), Vec::<String>::new(), "{}", self.dialogue());
    }
}

/// A mail that nothing need be added to.
pub fn mail(number: usize, body: &str) -> Vec<u8> {
    format!(
        "From: App <app@contoso.com>\r\nTo: x@example.com\r\nSubject: test {number}\r\nDate: Mon, 23 Nov 2026 08:00:00 \
         +0000\r\nMessage-ID: <{number}@contoso.com>\r\nMIME-Version: 1.0\r\n\r\n{body}"
    )
    .into_bytes()
}

pub fn small(number: usize) -> Vec<u8> {
    mail(number, "Hello\r\n.\r\n..two\r\nend\r\n")
}

/// A mail of at least this many octets, all lines different.
pub fn large(number: usize, octets: usize) -> Vec<u8> {
    let mut content = mail(number, "");
    let mut line = 0;
    while content.len() < octets {
        content.extend_from_slice(format!(".{line:08} {}\r\n", "abcdefg ".repeat(8)).as_bytes());
        line += 1;
    }
    content
}
