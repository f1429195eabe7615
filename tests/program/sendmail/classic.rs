//! The classic interface: flags, recipients, dots, line ends, names it is called by.

use super::shim::{Link, Shim, program, run};

const MAIL: &[u8] = b"From: app@contoso.com\nSubject: s\n\nbody\n";

#[test]
fn a_message_arrives_with_its_envelope() {
    let shim = Shim::start();
    let mail = shim.sent(&["-f", "app@contoso.com", "--", "ann@fabrikam.com", "bob@fabrikam.com"], MAIL);
    assert_eq!(
        (mail.from.as_str(), mail.to.join(" ").as_str()),
        ("app@contoso.com", "ann@fabrikam.com bob@fabrikam.com")
    );
    assert_eq!(mail.header, "From: <app@contoso.com>\r\nSubject: s\r\n");
    mail.assert_body("body\r\n");
}

#[test]
fn every_way_to_give_the_sender() {
    let shim = Shim::start();
    for flags in [
        &["-f", "x@contoso.com"][..],
        &["-fx@contoso.com"],
        &["-r", "x@contoso.com"],
        &["-rx@contoso.com"],
        &["-if", "X <x@contoso.com>"],
    ] {
        let mail = shim.sent(&[flags, &["ann@fabrikam.com"]].concat(), MAIL);
        assert_eq!(mail.from, "x@contoso.com", "{flags:?}");
    }
    // Without -f it is the author's address.
    assert_eq!(shim.sent(&["ann@fabrikam.com"], MAIL).from, "app@contoso.com");
}

#[test]
fn a_missing_from_is_made_of_f_and_full_name() {
    let shim = Shim::start();
    let mail = shim.sent(&["-FCron Daemon", "-fapp@contoso.com", "ann@fabrikam.com"], b"Subject: s\n\nb\n");
    assert_eq!(mail.header, "From: Cron Daemon <app@contoso.com>\r\nSubject: s\r\n");
    let mail = shim.sent(&["-FX", "-fapp@contoso.com", "ann@fabrikam.com"], MAIL);
    assert_eq!(mail.header, "From: <app@contoso.com>\r\nSubject: s\r\n", "one that is there stays");
}

#[test]
fn t_reads_recipients_and_drops_bcc() {
    let shim = Shim::start();
    let text =
        b"From: app@contoso.com\nTo: Ann <ann@fabrikam.com>,\n bob@fabrikam.com\nCc: carl@fabrikam.com\n\
                 Bcc: dora@fabrikam.com,\n eve@fabrikam.com\nSubject: s\n\nBcc: in the body\n";
    for flags in [&["-t", "-i"][..], &["-ti"], &["-oi", "-t", "--"]] {
        let mail = shim.sent(flags, text);
        let to = "ann@fabrikam.com bob@fabrikam.com carl@fabrikam.com dora@fabrikam.com eve@fabrikam.com";
        assert_eq!(mail.to.join(" "), to, "{flags:?}");
        assert!(
            !mail.has("Bcc") && !mail.header.contains("dora") && !mail.header.contains("eve"),
            "{}",
            mail.header
        );
        assert!(
            mail.header.contains("To: Ann <ann@fabrikam.com>,\r\n bob@fabrikam.com\r\n"),
            "{}",
            mail.header
        );
        mail.assert_body("Bcc: in the body\r\n");
    }
    // Those of the command line come besides, each once.
    let mail = shim.sent(
        &["-t", "zoe@fabrikam.com", "ann@fabrikam.com"],
        b"From: app@contoso.com\nTo: ann@fabrikam.com\n\n",
    );
    assert_eq!(mail.to.join(" "), "zoe@fabrikam.com ann@fabrikam.com");
}

#[test]
fn a_resent_message_goes_to_those_it_is_resent_to() {
    let shim = Shim::start();
    let text = b"From: app@contoso.com\nTo: old@fabrikam.com\nResent-To: new@fabrikam.com\n\nb\n";
    assert_eq!(shim.sent(&["-t"], text).to, ["new@fabrikam.com"]);
}

#[test]
fn the_dot_ends_the_message_unless_i_is_given() {
    let shim = Shim::start();
    let text = b"From: app@contoso.com\n\n.one\n.\ntwo\n..\n";
    let call = |flags: &[&str]| shim.sent(&[flags, &["ann@fabrikam.com"]].concat(), text);
    call(&[]).assert_body(".one\r\n");
    for flags in [&["-i"][..], &["-oi"], &["-o", "i"], &["-OIgnoreDots=true"]] {
        call(flags).assert_body(".one\r\n.\r\ntwo\r\n..\r\n");
    }
}

