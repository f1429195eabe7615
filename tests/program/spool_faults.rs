//! The real binary with a fault at each call of the file system that mail takes on its way, injected from outside: strace
//! answers in the kernel's place. Where it is missing or may not trace, nothing is tried, and that is said.

use std::process::Command;
use std::time::{Duration, Instant};

use office365::{Office365, Settings};
use support::PATIENCE;
use support::client::Client;
use support::files::Directory;
use support::mails::{large, small};
use support::process::{Running, until};
use support::program::{Program, program};

fn may_trace() -> bool {
    let can = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).output();
    let can = can.is_ok_and(|ended| ended.status.success());
    if !can {
        eprintln!("not tried: no strace here, or it may not trace");
    }
    can
}

fn injected(faults: &[&str]) -> Vec<String> {
    let calls: Vec<_> = faults.iter().map(|fault| fault.split_once(':').unwrap().0).collect();
    let mut arguments = vec!["-e".to_string(), format!("trace={}", calls.join(","))];
    arguments.extend(faults.iter().flat_map(|fault| ["-e".to_string(), format!("inject={fault}")]));
    arguments
}

/// The thread of this name.
fn thread(shim: &Program, name: &str) -> String {
    let mut tasks = std::fs::read_dir(format!("/proc/{}/task", shim.pid())).unwrap();
    let is_it =
        |task: &std::path::Path| std::fs::read_to_string(task.join("comm")).is_ok_and(|is| is.trim() == name);
    let task = tasks.find_map(|task| Some(task.ok()?.path()).filter(|task| is_it(task)));
    task.expect("the thread").file_name().unwrap().to_str().unwrap().to_string()
}

/// Traces the thread where mail becomes durable, with these faults.
fn attach(shim: &Program, faults: &[&str]) -> Running {
    let mut strace = Command::new("strace");
    strace.args(["-o", "/dev/null", "-p", &thread(shim, "spool")]).args(injected(faults));
    let strace = Running::start(&mut strace);
    strace.log.expect("attached");
    strace
}

struct Setup {
    directory: Directory,
    office365: Office365,
}

impl Setup {
    fn new() -> Self {
        Self { directory: Directory::new(), office365: Office365::start(Settings::default()) }
    }

