//! The end: nothing that was acknowledged is lost, and the process ends within its grace.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use office365::{Fault, Stage, Times};
use support::mails::small;
use support::thread::plan;

#[test]
fn in_the_middle_of_a_burst_nothing_acknowledged_is_lost() {
    let mut setup = plan().settings(|settings| settings.latency = Duration::from_millis(2)).start();
    let acknowledged = AtomicUsize::new(0);
    let address = setup.address();
    std::thread::scope(|scope| {
        for app in 0..10 {
            let acknowledged = &acknowledged;
            scope.spawn(move || {
                let Ok(socket) = std::net::TcpStream::connect(address) else { return };
                drop(socket);
                let mut client = support::client::Client::connect(address);
                for number in 0..200 {
                    // Like an app: whatever is not 250 is not sent.
                    if !client.try_send("MAIL FROM:<app@contoso.com>\r\n") || client.reply().code != 250 {
                        break;
                    }
                    if client.command("RCPT TO:<x@example.com>").code != 250
                        || client.command("DATA").code != 354
                    {
                        break;
                    }
                    client.send(support::mails::stuffed(&small(app * 1000 + number)));
                    match client.reply().code {
                        250 => acknowledged.fetch_add(1, Ordering::SeqCst),
                        _ => break,
                    };
                }
            });
        }
        setup.wait(|stats| stats.messages >= 30);
        setup.stop();
    });
    setup.ended();
    let acknowledged = acknowledged.load(Ordering::SeqCst);
    assert!((30..2000).contains(&acknowledged), "{acknowledged}");
    assert_eq!(setup.office365.taken_count(), acknowledged, "every mail in hand was finished and answered");
    setup.wait(|stats| stats.connections_open == 0);
    let stats = setup.office365.stats();
    assert!(stats.connections.iter().all(|c| c.end == Some("QUIT")), "{:#?}", stats.connections);
    assert!(std::net::TcpStream::connect(setup.address()).is_err(), "nobody listens");
}

#[test]
fn what_waits_is_answered_before_the_grace_ends() {
    let mut setup = plan().env("MAILSHIM_MAX_CONNECTIONS", "1").env("MAILSHIM_SHUTDOWN_GRACE", "2s").start();
    setup.fault(Fault::StallAt(Stage::Dot), Times::Always);
    let mut stuck = setup.client();
    stuck.submit(&["x@example.com"], &small(1));
    setup.wait(|stats| stats.auth_ok == 1);
    let mut waiting = setup.client();
    waiting.submit(&["x@example.com"], &small(2));
    let begun = Instant::now();
    setup.stop();
    waiting.reply().is(451).says("shutting down");
    setup.ended();
    // Far below the verdict's 20 s: the grace alone decided.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(stuck.rest(), "", "cut off, and not answered");
    setup.took(&[]);
}

#[test]
fn an_idle_session_hears_421() {
    let mut setup = plan().start();
    let mut client = setup.client();
    client.mail(&small(1)).is(250);
    setup.stop();
    client.reply().is(421);
    setup.ended();
}
