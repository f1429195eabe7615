//! The shim in a thread of its own, the app that talks to it, and files that go away with the test.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use mailshim::cli::serve;
use mailshim::config::{Config, ConfigErrors};
use mailshim::deadlines::Deadlines;
use office365::{Office365, Side};
use tokio::sync::oneshot;

/// The bound of every wait; reached only when something is broken.
pub const WAIT: Duration = Duration::from_secs(30);

/// A file that goes away with the test.
pub struct TempFile(PathBuf);

impl TempFile {
    pub fn new(content: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let file = std::env::temp_dir().join(format!("mailshim-ways-{}-{count}", std::process::id()));
        std::fs::write(&file, content).unwrap();
        Self(file)
    }

    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The simulator's variables with these over them; an empty value unsets.
pub fn config(office365: &Office365, more: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let mut variables = office365.env();
    variables.retain(|(name, _)| more.iter().all(|(other, _)| name != other));
    variables.extend(more.iter().map(|(name, value)| (name.to_string(), value.to_string())));
    Config::from_env(variables.into_iter().map(|(name, value)| (name.into(), value.into())))
}

/// A shim that listens; it ends with the test.
pub struct Shim {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Shim {
    pub fn start(office365: &Office365, more: &[(&str, &str)]) -> Self {
        let listen = [("MAILSHIM_LISTEN", "127.0.0.1:0")];
        let config = config(office365, &[&listen, more].concat()).unwrap_or_else(|errors| panic!("{errors}"));
        let (bound, address) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let sockets = serve::bind(&config).await.unwrap();
                bound.send(sockets.smtp[0].local_addr().unwrap()).unwrap();
                let stop = async { drop(stopped.await) };
                serve::run(&config, Deadlines::default(), sockets, stop).await.unwrap();
            });
            runtime.shutdown_background();
        });
        let address = address.recv_timeout(WAIT).unwrap();
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    /// One mail on a connection of its own, From and envelope the same; the answer to its dot.
    pub fn send(&self, sender: &str) -> String {
        self.send_as(sender, sender)
    }

    /// One mail; the answer to its dot.
    pub fn send_as(&self, envelope: &str, from: &str) -> String {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(WAIT)).unwrap();
        socket.set_write_timeout(Some(WAIT)).unwrap();
        let mut app = App(BufReader::new(socket));
        assert!(app.reply().starts_with("220 "));
        for (line, code) in [
            ("HELO erp", "250 "),
            (&format!("MAIL FROM:<{envelope}>"), "250 "),
            ("RCPT TO:<someone@fabrikam.com>", "250 "),
            ("DATA", "354 "),
        ] {
            let reply = app.says(line);
            assert!(reply.starts_with(code), "{line}: {reply}");
        }
        app.says(&format!("From: {from}\r\nSubject: x\r\n\r\ntext\r\n."))
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

struct App(BufReader<TcpStream>);

impl App {
    fn says(&mut self, line: &str) -> String {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes()).unwrap();
        self.reply()
    }

    fn reply(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_string()
    }
}

#[track_caller]
pub fn assert_says(reply: &str, code: &str, parts: &[&str]) {
    assert!(reply.starts_with(code) && parts.iter().all(|part| reply.contains(part)), "{reply}");
}

#[track_caller]
pub fn assert_lawful(office365: &Office365) {
    assert_eq!(office365.violations(), Vec::<String>::new());
}

/// How often the client said something upstream that begins so.
pub fn said(office365: &Office365, start: &str) -> usize {
    let lines = office365.dialogue();
    lines.iter().filter(|line| line.side == Side::Client && line.text.starts_with(start)).count()
}
