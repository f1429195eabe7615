//! The shim in a thread of its own, alone or with a simulated Office 365 behind it. When it goes it is looked over: it
//! ended by itself, and in a [`Setup`] it has broken no rule of the protocol.

use std::net::SocketAddr;
use std::sync::{Mutex, mpsc};

use mailshim::testing::cli::serve::{self, FirstSignIn};
use mailshim::testing::config::{Config, ConfigErrors};
use mailshim::testing::deadlines::Deadlines;
use office365::{Fault, Office365, Settings, Side, Stats, Taken, Times, without_first_received};
use tokio::sync::oneshot;

use crate::PATIENCE;
use crate::client::{Client, Reply};

/// Long enough for a slow machine; a test shortens what it wants to see ending.
pub fn deadlines() -> Deadlines {
    let seconds = std::time::Duration::from_secs;
    Deadlines {
        greeting: seconds(20),
        command: seconds(20),
        tls: seconds(20),
        verdict: seconds(20),
        token: seconds(20),
        quit: std::time::Duration::from_millis(500),
        ..Deadlines::default()
    }
}

/// The variables of the simulator and of the tests with these over them; the last of a name counts, and an empty value
/// takes it away.
pub fn variables(office365: &Office365, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let ours = [
        ("MAILSHIM_LISTEN", "127.0.0.1:0"),
        ("MAILSHIM_HTTP_LISTEN", "off"),
        ("MAILSHIM_MESSAGES_PER_MINUTE", "0"),
        ("MAILSHIM_HOLD", "30s"),
        ("MAILSHIM_SHUTDOWN_GRACE", "5s"),
    ];
    let mut variables = office365.env();
    for (name, value) in ours.iter().chain(more) {
        variables.retain(|(other, _)| other != name);
        if !value.is_empty() {
            variables.push(((*name).to_string(), (*value).to_string()));
        }
    }
    variables
}

/// What the shim makes of [`variables`].
///
/// # Errors
/// All that is wrong with them.
pub fn config(office365: &Office365, more: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let variables = variables(office365, more).into_iter();
    Config::from_env(variables.map(|(name, value)| (name.into(), value.into())))
}

/// A shim that listens.
pub struct Shim {
    /// Where it listens.
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    /// Taken once it has ended.
    end: Option<Mutex<mpsc::Receiver<Result<(), String>>>>,
}

impl Shim {
    /// A shim that sends to this simulator, with these variables besides.
    #[track_caller]
    pub fn start(office365: &Office365, more: &[(&str, &str)]) -> Self {
        Self::run(config(office365, more).unwrap_or_else(|errors| panic!("{errors}")), deadlines())
    }

    /// A shim of this configuration.
    #[track_caller]
    pub fn run(config: Config, deadlines: Deadlines) -> Self {
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
                // Most tests count connections, those of their mails.
                let first = FirstSignIn::WithFirstMail;
                let run = serve::run(&config, deadlines, sockets, first, async { drop(stopped.await) });
                run.await.map_err(|failed| format!("{failed:?}"))
            });
            runtime.shutdown_background();
            let _ = ended.send(result);
        });
        let address = address.recv_timeout(PATIENCE).expect("the shim listens");
        Self { address, stop: Some(stop), end: Some(Mutex::new(end)) }
    }

    /// An app, greeted.
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// One mail by an app of its own.
    #[track_caller]
    pub fn send(&self, content: &(impl AsRef<[u8]> + ?Sized)) -> Reply {
        let mut app = self.client();
        app.command("EHLO app").is(250);
        app.mail(content)
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

impl Drop for Shim {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.ended();
        }
    }
}

/// What a test changes before it starts.
pub struct Plan {
    settings: Settings,
    deadlines: Deadlines,
    env: Vec<(String, String)>,
    before: Vec<(Fault, Times)>,
}

/// What nothing is changed of.
pub fn plan() -> Plan {
    Plan { settings: Settings::default(), deadlines: deadlines(), env: Vec::new(), before: Vec::new() }
}

impl Plan {
    /// Changes the simulator.
    pub fn settings(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Changes deadlines.
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

    /// Starts both.
    #[track_caller]
    pub fn start(self) -> Setup {
        let office365 = Office365::start(self.settings);
        for (fault, times) in self.before {
            office365.fault(fault, times);
        }
        let env: Vec<_> = self.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let config = config(&office365, &env).unwrap_or_else(|errors| panic!("{errors}"));
        Setup { shim: Shim::run(config, self.deadlines), office365 }
    }
}

/// The running pair.
pub struct Setup {
    /// What the shim talks to.
    pub office365: Office365,
    shim: Shim,
}

impl Setup {
    /// Where the shim listens.
    pub const fn address(&self) -> SocketAddr {
        self.shim.address
    }

    /// An app, greeted.
    #[track_caller]
    pub fn client(&self) -> Client {
        self.shim.client()
    }

    /// One mail by an app of its own.
    #[track_caller]
    pub fn send(&self, content: &(impl AsRef<[u8]> + ?Sized)) -> Reply {
        self.shim.send(content)
    }

    /// Arms a fault.
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

    /// How often the shim said something that begins so.
    pub fn said(&self, start: &str) -> usize {
        said(&self.office365, start)
    }

    /// Begins the shutdown.
    pub fn stop(&mut self) {
        self.shim.stop();
    }

    /// Waits for the shim's end.
    #[track_caller]
    pub fn ended(&mut self) {
        self.shim.ended();
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

/// How often the client said something upstream that begins so.
pub fn said(office365: &Office365, start: &str) -> usize {
    let lines = office365.dialogue();
    lines.iter().filter(|line| line.side == Side::Client && line.text.starts_with(start)).count()
}

/// No rule of the protocol was broken.
#[track_caller]
pub fn assert_lawful(office365: &Office365) {
    assert_eq!(office365.violations(), Vec::<String>::new());
}