    fn variables(&self) -> [(&'static str, String); 2] {
        [("MAILSHIM_SPOOL_DIR", self.directory.path("")), ("MAILSHIM_MESSAGES_PER_MINUTE", "0".into())]
    }

    fn start_by(&self, command: Command) -> Program {
        let variables = self.variables();
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Program::start_by(command, &self.office365, &variables)
    }

    fn start(&self) -> Program {
        self.start_by(Command::new(program()))
    }

    /// All that was acknowledged has arrived, each once, and nothing is left.
    #[track_caller]
    fn has_exactly(&self, mut acknowledged: Vec<Vec<u8>>, about: &str) {
        let messages = acknowledged.len() as u64;
        assert!(self.office365.wait(PATIENCE, |stats| stats.messages >= messages), "{about}: lost");
        let queue = self.directory.path("mailshim/queue");
        until(about, || std::fs::read_dir(&queue).unwrap().next().is_none());
        for taken in self.office365.taken() {
            let place = acknowledged.iter().position(|content| taken.carries(content).is_ok());
            let place = place.unwrap_or_else(|| panic!("{about}: a mail that nobody was told is taken"));
            acknowledged.remove(place);
        }
        assert_eq!(acknowledged.len(), 0, "{about}");
    }
}

/// A mail under this fault, and what its app must hear; then one without.
fn mail_under(fault: &str, content: Vec<u8>, code: u16) {
    let setup = Setup::new();
    let mut shim = setup.start();
    let strace = attach(&shim, &[fault]);
    let mut app = shim.client();
    let reply = app.mail(&content);
    assert_eq!(reply.code, code, "{fault}: {reply:?}");
    let mut acknowledged = Vec::new();
    if code == 250 {
        acknowledged.push(content);
    } else {
        shim.wait_for("the spool cannot be used");
    }
    drop(strace);
    app.mail(&small(2)).is(250);
    acknowledged.push(small(2));
    setup.has_exactly(acknowledged, fault);
}

#[test]
fn what_fails_before_the_250_is_refused_and_leaves_nothing() {
    if !may_trace() {
        return;
    }
    let cases = [
        ("openat:error=ENOSPC:when=1", small(1), 452),
        ("openat:error=EMFILE:when=1", small(1), 452),
        ("openat:error=EROFS:when=1", small(1), 452),
        ("write:error=EIO:when=1", small(1), 452),
        ("write:error=ENOSPC:when=1", small(1), 452),
        ("pwrite64:error=EDQUOT:when=1", small(1), 452),
        ("fsync:error=EIO:when=1", small(1), 452),
        // The directory's.
        ("fsync:error=EIO:when=2", small(1), 452),
        ("?rename,?renameat,?renameat2:error=EIO:when=1", large(1, 400_000), 452),
        // Advice: without it the sync takes longer.
        ("fadvise64:error=EIO:when=1", small(1), 250),
        // It is delivered, and that is not recorded: it is asked of the disk again, and Office 365 is not.
        ("?unlink,?unlinkat:error=EIO:when=1", small(1), 250),
    ];
    let cases =
        cases.map(|(fault, content, code)| std::thread::spawn(move || mail_under(fault, content, code)));
    cases.into_iter().for_each(|case| case.join().unwrap());
}

/// Promise 5 (d): the app heard 452, and the disk keeps the mail all the same.
#[test]
fn what_cannot_be_taken_back_is_said() {
    if !may_trace() {
        return;
    }
    let setup = Setup::new();
    let mut shim = setup.start();
    let strace = attach(&shim, &["fsync:error=EIO:when=2", "?unlink,?unlinkat:error=EIO:when=1"]);
    shim.client().mail(&small(1)).is(452);
    let line = shim.wait_for("the disk does not say whether it has this mail");
    assert!(line.contains("\"possible_duplicate\":true"), "{line}");
    drop(strace);
    shim.kill();
    let _shim = setup.start();
    setup.has_exactly(vec![small(1)], "it is delivered by the next process");
}

/// The start under this fault: it listens, apps hear 4xx, and when the fault is over it takes mail.
fn start_under(fault: &str) {
    let setup = Setup::new();
    let mut command = Command::new("strace");
    // The program itself is the child that is started; the tracer goes beside it.
    command.args(["-D", "-f", "-qq", "-o", "/dev/null"]).args(injected(&[fault])).arg(program());
    let mut shim = setup.start_by(command);
    shim.wait_for("the spool cannot be used");
    let end = Instant::now() + PATIENCE;
    loop {
        let mut app = Client::connect(shim.address);
        let reply = app.mail(&small(1));
        if reply.code == 250 {
            break;
        }
        assert!(reply.code / 10 == 45, "{fault}: {reply:?}");
        assert!(Instant::now() < end, "{fault}: no mail is taken:\n{}", shim.printed());
        std::thread::sleep(Duration::from_millis(100));
    }
    setup.has_exactly(vec![small(1)], fault);
}

#[test]
fn a_fault_at_the_start_is_waited_for() {
    if !may_trace() {
        return;
    }
    let cases = [
        "?mkdir,?mkdirat:error=ENOSPC:when=1",
        "?mkdir,?mkdirat:error=EIO:when=3",
        "fsync:error=EIO:when=1",
        "flock:error=EIO:when=1",
        "flock:error=ENOLCK:when=1",
        "getdents64:error=EIO:when=1",
    ];
    let cases = cases.map(|fault| std::thread::spawn(move || start_under(fault)));
    cases.into_iter().for_each(|case| case.join().unwrap());
}
