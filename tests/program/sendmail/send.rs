//! `mailshim send`.

use office365::{Fault, Stage, Times};

use super::shim::{Ended, Shim, program, run};

fn send(shim: &Shim, arguments: &[&str], input: &[u8]) -> Ended {
    run(shim.command(program(), &[]).arg("send").args(arguments), input)
}

#[test]
fn one_mail_and_office_365s_reply() {
    let shim = Shim::start();
    let arguments = [
        "--to",
        "ann@fabrikam.com,Bob <bob@fabrikam.com>",
        "--to=carl@fabrikam.com",
        "--subject",
        "Prüfung",
        "--from",
        "App <app@contoso.com>",
    ];
    let ended = send(&shim, &arguments, "Grüße\n.\nend".as_bytes());
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended:?}");
    assert!(ended.stdout.starts_with("250 2.0.0 OK"), "{ended:?}");
    let mail = shim.only_mail();
    assert_eq!((mail.from.as_str(), mail.to.len()), ("app@contoso.com", 3));
    assert!(mail.mail.contains("BODY=8BITMIME"), "{}", mail.mail);
    assert_eq!(
        mail.header,
        "From: App <app@contoso.com>\r\nTo: <ann@fabrikam.com>, Bob <bob@fabrikam.com>, <carl@fabrikam.com>\r\n\
         Subject: =?utf-8?B?UHLDvGZ1bmc=?=\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 8bit\r\n"
    );
    mail.assert_body("Grüße\r\n.\r\nend\r\n");
}

#[test]
fn a_refusal_is_1_and_its_words() {
    let shim = Shim::start();
    shim.office365.fault(Fault::ReplyAt(Stage::Dot, "554 5.2.2 mailbox full".into()), Times::Once);
    let ended = send(&shim, &["--to", "ann@fabrikam.com", "--from", "app@contoso.com"], b"x\n");
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""), "{ended:?}");
    assert!(
        ended.stderr.starts_with("mailshim send: ") && ended.stderr.contains("mailbox full"),
        "{ended:?}"
    );
}

#[test]
fn usage() {
    let shim = Shim::start();
    for arguments in [
        &[][..],
        &["--to", ""],
        &["--to", "no address at all"],
        &["--to", "ann@fabrikam.com", "--subject", "x\r\nBcc: eve@fabrikam.com"],
        &["--to", "ann@fabrikam.com", "--cc", "x@fabrikam.com"],
    ] {
        let ended = send(&shim, arguments, b"x\n");
        assert_eq!(ended.code, 64, "{arguments:?}: {ended:?}");
        assert!(ended.stderr.starts_with("mailshim"), "{ended:?}");
    }
    assert_eq!(shim.office365.taken_count(), 0);
    let ended = send(&shim, &["--help"], b"");
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert!(ended.stdout.contains("--subject"), "{ended:?}");
}

/// A pipe is no terminal: nothing but the reply is printed, however long it takes.
#[test]
fn a_long_body_without_progress_in_a_pipe() {
    let shim = Shim::start();
    let body = "a line of a long report\n".repeat(200_000);
    let ended = send(&shim, &["--to", "ann@fabrikam.com", "--from", "app@contoso.com"], body.as_bytes());
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended:?}");
    assert_eq!(shim.only_mail().body.len(), body.len() + 200_000);
}
