//! The real binary, killed at any moment while mail comes and goes: what was acknowledged arrives, whole.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use office365::{Office365, Settings};
use support::PATIENCE;
use support::client::Client;
use support::files::Directory;
use support::mails::{large, small, stuffed};
use support::program::{Program, event, program, run, variables};

/// Apps that send at once.
const APPS: usize = 4;
/// Messages that the worker tries at once.
const LANES: usize = 3;

/// A few in the ordinary run; `MAILSHIM_CRASHES=300` for the long one.
fn crashes() -> usize {
    std::env::var("MAILSHIM_CRASHES").ok().and_then(|text| text.parse().ok()).unwrap_or(12)
}

fn content(number: usize) -> Vec<u8> {
    // One in sixteen streams through a file that grows.
    if number.is_multiple_of(16) { large(number, 300_000) } else { small(number) }
}

/// Sends mails until the shim is gone; the numbers of those that were acknowledged.
fn send_until_it_dies(mut app: Client, next: &AtomicUsize) -> Vec<usize> {
    let mut acknowledged = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        app.try_send("MAIL FROM:<app@contoso.com>\r\nRCPT TO:<x@example.com>\r\nDATA\r\n");
        if [250, 250, 354].into_iter().any(|code| app.reply().code != code) {
            return acknowledged;
        }
        app.try_send(stuffed(&content(number)));
        match app.reply().code {
            250 => acknowledged.push(number),
            0 => return acknowledged,
            code => panic!("{number}: {code}"),
        }
    }
}

fn number_of(content: &[u8]) -> usize {
    let text = String::from_utf8_lossy(content);
    let (_, rest) = text.split_once("Subject: test ").expect("a subject");
    rest.split_once("\r\n").expect("its end").0.parse().expect("a number")
}

#[test]
fn killed_at_any_moment_it_loses_nothing_that_it_acknowledged() {
    let (directory, office365) = (Directory::new(), Office365::start(Settings::default()));
    let path = directory.path("");
    let variables = [("MAILSHIM_SPOOL_DIR", path.as_str()), ("MAILSHIM_MESSAGES_PER_MINUTE", "0")];
    let (next, mut acknowledged, mut logs) = (Arc::new(AtomicUsize::new(0)), Vec::new(), Vec::new());
    let mut random = u64::from(std::process::id()) | 1;
    for _ in 0..crashes() {
        let mut shim = Program::start(&office365, &variables);
        let apps = (0..APPS).map(|_| {
            let (app, next) = (shim.client(), Arc::clone(&next));
            std::thread::spawn(move || send_until_it_dies(app, &next))
        });
        let apps: Vec<_> = apps.collect();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // At no moment that anything here knows of: this is what is tested, not waited for.
        std::thread::sleep(Duration::from_millis(random % 250));
        shim.signal("KILL");
        shim.wait();
        logs.extend(std::mem::take(&mut shim.log));
        apps.into_iter().for_each(|app| acknowledged.extend(app.join().unwrap()));
    }
    assert!(acknowledged.len() > crashes(), "the load was none: {}", acknowledged.len());
    let mut shim = Program::start(&office365, &variables);
    let queue = directory.path("mailshim/queue");
    let until = Instant::now() + PATIENCE;
    while std::fs::read_dir(&queue).unwrap().next().is_some() {
        assert!(Instant::now() < until, "not delivered:\n{}", shim.printed());
        std::thread::sleep(Duration::from_millis(20));
    }
    shim.signal("TERM");
    assert!(shim.wait().success());
    let mut arrived: BTreeMap<usize, usize> = BTreeMap::new();
    for taken in office365.taken() {
        let number = number_of(&taken.content);
        taken
            .carries(&content(number))
            .unwrap_or_else(|problem| panic!("{number} arrived changed: {problem}"));
        *arrived.entry(number).or_default() += 1;
    }
    for number in &acknowledged {
        assert!(arrived.contains_key(number), "{number} was acknowledged and is lost");
    }
    // Promise 5 (c): what Office 365 had taken in the moment of the kill, and no more.
    logs.append(&mut shim.log);
    let told: Vec<_> =
        logs.iter().filter(|line| line.contains("is sent it once more")).map(|line| event(line)).collect();
    let mut doubles = 0;
    for (number, times) in &arrived {
        let of = format!("<{number}@contoso.com>");
        let told = told.iter().filter(|line| line["message_id"] == *of && line["possible_duplicate"] == true);
        assert!(told.count() >= times - 1, "{number} arrived {times} times, and not all of it was told");
        doubles += times - 1;
    }
    assert!(doubles <= LANES * crashes(), "{doubles} doubles");
    // What is told is what was being sent in the moment of a kill, no more.
    assert!(told.len() <= LANES * crashes(), "{} told", told.len());
    eprintln!(
        "{} acknowledged, {doubles} arrived twice, {} were told as possible",
        acknowledged.len(),
        told.len()
    );
    assert_eq!(std::fs::read_dir(directory.path("mailshim/damaged")).unwrap().count(), 0);
    assert_eq!(office365.violations(), Vec::<String>::new());
}

