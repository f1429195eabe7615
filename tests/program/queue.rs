//! `mailshim queue` on a spool that a real shim has, has had, or is ended in.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use office365::{Fault, Office365, Settings, Stage, Times};
use serde_json::Value;
use support::PATIENCE;
use support::files::Directory;
use support::mails::small;
use support::program::{Program, program, variables};

/// Refusals for good, of as many kinds; the first is the sender's.
const KINDS: [&str; 12] = [
    "550 5.7.60 SMTP; Client does not have permissions to send as this sender",
    "550 5.1.1 User unknown",
    "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
    "550 5.4.1 Recipient address rejected: Access denied.",
    "552 5.3.4 Message size exceeds fixed maximum message size",
    "554 5.6.0 Corrupt message content",
    "550 5.7.1 Client does not have permissions to send to this recipient",
    "550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required",
    "501 5.1.7 Invalid address",
    "550 5.7.129 RESOLVER.RST.RestrictedToRecipientsPermission; not authorized",
    "550 5.6.11 Invalid characters",
    "550 5.7.509 Access denied, sending domain does not pass DMARC verification",
];

struct Spool {
    directory: Directory,
    office365: Office365,
}

impl Spool {
    fn new() -> Self {
        let settings = Settings { enforce_send_as: false, messages_per_minute: None, ..Settings::default() };
        Self { directory: Directory::new(), office365: Office365::start(settings) }
    }

    fn path(&self) -> String {
        self.directory.path("")
    }

    fn shim(&self, more: &[(&str, &str)]) -> Program {
        let path = self.path();
        let mut all = vec![("MAILSHIM_SPOOL_DIR", path.as_str()), ("MAILSHIM_MESSAGES_PER_MINUTE", "0")];
        all.extend(more);
        Program::start(&self.office365, &all)
    }

    /// `mailshim queue` with nothing in its environment but the spool's directory, and these.
    fn queue_with(&self, words: &[&str], more: &[(&str, &str)]) -> Output {
        let mut command = Command::new(program());
        command.env_clear().env("MAILSHIM_SPOOL_DIR", self.path()).envs(more.iter().copied());
        command.arg("queue").args(words).stdin(Stdio::null()).output().expect("it runs")
    }

    fn queue(&self, words: &[&str]) -> Output {
        self.queue_with(words, &[])
    }

    fn list(&self, words: &[&str]) -> Vec<Value> {
        let all = [&["list", "--json"], words].concat();
        let ended = self.queue(&all);
        assert!(ended.status.success(), "{ended:?}");
        let text = String::from_utf8(ended.stdout).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
    }

