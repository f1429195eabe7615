//! The spool's figures (DESIGN.md), measured on the static release binary: acknowledged mails a second beside Debian's
//! Postfix on the same file system, memory with the spool on, and a start over a long queue.
//!
//! ```text
//! cargo bench --bench spool                    all but Postfix, about a minute and a half
//! cargo bench --bench spool -- --smoke         a short run: does everything that is measured work?
//! POSTFIX_ROOT=directory cargo bench …         beside the Postfix in it (as root), on that directory's file system:
//!     mmdebstrap --variant=minbase --include=postfix bookworm directory
//! MAILSHIM_BIN=path cargo bench …              a binary that is there already; else it is built
//! ```
//!
//! Both take the same mails from the same clients, one kept connection a session, round by round in turn; compare the
//! ratios of one run. Neither delivers meanwhile: Office 365 refuses, and Postfix defers ([`MAIN_CF`]).

#[path = "figures/app.rs"]
#[expect(dead_code, reason = "the ways to send that the other benchmark measures")]
mod app;
#[path = "figures/dialogue.rs"]
mod dialogue;
#[path = "figures/direct.rs"]
#[expect(dead_code, reason = "its connect is what the app needs; the rest is of the other benchmark")]
mod direct;
#[path = "figures/shim.rs"]
#[expect(dead_code, reason = "the binary and its memory; the rest is of the other benchmark")]
mod shim;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use app::{App, mail_of};
use office365::{Fault, Office365, Settings, Stage, Times};
use shim::Memory;
use support::program::Program;

/// Postfix without its brakes: DESIGN.md says how it is compared. Nothing is delivered, and nothing else is switched off
/// that a message passes.
const MAIN_CF: &str = "\
compatibility_level = 3.6
queue_directory = /var/spool/postfix
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = benchmark.example
mydestination =
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
# The brakes.
in_flow_delay = 0
default_process_limit = 200
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_message_rate_limit = 0
# Nothing leaves.
defer_transports = smtp relay
minimal_backoff_time = 1h
";

/// A mail of the comparison.
const OCTETS: usize = 4096;

struct Size {
    round: Duration,
    rounds: usize,
    queued: usize,
}

