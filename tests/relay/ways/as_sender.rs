//! `MAILSHIM_LOGIN_AS_SENDER`: one app registration, and each sender's mail goes through its own mailbox.

use std::collections::HashSet;

use office365::{Office365, Settings, Taken};
use support::PATIENCE;
use support::thread::{Shim, assert_lawful, config};

use super::{send, send_as};

const ALL: (&str, &str) = ("MAILSHIM_LOGIN_AS_SENDER", "*@contoso.com");

fn tenant() -> Office365 {
    let mailboxes = ["app@contoso.com", "a@contoso.com", "b@contoso.com"].map(String::from).to_vec();
    Office365::start(Settings { mailboxes, ..Settings::default() })
}

fn mailboxes(taken: &[Taken]) -> Vec<&str> {
    taken.iter().map(|mail| mail.mailbox.as_str()).collect()
}

#[test]
fn each_mail_goes_through_its_senders_mailbox_and_one_token_serves_all() {
    let office365 = tenant();
    let shim = Shim::start(&office365, &[ALL]);
    // The third in other capitals: the same mailbox, and the same connection.
    for sender in ["a@contoso.com", "b@contoso.com", "A@Contoso.com", "app@contoso.com", "b@contoso.com"] {
        send(&shim, sender).is(250);
    }
    let taken = office365.wait_taken(5, PATIENCE);
    let through = ["a@contoso.com", "b@contoso.com", "a@contoso.com", "app@contoso.com", "b@contoso.com"];
    assert_eq!(mailboxes(&taken), through);
    let connections: Vec<_> = taken.iter().map(|mail| mail.connection).collect();
    assert_eq!((connections[0], connections[1]), (connections[2], connections[4]));
    assert_eq!(connections.iter().collect::<HashSet<_>>().len(), 3, "{connections:?}");
    assert_eq!(office365.stats().token_requests, 1);
    assert_lawful(&office365);
}

#[test]
fn who_is_not_listed_goes_through_the_main_mailbox() {
    let office365 = tenant();
    office365.grant_send_as("app@contoso.com", "b@contoso.com");
    let shim = Shim::start(&office365, &[("MAILSHIM_LOGIN_AS_SENDER", "a@contoso.com")]);
    for sender in ["a@contoso.com", "b@contoso.com", "root@localhost"] {
        send(&shim, sender).is(250);
    }
    let taken = office365.wait_taken(3, PATIENCE);
    assert_eq!(mailboxes(&taken), ["a@contoso.com", "app@contoso.com", "app@contoso.com"]);
    assert!(taken[1].mail.starts_with("FROM:<b@contoso.com>"));
    assert!(taken[2].mail.starts_with("FROM:<app@contoso.com>"));
    assert_lawful(&office365);
}

#[test]
fn envelope_and_from_must_agree() {
    let office365 = tenant();
    let shim = Shim::start(&office365, &[ALL]);
    for (envelope, from) in [
        ("a@contoso.com", "b@contoso.com"),
        ("a@contoso.com", "someone@fabrikam.com"),
        ("someone@fabrikam.com", "a@contoso.com"),
    ] {
        let reply = send_as(&shim, envelope, from);
        reply.begins("550 5.7.1 ", &["name different senders", "MAILSHIM_LOGIN_AS_SENDER"]);
    }
    assert_eq!((office365.taken_count(), office365.stats().auth_refused), (0, 0));
    // A display name and capitals make no other sender.
    send_as(&shim, "a@contoso.com", "Ann <A@contoso.com>").is(250);
    assert_eq!(mailboxes(&office365.wait_taken(1, PATIENCE)), ["a@contoso.com"]);
}

#[test]
fn a_sender_that_may_not_sign_in_is_left_alone_and_the_others_go_on() {
    let office365 = tenant();
    let shim = Shim::start(&office365, &[ALL]);
    send(&shim, "a@contoso.com").is(250);
    let reply = send(&shim, "nobody@contoso.com");
    reply.begins("454 4.7.", &["Authentication unsuccessful", "| Fix: "]);
    // With a token that had been used before, and with a new one.
    let refused = office365.stats().auth_refused;
    assert!((1..=2).contains(&refused), "{refused}");
    for _ in 0..3 {
        let reply = send(&shim, "Nobody@contoso.com");
        reply.begins("454 4.7.", &["Authentication unsuccessful"]);
    }
    assert_eq!(office365.stats().auth_refused, refused, "signed in again within 15 minutes");
    for sender in ["a@contoso.com", "b@contoso.com", "app@contoso.com"] {
        send(&shim, sender).is(250);
    }
    let taken = office365.wait_taken(4, PATIENCE);
    assert_eq!(taken[0].connection, taken[1].connection, "another sender's refusal cost a connection");
    assert_lawful(&office365);
}

/// More than are kept at once: what was refused to the first is not forgotten with it.
#[test]
fn senders_in_turn_do_not_have_a_refused_sign_in_made_again() {
    let office365 = tenant();
    let shim = Shim::start(&office365, &[ALL]);
    send(&shim, "a@contoso.com").is(250);
    let mut refused = Vec::new();
    for _round in 0..2 {
        for number in 0..260 {
            let reply = send(&shim, &format!("nobody-{number}@contoso.com"));
            reply.begins("454 4.7.", &["Authentication unsuccessful"]);
        }
        refused.push(office365.stats().auth_refused);
    }
    assert_eq!(refused[0], refused[1], "signed in again within 15 minutes");
    // Who is taken has nothing left of the past.
    send(&shim, "b@contoso.com").is(250);
    send(&shim, "a@contoso.com").is(250);
    office365.wait_taken(3, PATIENCE);
}

#[test]
fn what_cannot_go_together_stops_the_start() {
    let office365 = tenant();
    let refused = |more: &[(&str, &str)], part: &str| {
        let errors = config(&office365, &[&[ALL], more].concat()).unwrap_err().to_string();
        assert!(errors.contains("\nMAILSHIM_LOGIN_AS_SENDER: ") && errors.contains(part), "{errors}");
    };
    refused(
        &[("MAILSHIM_FROM_POLICY", "force")],
        "MAILSHIM_FROM_POLICY=force gives every mail the same sender",
    );
    refused(
        &[("MAILSHIM_AUTH", "password"), ("MAILSHIM_PASSWORD", "x")],
        "needs an application that signs in (a secret, a certificate or a platform identity), not password",
    );
    let from = ("MAILSHIM_FROM", "app@contoso.com");
    refused(&[("MAILSHIM_AUTH", "none"), from], "not none");
}
