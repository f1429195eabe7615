//! The shim in a thread of its own, the app that talks to it, and files that go away with the test.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use mailshim::cli::serve;
use mailshim::config::{Config, ConfigErrors};
use mailshim::deadlines::Deadlines;
use office365::Office365;
use tokio::sync::oneshot;

/// A file that goes away with the test.
pub struct TempFile(PathBuf);

impl TempFile {
    pub fn new(content: impl AsRef<[u8]>) -> TempFile {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let file = std::env::temp_dir().join(format!("mailshim-sign-in-{}-{count}", std::process::id()));
        std::fs::write(&file, content).unwrap();
        TempFile(file)
    }

    pub fn write(&self, content: impl AsRef<[u8]>) {
        std::fs::write(&self.0, content).unwrap();
    }

    pub fn read(&self) -> String {
        std::fs::read_to_string(&self.0).unwrap()
    }

    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl AsRef<Path> for TempFile {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The simulator's variables without its client secret, and these.
pub fn variables(office365: &Office365, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut variables = office365.env();
    variables
        .retain(|(name, _)| name != "MAILSHIM_CLIENT_SECRET" && more.iter().all(|(other, _)| name != other));
    variables.extend(more.iter().map(|(name, value)| (name.to_string(), value.to_string())));
    variables
}

pub fn config(office365: &Office365, more: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    Config::from_env(variables(office365, more).into_iter().map(|(name, value)| (name.into(), value.into())))
}

/// A shim that listens.
pub struct Shim {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Shim {
    pub fn start(office365: &Office365, more: &[(&str, &str)]) -> Shim {
        let config = config(office365, more).unwrap_or_else(|errors| panic!("{errors}"));
        let (stop, stopped) = oneshot::channel();
        let (bound, address) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                bound.send(socket.local_addr().unwrap()).unwrap();
                let stop = async { drop(stopped.await) };
                let ended = serve::run(
                    &config,
                    Deadlines::default(),
                    serve::Sockets { smtp: vec![socket], http: None },
                    stop,
                )
                .await;
                assert!(ended.is_ok(), "{ended:?}");
            });
            runtime.shutdown_background();
        });
        let address = address.recv_timeout(Duration::from_secs(10)).unwrap();
        Shim { address, stop: Some(stop), thread: Some(thread) }
    }

    /// One mail; the reply to it.
    pub fn send(&self) -> String {
        App::connect(self).send()
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// The app: one connection.
pub struct App(BufReader<TcpStream>);

impl App {
    pub fn connect(shim: &Shim) -> App {
        let stream = TcpStream::connect(shim.address).unwrap();
        // The bound of every wait here; no test expects to reach it.
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut app = App(BufReader::new(stream));
        assert!(app.reply().starts_with("220 "));
        assert!(app.command("EHLO app").starts_with("250"));
        app
    }

    pub fn send(&mut self) -> String {
        for (command, expected) in [
            ("MAIL FROM:<app@contoso.com>", "250 "),
            ("RCPT TO:<someone@example.com>", "250 "),
            ("DATA", "354 "),
        ] {
            let reply = self.command(command);
            assert!(reply.starts_with(expected), "{command}: {reply}");
        }
        self.command("From: app@contoso.com\r\nSubject: x\r\n\r\ntext\r\n.")
    }

    fn command(&mut self, line: &str) -> String {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes()).unwrap();
        self.reply()
    }

    fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.trim_end().to_string();
            }
        }
    }
}

#[track_caller]
pub fn assert_taken(reply: &str) {
    assert!(reply.starts_with("250 "), "{reply}");
}

#[track_caller]
pub fn assert_says(reply: &str, code: &str, parts: &[&str]) {
    assert!(reply.starts_with(code) && parts.iter().all(|part| reply.contains(part)), "{reply}");
}

#[track_caller]
pub fn assert_lawful(office365: &Office365) {
    assert_eq!(office365.violations(), Vec::<String>::new());
}