    /// Waits until so many are in a state.
    fn wait_for(&self, state: &str, count: usize, shim: &Program) {
        let until = Instant::now() + PATIENCE;
        while self.list(&["--state", state]).len() != count {
            assert!(Instant::now() < until, "{:?}\n{}", self.list(&[]), shim.printed());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn out(ended: &Output) -> String {
    String::from_utf8(ended.stdout.clone()).expect("text")
}

fn err(ended: &Output) -> String {
    String::from_utf8(ended.stderr.clone()).expect("text")
}

/// A mail of this sender.
fn send(shim: &Program, from: &str, number: usize) {
    let mut app = shim.client();
    app.try_send(format!("MAIL FROM:<{from}>\r\nRCPT TO:<x{number}@example.com>\r\nDATA\r\n"));
    [250, 250, 354].into_iter().for_each(|code| assert_eq!(app.reply().code, code));
    let text = format!("From: {from}\r\nTo: x@example.com\r\nSubject: s\r\n\r\nnumber {number}\r\n.\r\n");
    app.try_send(text);
    app.reply().is(250).says("queued as");
}

/// What a person does on a morning with dead letters of twelve kinds: look why, mend, bring back those of one domain.
#[test]
fn two_dozen_dead_letters_of_twelve_kinds_are_handled() {
    let spool = Spool::new();
    let shim = spool.shim(&[]);
    for (number, kind) in (0..24).map(|number| (number, KINDS[number / 2])) {
        spool.office365.fault(Fault::ReplyAt(Stage::Dot, kind.into()), Times::Once);
        // What is refused of a sender is remembered of that one for a minute: those stay here.
        send(
            &shim,
            &format!(
                "app{number}@team{}.contoso.com",
                if (2..22).contains(&number) { number % 2 } else { 0 }
            ),
            number,
        );
        spool.wait_for("dead", number + 1, &shim);
    }
    let list = spool.queue(&["list"]);
    let text = out(&list);
    let joined = text.replace("\n    ", " ");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.contains("\n24 mails, ") && text.contains(": 24 dead\n"), "{text}");
    for (place, kind) in KINDS.iter().enumerate() {
        let first: String = kind.split(' ').take(3).collect::<Vec<_>>().join(" ");
        assert!(text.contains(&format!("\n({}) 2 mails: {first}", place + 1)), "{first}: {text}");
    }
    assert!(joined.contains("Fix: Run Add-RecipientPermission"), "{text}");
    assert!(joined.contains("mailshim queue retry --prepare ID."), "{text}");

    let one = &spool.list(&["--from", "app0@team0.contoso.com"])[0];
    let keys: Vec<&str> = one.as_object().expect("an object").keys().map(String::as_str).collect();
    let mut wanted = vec![
        "id",
        "state",
        "created",
        "bytes",
        "from",
        "recipients",
        "attempts",
        "next",
        "reply",
        "fix",
        "message_id",
    ];
    wanted.sort_unstable();
    assert_eq!(keys, wanted);
    assert_eq!((&one["state"], &one["attempts"], &one["next"]), (&"dead".into(), &1.into(), &Value::Null));
    let id = one["id"].as_str().expect("a name");

    let shown = out(&spool.queue(&["show", id]));
    assert!(shown.contains("refused") && shown.contains("5.7.60") && !shown.contains("number 0"), "{shown}");
    let content = out(&spool.queue(&["show", id, "--content"]));
    assert!(content.contains("Subject: s\r\n") && content.ends_with("number 0\r\n"), "{content}");

    // Nothing is refused any more: all of one side come back, the others stay.
    let retried = spool.queue(&["retry", "--from", "*@team1.contoso.com"]);
    assert!(retried.status.success() && out(&retried) == "10 mails: tried now\n", "{retried:?}");
    assert!(spool.office365.wait(PATIENCE, |stats| stats.messages >= 10), "{}", shim.printed());
    spool.wait_for("dead", 14, &shim);
    let dropped = spool.queue(&["drop", "--yes", "--from", "app0@team0.contoso.com"]);
    let text = out(&dropped);
    assert!(dropped.status.success() && text.ends_with("1 mail dropped\n"), "{dropped:?}");
    let message_id = one["message_id"].as_str().expect("a Message-ID");
    assert!(text.contains(id) && text.contains(message_id) && text.contains("x0@example.com"), "{text}");
    assert_eq!(spool.list(&[]).len(), 13);
    let log = shim.printed();
    assert!(log.contains("mail dropped by the operator") && log.contains("mailshim queue: retry"), "{log}");
}

/// A wrong MAILSHIM_FROM, in the mail that waits and in the dead letter, is cured by `--prepare` alone; with a shim and
/// without one.
#[test]
fn a_wrong_sender_is_cured() {
    let spool = Spool::new();
    spool.office365.fault(Fault::ReplyAt(Stage::Dot, KINDS[0].into()), Times::Times(2));
    let forced = [("MAILSHIM_FROM", "wrong@contoso.com"), ("MAILSHIM_FROM_POLICY", "force")];
    let shim = spool.shim(&forced);
    // A set-up fault where the sender is ours: kept.
    send(&shim, "root", 1);
    spool.wait_for("deferred", 1, &shim);
    let text = out(&spool.queue(&["list"]));
    let id = spool.list(&[])[0]["id"].as_str().expect("a name").to_string();
    assert!(text.replace("\n    ", " ").contains(&format!("mailshim queue retry --prepare {id}.")), "{text}");
    shim.kill();

    let problem = spool.queue(&["retry", "--prepare", &id]);
    assert_eq!(problem.status.code(), Some(64), "the sender's variables are needed: {problem:?}");
    let right = [
        ("MAILSHIM_MAILBOX", "app@contoso.com"),
        ("MAILSHIM_FROM", "Shop <right@contoso.com>"),
        ("MAILSHIM_FROM_POLICY", "force"),
    ];
    let done = spool.queue_with(&["retry", "--prepare", &id], &right);
    assert!(done.status.success() && out(&done).contains("as soon as a mailshim runs here"), "{done:?}");
    let shown = out(&spool.queue(&["show", &id]));
    assert!(shown.contains("right@contoso.com") && shown.contains("(the app gave root)"), "{shown}");

    // Refused once more, and cured by the shim that runs.
    let shim = spool.shim(&forced);
    let until = Instant::now() + PATIENCE;
    while spool.list(&[])[0]["attempts"] != 2 {
        assert!(Instant::now() < until, "{}", shim.printed());
        std::thread::sleep(Duration::from_millis(20));
    }
    // The record stands in the file a moment before the message is given back.
    let asked = loop {
        let asked = spool.queue(&["retry", "--prepare", &id]);
        if asked.status.success() || Instant::now() > until {
            break asked;
        }
        assert!(err(&asked).contains("being delivered in this moment"), "{asked:?}");
    };
    assert!(asked.status.success(), "{asked:?}");
    assert!(spool.office365.wait(PATIENCE, |stats| stats.messages >= 1), "{}", shim.printed());
    let taken = &spool.office365.taken()[0];
    let text = String::from_utf8_lossy(&taken.content).into_owned();
    assert!(text.contains("From: <wrong@contoso.com>\r\n") && text.ends_with("number 1\r\n"), "{text}");
    assert_eq!(text.matches("Message-ID:").count(), 1, "{text}");
}

#[test]
fn codes_and_words_of_what_cannot_be_done() {
    let spool = Spool::new();
    // Nothing was ever kept here.
    let code = |words: &[&str]| spool.queue(words).status.code();
    assert_eq!(code(&["list"]), Some(0));
    assert_eq!(code(&["list", "--json"]), Some(0));
    assert_eq!(code(&["show", "1f"]), Some(1));
    for usage in [
        &["retry"][..],
        &["drop"],
        &["list", "--state", "lost"],
        &["list", "--older", "2"],
        &["list", "--from", "nobody"],
        &["show"],
        &["show", "x"],
        &["purge"],
        &[],
    ] {
        assert_eq!(code(usage), Some(64), "{usage:?}");
    }
    let mut command = Command::new(program());
    let ended = command.env_clear().args(["queue", "list"]).output().expect("it runs");
    assert!(ended.status.code() == Some(64) && err(&ended).contains("MAILSHIM_SPOOL_DIR"), "{ended:?}");

    spool.office365.fault(Fault::StallAt(Stage::Dot), Times::Once);
    let mut shim = spool.shim(&[]);
    shim.client().mail(&small(1)).is(250);
    assert!(spool.office365.wait(PATIENCE, |stats| stats.connections_opened >= 1));
    let id = spool.list(&[])[0]["id"].as_str().expect("a name").to_string();
    let until = Instant::now() + PATIENCE;
    loop {
        let ended = spool.queue(&["drop", "--yes", &id]);
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        if err(&ended).contains("being delivered in this moment") {
            break;
        }
        assert!(Instant::now() < until, "{ended:?}");
    }
    let ended = spool.queue(&["retry", "12345"]);
    assert!(ended.status.code() == Some(1) && err(&ended).contains("no mail of this name"), "{ended:?}");
    // Nobody is there to be asked.
    let ended = spool.queue(&["drop", "--all"]);
    assert!(ended.status.code() == Some(64) && err(&ended).contains("--yes"), "{ended:?}");
    shim.signal("KILL");
    shim.wait();
    // It was under way in a process that is gone: it waits, and nobody else has the spool.
    let ended = spool.queue(&["drop", "--yes", &id]);
    assert!(ended.status.success() && out(&ended).ends_with("1 mail dropped\n"), "{ended:?}");
    assert!(spool.list(&[]).is_empty());
}

/// What others leave in requests/ is no request, harms nothing, and keeps nobody's from being taken.
#[test]
fn forged_and_foreign_requests_are_harmless() {
    let spool = Spool::new();
    spool
        .office365
        .fault(Fault::ReplyAt(Stage::Mail, "451 4.7.0 Temporary server error".into()), Times::Times(2));
    let shim = spool.shim(&[]);
    send(&shim, "app@contoso.com", 1);
    spool.wait_for("deferred", 1, &shim);
    let id = spool.list(&[])[0]["id"].as_str().expect("a name").to_string();
    let requests = std::path::PathBuf::from(spool.path()).join("mailshim/requests");
    let leave = |name: &str, text: &str| std::fs::write(requests.join(name), text).expect("it is written");
    for number in 0..40 {
        leave(&format!("{number:x}.request"), "mailshim request 1\ndrop\n../../x\nend\n");
    }
    leave("a1.request", &format!("mailshim request 1\ndrop\n{id}\n"));
    leave("a2.new", &format!("mailshim request 1\ndrop\n{id}\nend\n"));
    leave("notes.request", &format!("mailshim request 1\ndrop\n{id}\nend\n"));
    leave("a3.request", &"x".repeat(100_000));
    std::os::unix::fs::symlink("/etc/passwd", requests.join("a4.request")).expect("a link");
    std::os::unix::fs::symlink(requests.join("a2.new"), requests.join("a5.request")).expect("a link");
    let pipe = Command::new("mkfifo").arg(requests.join("a6.request")).status().expect("a pipe");
    assert!(pipe.success());
    let ended = spool.queue(&["flush"]);
    assert!(ended.status.success() && out(&ended) == "1 mail that waited: tried now\n", "{ended:?}");
    spool.wait_for("deferred", 1, &shim);
    let ended = spool.queue(&["retry", "--all"]);
    assert!(ended.status.success(), "{ended:?}");
    assert!(spool.office365.wait(PATIENCE, |stats| stats.messages >= 1), "{}", shim.printed());
    let left = std::fs::read_dir(&requests).expect("a directory").count();
    assert_eq!(left, 40 + 7, "what is not ours stays");
}

#[test]
fn hostile_text_is_inert() {
    let spool = Spool::new();
    spool.office365.fault(
        Fault::ReplyAt(Stage::Dot, "550 5.1.1 \u{1b}]0;owned\u{7}\u{1b}[2J\u{202e}unknown".into()),
        Times::Once,
    );
    let shim = spool.shim(&[]);
    send(&shim, "app@contoso.com", 1);
    spool.wait_for("dead", 1, &shim);
    let id = spool.list(&[])[0]["id"].as_str().expect("a name").to_string();
    for words in [&["list"][..], &["list", "--json"], &["show", &id], &["drop", "--yes", &id]] {
        let text = out(&spool.queue(words));
        let hostile = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(hostile) && text.contains(&id), "{text:?}");
    }
}

/// Killed at any moment of a request, a mail is where it was or where it was to go: never nowhere, and never twice.
#[test]
fn a_kill_during_requests_loses_nothing() {
    let spool = Spool::new();
    spool.office365.fault(Fault::ReplyAt(Stage::Dot, KINDS[1].into()), Times::Times(12));
    let shim = spool.shim(&[]);
    (0..12).for_each(|number| send(&shim, &format!("app{number}@contoso.com"), number));
    spool.wait_for("dead", 12, &shim);
    shim.kill();
    // Without a shim, so that nothing is delivered: the command itself is killed.
    let vars = variables(&spool.office365, &[("MAILSHIM_SPOOL_DIR", &spool.path())]);
    let mut random = u64::from(std::process::id()) | 1;
    for _ in 0..12 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let mut command = Command::new(program());
        command.env_clear().envs(&vars).args(["queue", "retry", "--all", "--prepare"]);
        let mut running = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
        // At no moment that anything here knows of: this is what is tested, not waited for.
        std::thread::sleep(Duration::from_micros(random % 12_000));
        let _ = running.kill();
        running.wait().expect("it ends");
        let all = spool.list(&[]);
        let ids: std::collections::BTreeSet<_> = all.iter().map(|mail| mail["id"].as_str()).collect();
        assert_eq!((all.len(), ids.len()), (12, 12), "{all:?}");
    }
    let shim = spool.shim(&[]);
    let ended = spool.queue(&["retry", "--all"]);
    assert!(ended.status.success(), "{ended:?}");
    assert!(spool.office365.wait(PATIENCE, |stats| stats.messages >= 12), "{}", shim.printed());
    spool.wait_for("waiting", 0, &shim);
    assert_eq!(spool.office365.taken().len(), 12, "none twice");
    assert!(spool.list(&[]).is_empty());
}
