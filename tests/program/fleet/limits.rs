//! What several replicas keep together.

use office365::{Fault, Settings, Times};
use support::process::until;

use super::{Fleet, send};

/// On a machine so slow that its calls are given up nothing goes, either.
const HOLDS: [(&str, &str); 2] = [("MAILSHIM_HOLD", "20s"), ("MAILSHIM_FLEET_UNREACHABLE", "hold")];

#[test]
fn four_replicas_keep_one_minute_and_three_connections() {
    let limits = Settings { max_connections: Some(3), messages_per_minute: Some(30), ..Settings::default() };
    let Some(fleet) = Fleet::start(limits) else { return };
    let mut replicas: Vec<_> = (0..4).map(|_| fleet.member(&HOLDS)).collect();
    // More than fits: what does not is told when to come again.
    let replies: Vec<_> = std::thread::scope(|scope| {
        let apps: Vec<_> =
            (0..32).map(|app| &replicas[app % 4]).map(|replica| scope.spawn(|| send(replica))).collect();
        apps.into_iter().map(|app| app.join().unwrap()).collect()
    });
    let accepted = replies.iter().filter(|reply| reply.code == 250).count();
    assert_eq!(accepted, fleet.office365.taken_count(), "{replies:?}");
    // More than the share of any two: on a fast machine all 28.
    assert!((15..=28).contains(&accepted), "{accepted}: {replies:?}");
    let refused: Vec<_> = replies.iter().filter(|reply| reply.code != 250).collect();
    assert!(refused.iter().all(|reply| reply.code == 451), "{refused:?}");
    assert!(fleet.most_in_a_minute() <= 28);
    for replica in &mut replicas {
        let log = replica.printed();
        // Office 365 itself has refused nothing.
        assert!(!log.contains("432 4.3.2") && !log.contains("421 4.4.2"), "{log}");
        assert!(!log.contains(support::CANARY), "{log}");
    }
    let status = fleet.postgres.fleet(&["status"], &fleet.postgres.url("replica"));
    assert_eq!(status.code, 0, "{}", status.printed());
    assert!(status.stdout.contains("replicas    4"), "{}", status.stdout);
}

#[test]
fn a_connection_is_given_up_for_the_replica_that_waits() {
    let Some(fleet) = Fleet::start(Settings::default()) else { return };
    let one = [HOLDS[1], ("MAILSHIM_MAX_CONNECTIONS", "1")];
    let (first, second) = (fleet.member(&one), fleet.member(&one));
    for replica in [&first, &second, &first] {
        until("a mail goes", || send(replica).code == 250);
    }
    assert_eq!(fleet.office365.stats().max_open, 1);
}

#[test]
fn a_refused_sign_in_is_heard_by_the_others_who_do_not_try() {
    let Some(fleet) = Fleet::start(Settings::default()) else { return };
    let (first, second) = (fleet.member(&[]), fleet.member(&[]));
    for replica in [&first, &second] {
        send(replica).is(250);
    }
    let fault = "reply-at=auth=535 5.7.3 Authentication unsuccessful";
    fleet.office365.fault(fault.parse::<Fault>().unwrap(), Times::Always);
    support::close_idle(&fleet.office365);
    send(&first).is(454);
    until("the breaker is the fleet's", || {
        fleet.postgres.sql("select count(*) from mailshim.mailbox where breaker_until is not null").trim()
            == "1"
    });
    let opened = fleet.office365.stats().connections_opened;
    send(&second).is(454);
    assert_eq!(fleet.office365.stats().connections_opened, opened);
}

#[test]
fn another_replicas_432_costs_all_a_connection() {
    let Some(fleet) = Fleet::start(Settings::default()) else { return };
    let replica = fleet.member(&[]);
    let fault = "reply-at=dot=432 4.3.2 STOREDRV; concurrent connections limit exceeded";
    fleet.office365.fault(fault.parse::<Fault>().unwrap(), Times::Once);
    send(&replica).is(250);
    until("one connection fewer", || {
        fleet.postgres.sql("select connections from mailshim.mailbox").trim() == "2"
    });
}
