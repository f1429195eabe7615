//! The sender policy, the guards and the repairs on the whole way, from the app's socket to the simulated Office 365.

use office365::{Office365, Settings, Taken};
use support::PATIENCE;
use support::client::{Client, Reply};
use support::thread::Shim;

/// An app that has said HELO.
fn greeted(shim: &Shim) -> Client {
    let mut app = shim.client();
    app.expect("HELO web", "250 ");
    app
}

/// A whole mail whose answer begins so.
#[track_caller]
fn sends(app: &mut Client, sender: &str, content: &str, expected: &str) -> Reply {
    let reply = app.mail_as(sender, content);
    assert!(reply.starts_with(expected), "{reply}");
    reply
}

fn only(office365: &Office365) -> Taken {
    let mut taken = office365.wait_taken(1, PATIENCE);
    assert_eq!((taken.len(), office365.violations()), (1, Vec::new()));
    taken.remove(0)
}

fn text(mail: &Taken) -> String {
    String::from_utf8(mail.content.clone()).unwrap()
}

#[test]
fn root_at_localhost_is_sent_as_the_mailbox() {
    let office365 = Office365::start(Settings::default());
    let shim = Shim::start(&office365, &[("MAILSHIM_FROM", "Contoso Servers <app@contoso.com>")]);
    sends(
        &mut greeted(&shim),
        "root@localhost",
        "From: root@localhost\r\nSubject: x\r\n\r\nbody\r\n",
        "250 ",
    );
    let mail = only(&office365);
    let octets = mail.content.len();
    assert_eq!(mail.mail, format!("FROM:<app@contoso.com> SIZE={octets}"));
    let text = text(&mail);
    assert!(text.starts_with("Received: from localhost by contoso.com (mailshim) with ESMTP id "), "{text}");
    assert!(text.contains("\r\nFrom: Contoso Servers <app@contoso.com>\r\nSubject: x\r\nDate: "), "{text}");
    assert!(text.contains("@contoso.com>\r\n\r\nbody\r\n"), "{text}");
}

#[test]
fn a_customer_as_sender_is_refused_for_good_or_made_answerable() {
    let content = "From: Jane <jane@customer.example>\r\n\r\nbody\r\n";
    let office365 = Office365::start(Settings::default());
    let repair = Shim::start(&office365, &[]);
    let reply = sends(&mut greeted(&repair), "jane@customer.example", content, "554 5.2.252 ");
    assert!(reply.contains("SendAs"), "{reply}");
    let force = Shim::start(&office365, &[("MAILSHIM_FROM_POLICY", "force")]);
    sends(&mut greeted(&force), "jane@customer.example", content, "250 ");
    let text = text(&only(&office365));
    assert!(
        text.contains("From: Jane <app@contoso.com>\r\nReply-To: Jane <jane@customer.example>"),
        "{text}"
    );
}

#[test]
fn our_own_sender_refused_is_no_fault_of_the_message() {
    let office365 = Office365::start(Settings::default());
    let shim = Shim::start(&office365, &[("MAILSHIM_FROM", "other@contoso.com")]);
    sends(&mut greeted(&shim), "root", "From: root\r\n\r\nbody\r\n", "451 4.2.252 ");
}

#[test]
fn a_header_block_of_many_chunks_and_a_streamed_body_arrive_whole() {
    let office365 = Office365::start(Settings::default());
    let shim = Shim::start(&office365, &[]);
    let field = format!("X-Filler: {}\r\n", "x".repeat(990));
    let header = format!("From: root\r\n{}Bcc: secret@fabrikam.com\r\nX-Last: 1\r\n", field.repeat(200));
    let line = format!("{}\r\n", "0123456789".repeat(9));
    let body = line.repeat(20_000);
    let content = format!("{header}\r\n{body}");
    let mut app = greeted(&shim);
    app.expect(&format!("MAIL FROM:<root> SIZE={}", content.len()), "250 ");
    app.expect("RCPT TO:<someone@fabrikam.com>", "250 ");
    app.expect("DATA", "354 ");
    app.send(&content);
    app.expect(".", "250 ");
    let mail = only(&office365);
    // What the app announced, and what our header block adds to it or takes away.
    assert_eq!(mail.mail, format!("FROM:<app@contoso.com> SIZE={} BODY=8BITMIME", mail.size));
    let text = text(&mail);
    let (head, arrived) = text.split_once("\r\n\r\n").unwrap();
    assert!(arrived == body, "{} of {} octets", arrived.len(), body.len());
    assert!(head.contains("From: <app@contoso.com>\r\nX-Filler") && head.contains("\r\nX-Last: 1\r\nDate: "));
    assert!(!head.contains("secret"));
    // A chunk's size would be wrong otherwise, and the connection out of step.
    sends(&mut greeted(&shim), "root", "From: root\r\nno blank line before this\r\n", "250 ");
    sends(&mut greeted(&shim), "root", "", "250 ");
    assert_eq!((office365.wait_taken(3, PATIENCE).len(), office365.violations()), (3, Vec::new()));
}

#[test]
fn what_will_never_pass_is_refused_after_the_dot_and_the_session_goes_on() {
    let office365 = Office365::start(Settings::default());
    let shim = Shim::start(&office365, &[("MAILSHIM_ALLOWED_SENDERS", "*@contoso.com")]);
    let mut app = greeted(&shim);
    let long = format!("X: {}\r\n", "x".repeat(900)).repeat(300);
    let body = "0123456789\r\n".repeat(50_000);
    sends(
        &mut app,
        "app@contoso.com",
        &format!("{long}\r\n{body}"),
        "552 5.3.4 mailshim: Header size exceeds",
    );
    sends(&mut app, "app@contoso.com", "Content-Type: message/partial\r\n\r\n", "554 5.6.1 ");
    sends(&mut app, "app@contoso.com", &"Received: x\r\n".repeat(101), "554 5.4.6 ");
    sends(&mut app, "app@contoso.com", "From: a@fabrikam.com\r\n\r\n", "550 5.7.1 ");
    assert_eq!(office365.stats().connections_opened, 0, "Office 365 was troubled");
    sends(&mut app, "app@contoso.com", "From: app@contoso.com\r\n\r\n", "250 ");
}

#[test]
fn the_guards_stand_at_mail_and_rcpt() {
    let office365 = Office365::start(Settings::default());
    let guards = [
        ("MAILSHIM_ALLOWED_SENDERS", "app@contoso.com"),
        ("MAILSHIM_ALLOWED_RECIPIENTS", "*@fabrikam.com"),
        ("MAILSHIM_REDIRECT_TO", "tests@contoso.com"),
    ];
    let shim = Shim::start(&office365, &guards);
    let mut app = greeted(&shim);
    app.expect("MAIL FROM:<a@fabrikam.com>", "550 5.7.1 ");
    app.expect("MAIL FROM:<app@contoso.com>", "250 ");
    // As the app gave it: where mail is redirected to is no recipient of the app's.
    app.expect("RCPT TO:<tests@contoso.com>", "550 5.7.1 ");
    app.expect("RCPT TO:<a@fabrikam.com>", "250 ");
    app.expect("RCPT TO:<b@fabrikam.com> NOTIFY=SUCCESS", "250 ");
    app.expect("DATA", "354 ");
    app.expect("From: app@contoso.com\r\n\r\nbody\r\n.", "250 ");
    let mail = only(&office365);
    assert_eq!(mail.rcpts, ["TO:<tests@contoso.com>"]);
    let text = text(&mail);
    assert!(text.contains("\r\nX-Mailshim-Original-To: a@fabrikam.com, b@fabrikam.com\r\n"), "{text}");
}
