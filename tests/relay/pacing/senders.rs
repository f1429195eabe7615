//! Office 365 enforces SendAs; the app sends as root@localhost and as a customer.

use super::{from, send_as};
use office365::{Fault, Stage, Times, wording};
use support::thread::plan;

const CUSTOMER: &str = "customer@fabrikam.com";

#[test]
fn a_local_sender_is_repaired() {
    let setup = plan().start();
    send_as(&mut setup.client(), "root@localhost", 1).is(250);
    let taken = setup.office365.taken();
    assert!(taken[0].mail.starts_with("FROM:<app@contoso.com>"), "{}", taken[0].mail);
    let content = String::from_utf8_lossy(&taken[0].content).into_owned();
    assert!(
        content.contains("<app@contoso.com>") && !content.contains("From: The App <root@localhost>"),
        "{content}"
    );
}

#[test]
fn a_customers_address_is_refused_and_not_tried_again_at_once() {
    let setup = plan().start();
    let mut client = setup.client();
    let fix = "Add-RecipientPermission";
    send_as(&mut client, CUSTOMER, 1).is(554).says("5.2.252").says(fix);
    assert_eq!(setup.said("MAIL"), 1);
    // Never a 5xx: it may have been granted meanwhile, and the app would throw its mail away.
    send_as(&mut client, CUSTOMER, 2).is(451).says("4.7.1").says("not tried for another").says(fix);
    assert_eq!(setup.said("MAIL"), 1, "{}", setup.dialogue());
    send_as(&mut client, "app@contoso.com", 3).is(250);
    // Nor does the mailbox's success make the customer's address good.
    send_as(&mut client, CUSTOMER, 4).is(451);
    assert_eq!((setup.said("MAIL"), setup.office365.taken_count()), (2, 1));
}

/// Exchange judges Sender and Resent-From, too: what it says of a mail that has them is said of no other.
#[test]
fn what_was_refused_to_a_mail_in_anothers_name_is_not_said_of_the_apps_own() {
    for (field, number) in [
        ("Sender: ceo@contoso.com", 1),
        ("Resent-From: ceo@contoso.com", 2),
        ("Resent-Sender: ceo@contoso.com", 3),
    ] {
        let setup = plan().env("MAILSHIM_FROM_POLICY", "keep").start();
        let denied = wording::send_as_denied("app@contoso.com", "ceo@contoso.com");
        setup.fault(Fault::ReplyAt(Stage::Dot, denied), Times::Once);
        let mut client = setup.client();
        let plain = from("app@contoso.com", number);
        let anothers = [field.as_bytes(), b"\r\n", &plain[..]].concat();
        client.mail_as("app@contoso.com", &anothers).is(554).says("5.2.252");
        // Send As is granted in between: what is remembered is no 5xx, or the app would throw away what passes.
        setup.office365.grant_send_as("app@contoso.com", "ceo@contoso.com");
        client.mail_as("app@contoso.com", &anothers).is(451).says("4.7.1").says("not tried for another");
        assert_eq!(setup.said("MAIL"), 1, "{field}");
        // Without it the mail goes to Office 365, and passes.
        client.mail_as("app@contoso.com", &plain).is(250);
        assert_eq!((setup.said("MAIL"), setup.office365.taken_count()), (2, 1), "{field}");
    }
}

#[test]
fn force_sends_as_ours_and_answers_go_to_the_customer() {
    let setup = plan().env("MAILSHIM_FROM_POLICY", "force").start();
    send_as(&mut setup.client(), CUSTOMER, 1).is(250);
    let taken = setup.office365.taken();
    assert!(taken[0].mail.starts_with("FROM:<app@contoso.com>"), "{}", taken[0].mail);
    let content = String::from_utf8_lossy(&taken[0].content).into_owned();
    let field =
        |name: &str| content.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_string();
    assert!(field("Reply-To:").contains(CUSTOMER), "{content}");
    assert!(field("From:").contains("app@contoso.com") && !field("From:").contains(CUSTOMER), "{content}");
}
