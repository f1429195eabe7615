//! Mail that is answered when it is on the disk, and delivered behind that.

use std::path::Path;
use std::time::{Duration, Instant};

use office365::{Fault, Office365, Settings, Stage, Times};
use support::PATIENCE;
use support::files::Directory;
use support::mails::{large, small};
use support::thread::{Plan, Setup, Shim, plan};

/// A shim with a spool in this directory.
pub fn spool(directory: &Directory) -> Plan {
    plan().env("MAILSHIM_SPOOL_DIR", &directory.path("")).env("MAILSHIM_HOLD", "")
}

pub fn files(directory: &Directory, folder: &str) -> Vec<String> {
    let path = directory.path(&format!("mailshim/{folder}"));
    let names = std::fs::read_dir(Path::new(&path)).into_iter().flatten();
    names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect()
}

#[track_caller]
pub fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[track_caller]
fn wait_until_empty(directory: &Directory) {
    wait_for("the spool is empty", || files(directory, "queue").is_empty());
}

fn refuses_everything(setup: &Setup) {
    setup.fault(Fault::ReplyAt(Stage::Mail, "451 4.7.0 Temporary server error. PRX5".into()), Times::Always);
}

#[test]
fn it_is_answered_at_once_and_arrives_byte_for_byte() {
    let directory = Directory::new();
    let setup = spool(&directory).start();
    let mut app = setup.client();
    app.mail(&small(1)).is(250).begins("250 2.0.0 queued as ", &[]);
    app.mail(&large(2, 3_000_000)).is(250);
    app.mail_in_chunks(&large(3, 300_000), 70_000).is(250);
    setup.wait(|stats| stats.messages == 3);
    wait_until_empty(&directory);
    setup.took(&[&small(1), &large(2, 3_000_000), &large(3, 300_000)]);
    assert_eq!(files(&directory, "dead"), Vec::<String>::new());
}

#[test]
fn what_office_365_does_not_take_now_is_delivered_by_the_next_process() {
    let directory = Directory::new();
    let setup = spool(&directory).start();
    refuses_everything(&setup);
    setup.send(&small(1)).is(250);
    setup.send(&large(2, 400_000)).is(250);
    wait_for("both were tried", || setup.said("MAIL") >= 2);
    drop(setup);
    assert_eq!(files(&directory, "queue").len(), 2);
    // Each has its next time in its name; it is as if that had come.
    for name in files(&directory, "queue") {
        let (_, rest) = name.split_once('-').unwrap();
        let from = directory.path(&format!("mailshim/queue/{name}"));
        std::fs::rename(from, directory.path(&format!("mailshim/queue/0000000001-{rest}"))).unwrap();
    }
    let setup = spool(&directory).start();
    setup.wait(|stats| stats.messages == 2);
    wait_until_empty(&directory);
    setup.took(&[&small(1), &large(2, 400_000)]);
}

#[test]
fn each_recipient_is_for_itself() {
    let directory = Directory::new();
    let setup = spool(&directory).start();
    let refusal = Fault::ReplyAt(Stage::Rcpt, "550 5.1.10 RecipientNotFound".into());
    setup.fault(refusal, Times::Once);
    let mut app = setup.client();
    app.submit(&["nobody@example.com", "x@example.com", "y@example.com"], &small(1));
    app.reply().is(250);
    // The mail for the two, and the report about the third.
    setup.wait(|stats| stats.messages == 2);
    wait_for("the dead letter", || files(&directory, "dead").len() == 1);
    let taken = setup.office365.taken();
    assert_eq!(taken[0].rcpts.len(), 2, "{taken:?}");
    let dead = directory.path(&format!("mailshim/dead/{}", files(&directory, "dead")[0]));
    let text = std::fs::read_to_string(dead).unwrap();
    let attempt: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(attempt["results"][0]["verdict"], "refused", "{attempt}");
    assert_eq!(attempt["results"][0]["recipients"], serde_json::json!([0]));
    assert_eq!(attempt["results"][1]["recipients"], serde_json::json!([1, 2]));
    wait_until_empty(&directory);
}