#[test]
fn what_stays_is_named_at_the_end() {
    let (directory, office365) = (Directory::new(), Office365::start(Settings::default()));
    office365.fault(
        office365::Fault::ReplyAt(office365::Stage::Mail, "451 4.7.0 Temporary server error".into()),
        office365::Times::Always,
    );
    let path = directory.path("");
    let mut shim = Program::start(&office365, &[("MAILSHIM_SPOOL_DIR", &path), ("MAILSHIM_HOLD", "1s")]);
    shim.client().mail(&small(7)).is(250);
    shim.wait_for("mail deferred");
    shim.signal("TERM");
    assert!(shim.wait().success());
    let log = shim.log.join("\n");
    assert!(log.contains("MAILSHIM_HOLD has no effect"), "{log}");
    let line = shim.log.iter().find(|line| line.contains("mail stays in the spool")).expect("the last line");
    assert!(line.contains("<7@contoso.com>") && line.contains("\"messages\":1"), "{line}");
}

/// The program in a mount namespace of its own, with a file system of this size over the directory.
fn in_small_file_system(directory: &str, size: &str) -> Command {
    let mut command = Command::new("unshare");
    let script = format!("mount -t tmpfs -o {size} tmpfs {directory} && exec {}", program());
    command.args(["--map-root-user", "--mount", "sh", "-c", &script]);
    command
}

fn gives_mount_namespaces() -> bool {
    let can = Command::new("unshare").args(["--map-root-user", "--mount", "true"]).output();
    let can = can.is_ok_and(|ended| ended.status.success());
    if !can {
        eprintln!("not tried: this machine gives no mount namespace");
    }
    can
}

