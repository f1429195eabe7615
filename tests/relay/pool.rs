//! At most MAILSHIM_MAX_CONNECTIONS, in use, idle and saying goodbye together, whoever asks.

use std::time::Duration;

use office365::{Fault, Stage, Times};
use support::PATIENCE;
use support::mails::{large, small};
use support::thread::plan;

#[test]
fn forty_apps_share_three_connections() {
    let setup = plan().settings(|settings| settings.latency = Duration::from_millis(2)).start();
    std::thread::scope(|scope| {
        for app in 0..40 {
            let setup = &setup;
            scope.spawn(move || {
                let mut client = setup.client();
                for number in 0..5 {
                    client.mail(&small(app * 10 + number)).is(250);
                }
                client.command("QUIT").is(221);
            });
        }
    });
    let stats = setup.office365.stats();
    assert_eq!(stats.messages, 200);
    assert!(stats.max_open <= 3 && stats.max_sending <= 3, "{} {}", stats.max_open, stats.max_sending);
    assert!(stats.connections_opened >= 10, "each takes twenty");
}

#[test]
fn a_goodbye_that_is_not_answered_still_counts() {
    let setup = plan().deadlines(|d| d.quit = Duration::from_millis(100)).start();
    setup.fault(Fault::QuitIgnored, Times::Always);
    std::thread::scope(|scope| {
        for app in 0..6 {
            let setup = &setup;
            scope.spawn(move || {
                let mut client = setup.client();
                for number in 0..15 {
                    client.mail(&small(app * 100 + number)).is(250);
                }
            });
        }
    });
    assert!(setup.office365.stats().max_open <= 3);
    assert_eq!(setup.office365.stats().messages, 90);
}

#[test]
fn broken_connections_do_not_let_it_grow() {
    let setup = plan().env("MAILSHIM_MAX_CONNECTIONS", "2").deadlines(|d| d.fresh = Duration::ZERO).start();
    for stage in [Stage::Mail, Stage::Rcpt, Stage::Auth, Stage::Greeting] {
        setup.fault(Fault::DropAt(stage), Times::Times(3));
    }
    std::thread::scope(|scope| {
        for app in 0..12 {
            let setup = &setup;
            scope.spawn(move || setup.send(&small(app)).is(250).code);
        }
    });
    assert!(setup.office365.stats().max_open <= 2, "{}", setup.office365.stats().max_open);
    assert_eq!(setup.office365.stats().messages, 12);
}

#[test]
fn who_waits_first_is_served_first() {
    let setup = plan().env("MAILSHIM_MAX_CONNECTIONS", "1").start();
    setup.fault(Fault::DelayAt(Stage::Dot, Duration::from_millis(600)), Times::Once);
    let mut clients: Vec<_> = (0..8).map(|_| setup.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.submit(&["x@example.com"], &small(number));
        // The first is in the delay when the others come; that they come in order shows only in their replies, so each
        // has been read when the next is sent: NOOP on another connection is answered behind it.
        setup.client().command("NOOP").is(250);
    }
    for client in &mut clients {
        client.reply().is(250);
    }
    let order: Vec<Vec<u8>> = setup.office365.taken().into_iter().map(|taken| taken.content).collect();
    for (number, content) in order.iter().enumerate() {
        let text = String::from_utf8_lossy(content);
        assert!(text.contains(&format!("Subject: test {number}\r\n")), "{number}: {text}");
    }
}

#[test]
fn streamed_mail_leaves_one_connection_free() {
    let setup = plan().start();
    let content = large(1, 400 * 1024);
    let mut slow: Vec<_> = (0..5)
        .map(|_| {
            let mut client = setup.client();
            client.envelope(&["x@example.com"]);
            client.command("DATA").is(354);
            client.send(&support::mails::stuffed(&content)[..300 * 1024]);
            client
        })
        .collect();
    // Two streams have begun and hold their connections.
    let began = || setup.office365.dialogue().iter().filter(|l| l.text.starts_with("RCPT")).count() >= 2;
    let until = std::time::Instant::now() + PATIENCE;
    while !began() {
        assert!(std::time::Instant::now() < until, "{}", setup.dialogue());
        std::thread::sleep(Duration::from_millis(5));
    }
    setup.send(&small(2)).is(250);
    assert_eq!(setup.office365.taken_count(), 1);
    assert!(setup.said("MAIL") <= 3, "{}", setup.dialogue());
    for client in &mut slow {
        client.send(&support::mails::stuffed(&content)[300 * 1024..]);
    }
    for client in &mut slow {
        client.reply().is(250);
    }
    let (content, small) = (&content[..], small(2));
    setup.took(&[content, content, content, content, content, &small]);
}
