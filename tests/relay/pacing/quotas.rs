//! Recipients a day by our own count, and Office 365's quotas and throttles, which are believed.

use office365::{Fault, Stage, Times, wording};

use super::send_as;
use support::client::{Client, Reply};
use support::mails::small;
use support::thread::plan;

fn to_ten(client: &mut Client, number: usize) -> Reply {
    let recipients: Vec<_> = (0..10).map(|number| format!("x{number}@example.com")).collect();
    client.submit(&recipients.iter().map(String::as_str).collect::<Vec<_>>(), &small(number));
    client.reply()
}

#[test]
fn our_own_count_is_told_at_mail_with_the_time() {
    let setup = plan().env("MAILSHIM_RECIPIENTS_PER_DAY", "50").start();
    let mut client = setup.client();
    for number in 0..5 {
        to_ten(&mut client, number).is(250);
    }
    let reply = client.command("MAIL FROM:<app@contoso.com>");
    // A day and the step in which they are counted.
    reply.is(451).says("4.7.1").says("MAILSHIM_RECIPIENTS_PER_DAY").says("in 14");
    setup.client().command("MAIL FROM:<root@localhost>").is(451);
    client.command("NOOP").is(250);
    assert_eq!(setup.office365.taken_count(), 5);
}

#[test]
fn office_365s_quota_pauses_the_mailbox() {
    let setup = plan().settings(|settings| settings.recipients_per_day = Some(50)).start();
    let mut client = setup.client();
    for number in 0..5 {
        to_ten(&mut client, number).is(250);
    }
    to_ten(&mut client, 5).is(451).says("SubmissionQuotaExceeded").says("MAILSHIM_RECIPIENTS_PER_DAY");
    let asked = setup.said("MAIL");
    for number in 6..9 {
        client.mail(&small(number)).is(451).says("SubmissionQuotaExceeded").says("not tried for another 3");
    }
    assert_eq!((setup.said("MAIL"), setup.office365.taken_count()), (asked, 5));
}

#[test]
fn a_throttled_sender_is_the_whole_mailbox() {
    let setup = plan().env("MAILSHIM_FROM_POLICY", "keep").start();
    setup.office365.grant_send_as("app@contoso.com", "other@contoso.com");
    setup.fault(Fault::ReplyAt(Stage::Dot, wording::SENDER_THROTTLED.into()), Times::Once);
    let mut client = setup.client();
    send_as(&mut client, "app@contoso.com", 1).is(451).says("Sender throttled");
    let asked = setup.said("MAIL");
    for (number, sender) in ["app@contoso.com", "other@contoso.com"].into_iter().enumerate() {
        send_as(&mut client, sender, number).is(451).says("Sender throttled").says("not tried for another");
    }
    assert_eq!((setup.said("MAIL"), setup.office365.taken_count()), (asked, 0));
}

#[test]
fn those_that_wait_for_a_connection_are_not_tried_either() {
    let setup = plan().env("MAILSHIM_MAX_CONNECTIONS", "1").start();
    setup.send(&small(0)).is(250);
    setup.fault(Fault::DelayAt(Stage::Mail, std::time::Duration::from_millis(600)), Times::Once);
    setup.fault(Fault::ReplyAt(Stage::Dot, wording::DAILY_RECIPIENTS.into()), Times::Once);
    let mut clients: Vec<_> = (1..8).map(|_| setup.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.submit(&["x@example.com"], &small(number));
    }
    for client in &mut clients {
        client.reply().is(451).says("SubmissionQuotaExceeded");
    }
    assert_eq!(setup.said("MAIL"), 2, "{}", setup.dialogue());
}
