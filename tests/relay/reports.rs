//! Mail that comes back: to whom, how often, and that it ends.

use std::path::Path;

use office365::{Fault, Stage, Taken, Times};
use support::files::Directory;
use support::mails::{large, small};
use support::thread::{Plan, Setup};

use crate::spool::{files, spool, wait_for};

const REFUSED: &str = "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient nobody@example.com not found";

fn refuses_recipients(setup: &Setup, times: Times) {
    setup.fault(Fault::ReplyAt(Stage::Rcpt, REFUSED.into()), times);
}

/// A tenant that takes no content of more than 10,000 octets: mail is refused, and reports are not.
fn takes_short_mail_alone(directory: &Directory) -> Plan {
    spool(directory).settings(|settings| settings.max_message_size = 10_000)
}

fn text_of(taken: &Taken) -> String {
    String::from_utf8(taken.content.clone()).unwrap()
}

fn is_settled(directory: &Directory, dead: usize) -> bool {
    files(directory, "dead").len() == dead && files(directory, "queue").is_empty()
}

fn dead_letters(directory: &Directory) -> Vec<String> {
    let path = |name: &String| directory.path(&format!("mailshim/dead/{name}"));
    files(directory, "dead")
        .iter()
        .map(|name| std::fs::read_to_string(Path::new(&path(name))).unwrap())
        .collect()
}

#[test]
fn a_refused_mail_comes_back_to_its_sender() {
    let directory = Directory::new();
    let setup = spool(&directory).start();
    refuses_recipients(&setup, Times::Once);
    setup.send(&small(1)).is(250);
    setup.wait(|stats| stats.messages == 1);
    wait_for("it is a dead letter", || is_settled(&directory, 1));
    let taken = setup.office365.taken();
    assert!(taken[0].mail.starts_with("FROM:<app@contoso.com>"), "{}", taken[0].mail);
    assert!(taken[0].rcpts[0].starts_with("TO:<app@contoso.com> NOTIFY=NEVER"), "{:?}", taken[0].rcpts);
    let report = text_of(&taken[0]);
    for words in [
        "Content-Type: multipart/report",
        "What to do: ",
        "Status: 5.1.10",
        "Subject: test 1",
        "Remote-MTA: dns; ",
    ] {
        assert!(report.contains(words), "{words}: {report}");
    }
    assert!(!report.contains("Hello"), "no content: {report}");
    assert!(dead_letters(&directory)[0].lines().last().unwrap().contains("\"reported\":[0]"));
}

#[test]
fn a_hidden_recipient_stays_hidden_in_the_report() {
    let directory = Directory::new();
    let setup = spool(&directory).start();
    refuses_recipients(&setup, Times::Once);
    setup.send("From: app@contoso.com\r\nBcc: secret@fabrikam.com\r\nSubject: x\r\n\r\nHello\r\n").is(250);
    setup.wait(|stats| stats.messages == 1);
    let report = text_of(&setup.office365.taken()[0]);
    assert!(report.contains("Subject: x") && !report.contains("secret"), "{report}");
}

#[test]
fn a_report_that_is_refused_is_a_dead_letter_and_nothing_more() {
    let directory = Directory::new();
    let setup = spool(&directory).start();
    refuses_recipients(&setup, Times::Always);
    setup.send(&small(1)).is(250);
    wait_for("both are dead letters", || is_settled(&directory, 2));
    assert_eq!(setup.said("RCPT"), 2);
    setup.took(&[]);
}

#[test]
fn two_shims_that_bounce_at_each_other_end() {
    let (one, other) = (Directory::new(), Directory::new());
    let (first, second) = (spool(&one).start(), spool(&other).start());
    refuses_recipients(&first, Times::Once);
    refuses_recipients(&second, Times::Always);
    first.send(&small(1)).is(250);
    first.wait(|stats| stats.messages == 1);
    // A rule in the mailbox forwards the report to an app beside the second shim, and that one sends it on.
    let report = first.office365.taken().remove(0).content;
    second.send(&report).is(250);
    // And so it does with what somebody's server has bounced.
    let mut app = second.client();
    app.send("MAIL FROM:<>\r\nRCPT TO:<x@example.com>\r\nDATA\r\n");
    [250, 250, 354].into_iter().for_each(|code| drop(app.reply().is(code).clone()));
    app.send(support::mails::stuffed(&small(2)));
    app.reply().is(250);
    wait_for("both are dead letters", || is_settled(&other, 2));
    assert!(is_settled(&one, 1));
    assert_eq!(second.said("RCPT"), 2);
    second.took(&[]);
}

#[test]
fn the_eleventh_of_an_hour_is_listed_with_the_rest() {
    let directory = Directory::new();
    let mut setup = takes_short_mail_alone(&directory).start();
    let mut app = setup.client();
    (0..14).for_each(|number| drop(app.mail(&large(number, 20_000)).is(250).clone()));
    drop(app);
    wait_for("all are refused", || files(&directory, "dead").len() == 14);
    setup.wait(|stats| stats.messages == 10);
    setup.ended();
    let setup = takes_short_mail_alone(&directory).start();
    setup.wait(|stats| stats.messages == 1);
    let report = text_of(&setup.office365.taken()[0]);
    assert!(
        report.contains("4 more mails were not delivered") && report.contains("Status: 5.3.4"),
        "{report}"
    );
    assert!(dead_letters(&directory).iter().all(|text| text.contains("\"reported\":[0]")));
    wait_for("nothing is left", || is_settled(&directory, 14));
}

#[test]
fn a_process_that_dies_before_it_has_listed_them_leaves_that_to_the_next() {
    let directory = Directory::new();
    let setup = takes_short_mail_alone(&directory).start();
    (0..13).for_each(|number| drop(setup.send(&large(number, 20_000)).is(250).clone()));
    wait_for("all are refused", || files(&directory, "dead").len() == 13);
    setup.wait(|stats| stats.messages == 10);
    // As it is on the disk in that moment.
    let copy = Directory::new();
    let copied = std::process::Command::new("cp")
        .args(["-r", &directory.path("mailshim"), &copy.path("")])
        .status()
        .unwrap();
    assert!(copied.success());
    let setup = takes_short_mail_alone(&copy).start();
    setup.wait(|stats| stats.messages == 3);
    wait_for("three are told of", || {
        dead_letters(&copy).iter().all(|text| text.contains("\"reported\":[0]"))
    });
}