/// The answer to `GET /readyz`, as a whole.
fn readyz(shim: &Program) -> String {
    let line = shim.log.iter().find(|line| line.contains("probes and metrics are served")).unwrap();
    let address = event(line)["address"].as_str().unwrap().to_string();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

/// In the shim's own mount namespace.
fn in_its_namespace(shim: &Program, arguments: &[&str]) {
    let mut command = Command::new("nsenter");
    command.args(["--target", &shim.pid().to_string(), "--user", "--mount", "--preserve-credentials"]);
    let ended = run(command.args(arguments), b"");
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn a_disk_that_becomes_read_only_refuses_and_is_used_again() {
    if !gives_mount_namespaces() {
        return;
    }
    let (directory, office365) = (Directory::new(), Office365::start(Settings::default()));
    let path = directory.path("");
    let variables = [("MAILSHIM_SPOOL_DIR", path.as_str()), ("MAILSHIM_HTTP_LISTEN", "127.0.0.1:0")];
    let mut shim = Program::start_by(in_small_file_system(&path, "size=4m"), &office365, &variables);
    let mut app = shim.client();
    app.mail(&small(1)).is(250);
    assert!(office365.wait(PATIENCE, |stats| stats.messages == 1), "{}", shim.printed());
    // The kernel's own remount would wait for the lock's file to be closed.
    let queue = format!("{path}/mailshim/queue");
    in_its_namespace(&shim, &["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", &queue]);
    app.mail(&small(2)).is(452).says("4.3.0").says("Read-only file system");
    app.mail(&large(3, 400_000)).is(452);
    let line = shim.wait_for("the spool cannot be used");
    assert!(line.contains("| Fix: ") && line.contains("\"ERROR\""), "{line}");
    let answer = readyz(&shim);
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("not ready: spool: "), "{answer}");
    let mut healthcheck = Command::new(program());
    healthcheck.env_clear().env("MAILSHIM_LISTEN", shim.address.to_string()).arg("healthcheck");
    assert_eq!(run(&mut healthcheck, b"").code, 0, "it listens");
    in_its_namespace(&shim, &["umount", &queue]);
    // Without a mail that finds it out.
    shim.wait_for("the spool can be used again");
    let until = Instant::now() + PATIENCE;
    while !readyz(&shim).starts_with("HTTP/1.1 200 ") {
        assert!(Instant::now() < until, "{}", readyz(&shim));
        std::thread::sleep(Duration::from_millis(20));
    }
    app.mail(&small(4)).is(250);
    assert!(office365.wait(PATIENCE, |stats| stats.messages == 2), "{}", shim.printed());
    let mut arrived: Vec<usize> = office365.taken().iter().map(|taken| number_of(&taken.content)).collect();
    arrived.sort_unstable();
    assert_eq!(arrived, [1, 4], "each once, and nothing that was refused");
}

/// A container's disk may come read-only with it: the app must not be taken out of service for that.
#[test]
fn a_disk_that_is_read_only_at_the_start_is_waited_for() {
    if !gives_mount_namespaces() {
        return;
    }
    let (directory, office365) = (Directory::new(), Office365::start(Settings::default()));
    let path = directory.path("");
    let variables = [("MAILSHIM_SPOOL_DIR", path.as_str()), ("MAILSHIM_HTTP_LISTEN", "127.0.0.1:0")];
    let mut shim = Program::start_by(in_small_file_system(&path, "ro"), &office365, &variables);
    shim.wait_for("the spool cannot be used");
    let mut app = shim.client();
    app.mail(&small(1)).is(452).says("Read-only file system");
    assert!(readyz(&shim).contains("not ready: spool: "), "{}", readyz(&shim));
    in_its_namespace(&shim, &["mount", "-o", "remount,rw", &path]);
    shim.wait_for("the spool can be used again");
    app.mail(&small(2)).is(250);
    assert!(office365.wait(PATIENCE, |stats| stats.messages == 1), "{}", shim.printed());
}

#[test]
fn a_directory_that_is_not_there_is_a_mistake_of_the_set_up() {
    let (directory, office365) = (Directory::new(), Office365::start(Settings::default()));
    let nowhere = directory.path("nowhere");
    let mut command = Command::new(program());
    command.env_clear().envs(variables(&office365, &[("MAILSHIM_SPOOL_DIR", &nowhere)]));
    let ended = run(&mut command, b"");
    assert_eq!(ended.code, 64, "{ended:?}");
    assert!(ended.stderr.contains("No such file") && ended.stderr.contains("mailshim check"), "{ended:?}");
}

/// What lies in the directory and is no mail of ours stops nobody, is said, and stays.
#[test]
fn damaged_foreign_and_newer_files_are_left_and_said() {
    let (directory, office365) = (Directory::new(), Office365::start(Settings::default()));
    let path = directory.path("");
    let variables = [("MAILSHIM_SPOOL_DIR", path.as_str()), ("MAILSHIM_MESSAGES_PER_MINUTE", "0")];
    office365.fault(
        office365::Fault::ReplyAt(office365::Stage::Mail, "451 4.7.0 Temporary server error".into()),
        office365::Times::Always,
    );
    let mut shim = Program::start(&office365, &variables);
    let mut app = shim.client();
    for number in 1..4 {
        app.mail(&small(number)).is(250);
        shim.wait_for("mail deferred");
    }
    shim.kill();
    drop(office365);
    let queue = directory.path("mailshim/queue");
    let names = || std::fs::read_dir(&queue).unwrap().map(|entry| entry.unwrap().path());
    let mut damaged = String::new();
    for path in names() {
        let text = std::fs::read_to_string(&path).unwrap();
        let (_, rest) = path.file_name().unwrap().to_str().unwrap().split_once('-').unwrap();
        let due = path.with_file_name(format!("0000000001-{rest}"));
        let text = match text {
            text if text.contains("<1@contoso.com>") => {
                damaged = due.file_name().unwrap().to_str().unwrap().to_string();
                text.replace("test", "tEst")
            }
            text if text.contains("<2@contoso.com>") => text.replace("{\"mailshim\":1,", "{\"mailshim\":2,"),
            text => text,
        };
        std::fs::remove_file(&path).unwrap();
        std::fs::write(due, text).unwrap();
    }
    std::fs::write(format!("{queue}/.0000000001-1.swp"), "an editor's").unwrap();
    std::fs::create_dir(format!("{queue}/lost+found")).unwrap();
    let office365 = Office365::start(Settings::default());
    let mut shim = Program::start(&office365, &variables);
    shim.wait_for("mail accepted");
    let log = shim.printed();
    for words in ["is damaged (its checksum does not fit)", "was written by another version of mailshim"] {
        assert!(log.contains(words), "{words}:\n{log}");
    }
    shim.client().mail(&small(4)).is(250);
    shim.wait_for("mail accepted");
    shim.signal("TERM");
    assert!(shim.wait().success());
    let mut arrived: Vec<usize> = office365.taken().iter().map(|taken| number_of(&taken.content)).collect();
    arrived.sort_unstable();
    assert_eq!(arrived, [3, 4]);
    assert_eq!(names().count(), 3, "another version's, and the two that are foreign");
    assert!(std::fs::exists(directory.path(&format!("mailshim/damaged/{damaged}"))).unwrap());
}

fn fills_up_and_recovers(size: &str) {
    if !gives_mount_namespaces() {
        return;
    }
    let (directory, office365) = (Directory::new(), Office365::start(Settings::default()));
    office365.fault(
        office365::Fault::DelayAt(office365::Stage::Dot, Duration::from_secs(1)),
        office365::Times::Times(6),
    );
    let path = directory.path("");
    let variables = [("MAILSHIM_SPOOL_DIR", path.as_str()), ("MAILSHIM_MESSAGES_PER_MINUTE", "0")];
    let shim = Program::start_by(in_small_file_system(&path, size), &office365, &variables);
    let mut app = shim.client();
    let (mut number, mut taken) = (0, Vec::new());
    // In the middle of a burst.
    loop {
        number += 1;
        let reply = app.mail(&large(number, 20_000));
        if reply.code != 250 {
            reply.is(452).says("4.3.1");
            break;
        }
        taken.push(number);
        assert!(number < 1000, "it is never full");
    }
    // What was acknowledged leaves, and there is room again.
    let until = Instant::now() + PATIENCE;
    while app.mail(&small(5000)).code != 250 {
        assert!(Instant::now() < until, "no room again:\n{}", shim.printed());
        std::thread::sleep(Duration::from_millis(50));
    }
    taken.push(5000);
    assert!(office365.wait(PATIENCE, |stats| stats.messages >= taken.len() as u64), "{}", shim.printed());
    let mut arrived: Vec<usize> = office365.taken().iter().map(|taken| number_of(&taken.content)).collect();
    arrived.sort_unstable();
    assert_eq!(arrived, taken, "each once, and nothing that was refused");
}

#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    fills_up_and_recovers("size=400k");
}

#[test]
fn a_disk_without_another_file_refuses_and_loses_nothing() {
    fills_up_and_recovers("nr_inodes=24");
}