#[test]
fn a_full_spool_refuses_with_452_and_takes_mail_again() {
    let directory = Directory::new();
    let setup = spool(&directory).env("MAILSHIM_SPOOL_MAX_BYTES", "1MB").start();
    refuses_everything(&setup);
    let mut app = setup.client();
    app.mail(&large(1, 600_000)).is(250);
    app.mail(&large(2, 600_000)).is(452).says("4.3.1").says("MAILSHIM_SPOOL_MAX_BYTES");
    app.mail(&small(3)).is(250);
    wait_for("nothing of the refused one stays", || files(&directory, "queue").len() == 2);
}

#[test]
fn sixty_four_sessions_at_once_keep_to_the_spools_bytes() {
    let directory = Directory::new();
    let setup = spool(&directory).env("MAILSHIM_SPOOL_MAX_BYTES", "1MB").start();
    refuses_everything(&setup);
    let replies: Vec<u16> = std::thread::scope(|scope| {
        let apps = (0..64).map(|number| {
            let setup = &setup;
            scope.spawn(move || {
                let mut app = setup.client();
                // One in eight streams to the disk as it comes.
                let octets = if number % 8 == 0 { 300_000 } else { 30_000 };
                (0..3).map(|mail| app.mail(&large(100 * number + mail, octets)).code).collect::<Vec<_>>()
            })
        });
        let apps: Vec<_> = apps.collect();
        apps.into_iter().flat_map(|app| app.join().unwrap()).collect()
    });
    assert!(replies.iter().all(|code| matches!(code, 250 | 452)), "{replies:?}");
    let names = files(&directory, "queue");
    assert_eq!(
        names.len(),
        replies.iter().filter(|code| **code == 250).count(),
        "nothing of the refused ones"
    );
    let octets = names.iter().map(|name| name.split('-').nth(2).unwrap().parse::<u64>().unwrap());
    let octets: u64 = octets.sum();
    assert!((600_000..=1_000_000).contains(&octets), "{octets}");
}

/// A wall clock that was ahead has named a time that never comes, for all that a mail can wait.
#[test]
fn a_clock_that_was_ahead_keeps_no_mail() {
    let directory = Directory::new();
    let setup = spool(&directory).start();
    refuses_everything(&setup);
    setup.send(&small(1)).is(250);
    wait_for("it was tried", || setup.said("MAIL") >= 1);
    drop(setup);
    let name = files(&directory, "queue").remove(0);
    let (_, rest) = name.split_once('-').unwrap();
    let from = directory.path(&format!("mailshim/queue/{name}"));
    std::fs::rename(from, directory.path(&format!("mailshim/queue/4102444800-{rest}"))).unwrap();
    let setup = spool(&directory).start();
    setup.wait(|stats| stats.messages == 1);
    wait_until_empty(&directory);
    setup.took(&[&small(1)]);
}

/// Office 365 takes no more recipients in one transaction: the rest goes at once, in another.
#[test]
fn more_recipients_than_fit_go_in_transactions_of_their_own() {
    let directory = Directory::new();
    let setup = spool(&directory).settings(|settings| settings.max_recipients = 2).start();
    let mut app = setup.client();
    app.submit(
        &["a@example.com", "b@example.com", "c@example.com", "d@example.com", "e@example.com"],
        &small(1),
    );
    app.reply().is(250);
    setup.wait(|stats| stats.messages == 3);
    wait_until_empty(&directory);
    let mut to: Vec<_> = setup.office365.taken().into_iter().flat_map(|taken| taken.rcpts).collect();
    to.sort();
    let all = ["a", "b", "c", "d", "e"].map(|name| format!("TO:<{name}@example.com>"));
    assert_eq!(to, all, "each once");
    assert_eq!(files(&directory, "dead"), Vec::<String>::new());
}

