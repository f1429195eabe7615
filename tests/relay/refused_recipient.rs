//! Office 365 refuses one of several recipients: nothing is sent to anybody, and the answer names the one.

use office365::{Fault, Stage, Times};
use support::mails::{large, small};
use support::thread::plan;

#[test]
fn nobody_gets_it_and_the_answer_names_the_one() {
    for (chunking, pipelining, content) in [
        (true, true, small(1)),
        (false, true, small(1)),
        (true, false, small(1)),
        (false, false, small(1)),
        (true, true, large(1, 400_000)),
    ] {
        let setup = plan()
            .settings(|settings| (settings.chunking, settings.pipelining) = (chunking, pipelining))
            .start();
        let (yes, no) = ("250 2.1.5 Recipient OK", "550 5.1.1 RESOLVER.ADR.RecipNotFound; not found");
        for reply in [yes, no, yes] {
            setup.fault(Fault::ReplyAt(Stage::Rcpt, reply.into()), Times::Once);
        }
        let mut client = setup.client();
        client.submit(&["a@example.com", "b@example.com", "c@example.com"], &content);
        client.reply().is(550).says("<b@example.com>");
        setup.took(&[]);
        assert_eq!(setup.said("MAIL"), 1);
        // The connection is still good, after RSET.
        client.mail(&content).is(250);
        setup.took(&[&content]);
        assert_eq!(setup.office365.stats().connections_opened, 1);
    }
}

#[test]
fn more_recipients_than_the_mailbox_may() {
    let setup = plan().settings(|settings| settings.max_recipients = 2).start();
    let mut client = setup.client();
    client.submit(&["a@example.com", "b@example.com", "c@example.com"], &small(1));
    client.reply().is(550).says("5.5.3").says("MAILSHIM_MAX_RECIPIENTS");
    setup.took(&[]);
}

#[test]
fn five_hundred_recipients_pass() {
    let setup = plan().start();
    let names: Vec<String> = (0..500).map(|n| format!("r{n}@example.com")).collect();
    let mut client = setup.client();
    client.submit(&names.iter().map(String::as_str).collect::<Vec<_>>(), &small(1));
    client.reply().is(250);
    assert_eq!(setup.took(&[&small(1)])[0].rcpts.len(), 500);
}
