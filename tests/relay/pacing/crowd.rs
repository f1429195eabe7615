//! Ten apps that all send at once.

use std::collections::HashSet;
use std::time::Duration;

use office365::{Fault, Stage, Times};

use super::answered;
use support::client::Reply;
use support::mails::small;
use support::thread::{Setup, plan};

/// Each app sends so many mails over one connection, one after the other; all replies.
fn ten_apps(setup: &Setup, mails: usize) -> Vec<(usize, Reply)> {
    std::thread::scope(|scope| {
        let apps: Vec<_> = (0..10)
            .map(|app| {
                scope.spawn(move || {
                    let mut client = setup.client();
                    let numbers = (0..mails).map(|mail| app * 100 + mail);
                    numbers.map(|number| (number, client.mail(&small(number)))).collect::<Vec<_>>()
                })
            })
            .collect();
        apps.into_iter().flat_map(|app| app.join().unwrap()).collect()
    })
}

/// The numbers of the mails that Office 365 took, in its order.
fn taken(setup: &Setup) -> Vec<usize> {
    let number = |content: &[u8]| {
        let content = String::from_utf8_lossy(content).into_owned();
        let (_, rest) = content.split_once("Subject: test ").unwrap();
        rest.split_once('\r').unwrap().0.parse().unwrap()
    };
    setup.office365.taken().iter().map(|taken| number(&taken.content)).collect()
}

#[test]
fn share_three_connections_and_lose_double_and_reorder_nothing() {
    let setup = plan().settings(|settings| settings.max_connections = Some(3)).start();
    setup.fault(Fault::DelayAt(Stage::Dot, Duration::from_millis(10)), Times::Always);
    for (number, reply) in ten_apps(&setup, 12) {
        assert_eq!(reply.code, 250, "{number}: {}", reply.text);
    }
    let taken = taken(&setup);
    assert_eq!((taken.len(), taken.iter().collect::<HashSet<_>>().len()), (120, 120));
    for app in 0..10 {
        let of_this_app: Vec<_> = taken.iter().copied().filter(|number| number / 100 == app).collect();
        assert!(of_this_app.is_sorted(), "{of_this_app:?}");
    }
    assert_eq!((answered(&setup, "432"), setup.office365.stats().max_sending), (0, 3));
}

#[test]
fn who_is_refused_for_rate_hears_when_to_try_again() {
    for ours in ["0", "28"] {
        let setup = plan()
            .settings(|settings| settings.messages_per_minute = Some(30))
            .env("MAILSHIM_MESSAGES_PER_MINUTE", ours)
            .env("MAILSHIM_HOLD", "2s")
            .start();
        let replies = ten_apps(&setup, 4);
        let (accepted, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|(_, reply)| reply.code == 250);
        for (_, reply) in &refused {
            reply.is(451);
            let seconds = ["not tried for another ", "try again in "]
                .iter()
                .find_map(|words| reply.text.split_once(words))
                .and_then(|(_, rest)| rest.split_once(" s"))
                .unwrap_or_else(|| panic!("no time: {}", reply.text));
            assert!((1..=60).contains(&seconds.0.parse::<u64>().unwrap()), "{}", reply.text);
        }
        // Our own count lets a mail go at the end of its hold: what Office 365 takes is taken.
        assert_eq!((accepted.len(), refused.len()), (30, 10), "{ours}");
        let mut accepted: Vec<_> = accepted.iter().map(|(number, _)| *number).collect();
        let mut taken = taken(&setup);
        accepted.sort_unstable();
        taken.sort_unstable();
        assert_eq!(accepted, taken);
        // Those that were under way together; the others are not tried.
        assert!(answered(&setup, "421 4.4.2") <= 3, "{}", setup.dialogue());
    }
}