#[test]
fn any_line_end_and_a_mailbox_files_line() {
    let shim = Shim::start();
    let call = |text: &[u8]| shim.sent(&["-i", "-fapp@contoso.com", "ann@fabrikam.com"], text);
    let mail = call(b"From app Mon Jan  1 00:00:00 2026\nFrom: app@contoso.com\nSubject: lf\n\na\nno end");
    assert_eq!(mail.header, "From: <app@contoso.com>\r\nSubject: lf\r\n");
    mail.assert_body("a\r\nno end\r\n");
    call(b"From: app@contoso.com\r\n\r\na\r\n.\r\nb\r\n").assert_body("a\r\n.\r\nb\r\n");
    // No header at all.
    let mail = call(b"just text\n");
    assert_eq!(mail.header, "From: <app@contoso.com>\r\n");
    mail.assert_body("just text\r\n");
    // The body is transparent.
    let mail = call(b"From: app@contoso.com\n\n\xff\x00\xc3\xa4\n");
    assert_eq!(mail.body, b"\xff\x00\xc3\xa4\r\n");
}

#[test]
fn delivery_status_wishes_are_passed_on() {
    let shim = Shim::start();
    let flags =
        ["-N", "success,failure", "-R", "hdrs", "-V", "id=1", "-fapp@contoso.com", "ann@fabrikam.com"];
    let mail = shim.sent(&flags, MAIL);
    assert!(mail.mail.contains("RET=HDRS") && mail.mail.contains("ENVID=id+3D1"), "{}", mail.mail);
    assert!(mail.rcpts[0].contains("NOTIFY=SUCCESS,FAILURE"), "{}", mail.rcpts[0]);
    let mail = shim.sent(&["-B7BIT", "ann@fabrikam.com"], MAIL);
    assert!(!mail.mail.contains("8BITMIME"), "{}", mail.mail);
    let mail = shim.sent(&["-B8BITMIME", "ann@fabrikam.com"], MAIL);
    assert!(mail.mail.contains("8BITMIME"), "{}", mail.mail);
}

#[test]
fn flags_of_a_server_are_accepted_and_ignored() {
    let shim = Shim::start();
    let flags =
        "-Am -Cx.cf -em -G -h 3 -L tag -m -n -odb -oem -o7 -ODeliveryMode=b -U -X /dev/null ann@fabrikam.com";
    let mail = shim.sent(&flags.split(' ').collect::<Vec<_>>(), MAIL);
    assert_eq!(mail.to, ["ann@fabrikam.com"]);
}

#[test]
fn v_shows_the_dialogue() {
    let shim = Shim::start();
    let ended = shim.sendmail(&["-v", "-fapp@contoso.com", "ann@fabrikam.com"], MAIL);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    for line in [
        "220 ",
        ">>> MAIL FROM:<app@contoso.com> BODY=8BITMIME\n",
        ">>> RCPT TO:<ann@fabrikam.com>\n",
        "\n250 2.0.0 OK",
    ] {
        assert!(ended.stdout.contains(line), "{line}: {}", ended.stdout);
    }
}

#[test]
fn links_by_the_classic_names() {
    let shim = Shim::start();
    let link = Link::named("sendmail");
    let ended = run(
        shim.command(link.path(), &[]).args(["-t", "-i"]),
        b"From: app@contoso.com\nTo: ann@fabrikam.com\n\nb\n",
    );
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert_eq!(shim.only_mail().to, ["ann@fabrikam.com"]);
    let ended = run(&mut shim.command(Link::named("mailq").path(), &[]), b"");
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "Mail queue is empty\n"));
    let ended = run(&mut shim.command(Link::named("newaliases").path(), &[]), b"");
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, "", ""));
    for flags in [&["-bp"][..], &["-bi"], &["-q"], &["-q30m"], &["--help"], &["--version"]] {
        assert_eq!(run(shim.command(program(), &[]).arg("sendmail").args(flags), b"").code, 0, "{flags:?}");
    }
}

#[test]
fn a_big_message_streams_through() {
    let shim = Shim::start();
    let lines = 320_000;
    let text = format!(
        "From: app@contoso.com\n\n{}",
        ".a line of a long report, with a dot at its beginning\n".repeat(lines)
    );
    let mail = shim.sent(&["-i", "ann@fabrikam.com"], text.as_bytes());
    let expected = ".a line of a long report, with a dot at its beginning\r\n".repeat(lines);
    assert!(mail.body == expected.as_bytes(), "{} octets of {}", mail.body.len(), expected.len());
}