/// The record says whom the app named, whoever gets it (`queue retry --prepare` begins with that).
#[test]
fn the_record_keeps_whom_the_app_named() {
    let directory = Directory::new();
    let setup = spool(&directory).env("MAILSHIM_LOCAL_TO", "admin@contoso.com").start();
    refuses_everything(&setup);
    let mut app = setup.client();
    app.submit(&["root@localhost", "x@example.com", "www-data"], &small(1));
    app.reply().is(250);
    let queue = directory.path("mailshim/queue");
    let text = std::fs::read_to_string(format!("{queue}/{}", files(&directory, "queue")[0])).unwrap();
    let head: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let to = |envelope: &serde_json::Value| {
        let recipients = envelope["recipients"].as_array().unwrap();
        recipients.iter().map(|one| one["address"].as_str().unwrap().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(to(&head["head"]["app"]), ["root@localhost", "x@example.com", "www-data"]);
    assert_eq!(to(&head["head"]["sent"]["envelope"]), ["admin@contoso.com", "x@example.com"]);
}

#[test]
fn an_app_that_goes_in_the_middle_leaves_nothing() {
    let directory = Directory::new();
    let setup = spool(&directory).start();
    let mut app = setup.client();
    app.begin(&["x@example.com"]);
    app.send(large(1, 600_000));
    wait_for("it streams to the disk", || !files(&directory, "queue").is_empty());
    drop(app);
    wait_until_empty(&directory);
    setup.took(&[]);
}

#[test]
fn a_second_shim_answers_421_until_the_first_has_ended() {
    let directory = Directory::new();
    let mut first = spool(&directory).start();
    first.send(&small(1)).is(250);
    first.wait(|stats| stats.messages == 1);
    let office365 = Office365::start(Settings::default());
    let second =
        Shim::start(&office365, &[("MAILSHIM_SPOOL_DIR", &directory.path("")), ("MAILSHIM_HOLD", "")]);
    let mut refused = support::client::Client::dial(second.address);
    refused.reply().is(421).says("spool");
    first.ended();
    wait_for("the second one takes mail", || {
        let mut app = support::client::Client::dial(second.address);
        app.reply().code == 220
    });
    second.send(&small(2)).is(250);
    assert!(office365.wait(PATIENCE, |stats| stats.messages == 1));
}

#[test]
fn refused_sign_ins_do_not_burn_the_backlog() {
    let directory = Directory::new();
    let setup = spool(&directory).password().start();
    setup.fault(Fault::ReplyAt(Stage::Auth, "535 5.7.3 Authentication unsuccessful".into()), Times::Once);
    let mut app = setup.client();
    for number in 0..40 {
        app.mail(&small(number)).is(250);
    }
    setup.wait(|stats| stats.auth_refused >= 1);
    // One has met it. The others wait for the breaker in their files, as they came.
    setup.wait(|stats| stats.messages >= 39);
    assert!(setup.office365.stats().auth_refused <= 1, "{:?}", setup.office365.stats());
    let tried = files(&directory, "queue").into_iter().filter(|name| {
        let text = std::fs::read_to_string(directory.path(&format!("mailshim/queue/{name}")));
        text.is_ok_and(|text| text.contains("deferred"))
    });
    assert!(tried.count() <= 1);
}

#[test]
fn what_is_due_is_delivered_before_the_end() {
    let directory = Directory::new();
    let mut setup = spool(&directory).env("MAILSHIM_MAX_CONNECTIONS", "1").start();
    setup.fault(Fault::DelayAt(Stage::Dot, Duration::from_millis(100)), Times::Always);
    let mut app = setup.client();
    for number in 0..12 {
        app.mail(&small(number)).is(250);
    }
    drop(app);
    setup.ended();
    assert_eq!(files(&directory, "queue"), Vec::<String>::new());
    assert_eq!(setup.office365.taken_count(), 12);
}
