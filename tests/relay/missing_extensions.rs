//! A server that offers less.

use office365::Settings;
use support::mails::{large, mail, small, stuffed};
use support::thread::plan;

#[test]
fn each_and_all_of_them_absent() {
    let changes: [fn(&mut Settings); 6] = [
        |settings| settings.chunking = false,
        |settings| settings.pipelining = false,
        |settings| settings.dsn = false,
        |settings| settings.eight_bit_mime = false,
        |settings| settings.smtputf8 = false,
        |settings| {
            (settings.chunking, settings.pipelining, settings.dsn) = (false, false, false);
            (settings.eight_bit_mime, settings.smtputf8) = (false, false);
        },
    ];
    for change in changes {
        let setup = plan().settings(change).start();
        let mut client = setup.client();
        client.command("EHLO app").is(250);
        client.command("MAIL FROM:<app@contoso.com> RET=HDRS ENVID=abc BODY=8BITMIME SIZE=300").is(250);
        client.command("RCPT TO:<x@example.com> NOTIFY=FAILURE ORCPT=rfc822;x@example.com").is(250);
        client.command("RCPT TO:<y@example.com>").is(250);
        client.command("DATA").is(354);
        let (eight_bit, streamed) = (mail(1, "gr\u{fc}n\r\n.\r\n"), large(2, 600_000));
        client.send(stuffed(&eight_bit));
        client.reply().is(250);
        client.mail(&small(3)).is(250);
        client.mail(&streamed).is(250);
        let taken = setup.took(&[&eight_bit, &small(3), &streamed]);
        assert_eq!(taken[0].rcpts.len(), 2);
    }
}

#[test]
fn parameters_are_passed_on_where_they_are_offered() {
    let setup = plan().start();
    let mut client = setup.client();
    client.command("EHLO app").is(250);
    client.command("MAIL FROM:<app@contoso.com> RET=HDRS ENVID=ab+2Bc").is(250);
    client.command("RCPT TO:<x@example.com> NOTIFY=FAILURE,DELAY ORCPT=rfc822;x@example.com").is(250);
    client.command("DATA").is(354);
    client.send(stuffed(&small(1)));
    client.reply().is(250);
    let taken = setup.took(&[&small(1)]);
    assert!(taken[0].mail.contains(" RET=HDRS ENVID=ab+2Bc"), "{}", taken[0].mail);
    assert!(
        taken[0].rcpts[0].ends_with(" NOTIFY=FAILURE,DELAY ORCPT=rfc822;x@example.com"),
        "{}",
        taken[0].rcpts[0]
    );
}

#[test]
fn an_address_beyond_ascii_is_refused_without_smtputf8_alone() {
    let send = |setup: &support::thread::Setup| {
        let mut client = setup.client();
        client.command("EHLO app").is(250);
        client.command("MAIL FROM:<app@contoso.com> SMTPUTF8").is(250);
        client.command("RCPT TO:<j\u{fc}rgen@example.com>").is(250);
        client.command("DATA").is(354);
        client.send(stuffed(&small(1)));
        client.reply()
    };
    let setup = plan().start();
    send(&setup).is(250);
    let setup = plan().settings(|settings| settings.smtputf8 = false).start();
    send(&setup).is(550).says("5.6.7");
    setup.send(&small(2)).is(250);
    setup.took(&[&small(2)]);
}