const WHOLE: Size = Size { round: Duration::from_secs(3), rounds: 5, queued: 100_000 };
const SMOKE: Size = Size { round: Duration::from_millis(300), rounds: 1, queued: 1_000 };

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    if !has("--bench") && !has("--smoke") {
        println!("nothing is measured: cargo bench --bench spool");
        return ExitCode::SUCCESS;
    }
    match run(if has("--smoke") { SMOKE } else { WHOLE }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("spool: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(size: Size) -> Result<(), String> {
    let binary = shim::binary()?;
    let root = std::env::var_os("POSTFIX_ROOT").map(PathBuf::from);
    let home = root.clone().unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")));
    println!(
        "a file of {OCTETS} octets and its name are durable after {:.2} ms",
        sync_takes(&home)?.as_secs_f64() * 1e3
    );
    compare(&binary, &home, root.as_deref(), &size)?;
    keep_many(&binary, &home, size.queued)
}

/// A directory that goes with this value.
struct Temporary(PathBuf);

impl Temporary {
    fn new(home: &Path) -> Result<Self, String> {
        let path = home.join(format!("mailshim-benchmark-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The median of a hundred.
fn sync_takes(home: &Path) -> Result<Duration, String> {
    let directory = Temporary::new(home)?;
    let mut took = Vec::new();
    for number in 0..100 {
        let begun = Instant::now();
        let one = || -> std::io::Result<()> {
            use std::io::Write as _;
            let mut file = fs::File::create_new(directory.0.join(number.to_string()))?;
            file.write_all(&[b'x'; OCTETS])?;
            file.sync_all()?;
            fs::File::open(&directory.0)?.sync_all()
        };
        one().map_err(|error| error.to_string())?;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    Ok(took[50])
}

fn start(binary: &Path, office365: &Office365, directory: &Path, more: &[(&str, &str)]) -> Program {
    let path = directory.display().to_string();
    let mut variables = vec![("MAILSHIM_SPOOL_DIR", path.as_str()), ("MAILSHIM_HTTP_LISTEN", "off")];
    variables.extend(more);
    Program::start_by(Command::new(binary), office365, &variables)
}

fn refusing() -> Office365 {
    let office365 =
        Office365::start(Settings { record_dialogue: false, keep_content: false, ..Settings::default() });
    office365.fault(Fault::ReplyAt(Stage::Mail, "451 4.7.0 Temporary server error".into()), Times::Always);
    office365
}

/// Acknowledged mails a second over so many sessions.
fn rate(address: SocketAddr, sessions: usize, round: Duration) -> Result<f64, String> {
    let content = mail_of(OCTETS);
    let mut apps = Vec::new();
    for _ in 0..sessions {
        apps.push(App::connect(address)?);
    }
    let begun = Instant::now();
    let sent: Result<usize, String> = std::thread::scope(|scope| {
        let sending = apps.into_iter().map(|mut app| {
            let content = &content;
            scope.spawn(move || -> Result<usize, String> {
                let mut sent = 0;
                while begun.elapsed() < round {
                    app.mail(content)?;
                    sent += 1;
                }
                app.quit()?;
                Ok(sent)
            })
        });
        let sending: Vec<_> = sending.collect();
        sending.into_iter().map(|app| app.join().map_err(|_| "an app panicked".to_string())?).sum()
    });
    Ok(sent? as f64 / begun.elapsed().as_secs_f64())
}

fn compare(binary: &Path, home: &Path, root: Option<&Path>, size: &Size) -> Result<(), String> {
    let directory = Temporary::new(home)?;
    let office365 = refusing();
    let shim = start(binary, &office365, &directory.0, &[("MAILSHIM_SPOOL_MAX_BYTES", "100GB")]);
    println!("idle with the spool on: PSS {:.2} MB", Memory::of(shim.pid())?.pss as f64 / 1e6);
    let postfix = root.map(Postfix::start).transpose()?;
    println!(
        "acknowledged mails of {OCTETS} octets a second, median of {} rounds of {:?}",
        size.rounds, size.round
    );
    for sessions in [1, 16, 64] {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..size.rounds {
            if let Some(postfix) = &postfix {
                theirs.push(rate(postfix.address, sessions, size.round)?);
            }
            ours.push(rate(shim.address, sessions, size.round)?);
        }
        let ours = median(&mut ours);
        match theirs.is_empty() {
            true => println!("{sessions:>3} sessions: {ours:>6.0}"),
            false => {
                let theirs = median(&mut theirs);
                println!(
                    "{sessions:>3} sessions: {ours:>6.0}, Postfix {theirs:>6.0}: {:.2} times",
                    ours / theirs
                );
            }
        }
    }
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Postfix in a root directory of its own; stopped with this value.
struct Postfix<'a> {
    root: &'a Path,
    address: SocketAddr,
}

impl<'a> Postfix<'a> {
    fn start(root: &'a Path) -> Result<Self, String> {
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let address = free.map_err(|error| error.to_string())?;
        let write = |name: &str, text: &str| {
            fs::write(root.join("etc/postfix").join(name), text).map_err(|error| format!("{name}: {error}"))
        };
        write("main.cf", MAIN_CF)?;
        let master = fs::read_to_string(root.join("usr/share/postfix/master.cf.dist"))
            .map_err(|error| error.to_string())?;
        let listens = format!("127.0.0.1:{} inet n - n - 200 smtpd", address.port());
        let lines = master.lines().map(|line| match line.starts_with("smtp ") && line.contains(" inet ") {
            true => listens.as_str(),
            false => line,
        });
        write("master.cf", &(lines.collect::<Vec<_>>().join("\n") + "\n"))?;
        let postfix = Self { root, address };
        postfix.command("start")?;
        let until = Instant::now() + Duration::from_secs(20);
        while App::connect(address).is_err() {
            if Instant::now() > until {
                return Err("Postfix does not listen".to_string());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(postfix)
    }

    fn command(&self, what: &str) -> Result<(), String> {
        let ended = Command::new("chroot").arg(self.root).args(["/usr/sbin/postfix", what]).output();
        let ended = ended.map_err(|error| format!("chroot: {error}"))?;
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        ended.status.success().then_some(()).ok_or_else(|| format!("postfix {what}: {said}"))
    }
}

impl Drop for Postfix<'_> {
    fn drop(&mut self) {
        let _ = self.command("stop");
        // The next run begins with an empty queue.
        for queue in ["incoming", "active", "deferred", "defer"] {
            let path = self.root.join("var/spool/postfix").join(queue);
            for entry in fs::read_dir(path).into_iter().flatten().flatten() {
                let _ = fs::remove_dir_all(entry.path()).or_else(|_| fs::remove_file(entry.path()));
            }
        }
    }
}

/// A queue that is long: its memory, and the start over it.
fn keep_many(binary: &Path, home: &Path, queued: usize) -> Result<(), String> {
    let directory = Temporary::new(home)?;
    let queue = directory.0.join("mailshim/queue");
    let content = mail_of(600);
    {
        let office365 = refusing();
        let shim = start(binary, &office365, &directory.0, &[("MAILSHIM_SPOOL_MAX_BYTES", "100GB")]);
        std::thread::scope(|scope| {
            let sending = (0..64).map(|_| {
                let (content, address) = (&content, shim.address);
                scope.spawn(move || -> Result<(), String> {
                    let mut app = App::connect(address)?;
                    (0..queued.div_ceil(64)).try_for_each(|_| app.mail(content))?;
                    app.quit()
                })
            });
            let sending: Vec<_> = sending.collect();
            sending.into_iter().try_for_each(|app| app.join().map_err(|_| "an app panicked".to_string())?)
        })?;
        let pss = Memory::of(shim.pid())?.pss as f64 / 1e6;
        println!("{} queued, all sent by 64 sessions a moment ago: PSS {pss:.2} MB", count(&queue));
        shim.kill();
    }
    // As after a restart of the machine, as far as this can be asked for.
    let _ = fs::write("/proc/sys/vm/drop_caches", "3");
    let office365 =
        Office365::start(Settings { record_dialogue: false, keep_content: false, ..Settings::default() });
    let begun = Instant::now();
    let shim = start(binary, &office365, &directory.0, &[("MAILSHIM_SPOOL_MAX_BYTES", "100GB")]);
    let listens = begun.elapsed();
    while office365.stats().messages == 0 {
        if begun.elapsed() > Duration::from_secs(60) {
            return Err("nothing is sent within a minute".to_string());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let sends = begun.elapsed();
    std::thread::sleep(Duration::from_secs(2));
    let pss = Memory::of(shim.pid())?.pss as f64 / 1e6;
    println!(
        "started over them: listens after {:.1} ms, the first mail is sent after {:.0} ms, PSS {pss:.2} MB",
        listens.as_secs_f64() * 1e3,
        sends.as_secs_f64() * 1e3
    );
    Ok(())
}

fn count(directory: &Path) -> usize {
    fs::read_dir(directory).map_or(0, Iterator::count)
}
