//! The way there: configuration, name, TCP, proxy, greeting, EHLO; and ladders that hold.

use office365::{Fault, Office365, Settings, Stage, Times};

use super::golden::compare;
use super::ladder::{Climb, PASSWORD, settings, short};
use super::peers;
use mailshim::testing::cli::check::End;

#[test]
fn all_holds_and_no_mail_is_sent() {
    let office365 = Office365::start(settings());
    compare("holds", &Climb::with(&office365, &[]).text());
    assert_eq!(office365.taken_count(), 0);
    assert_eq!(office365.violations(), Vec::<String>::new());
}

#[test]
fn a_test_mail_is_sent_when_asked_for() {
    let office365 = Office365::start(settings());
    let climb =
        Climb::sending(&office365, "ann@fabrikam.com", &[("MAILSHIM_FROM", "Shop <app@contoso.com>")]);
    compare("sends", &climb.text());
    let mails = office365.taken();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].rcpts, ["TO:<ann@fabrikam.com>"]);
    let content = String::from_utf8_lossy(&mails[0].content);
    for part in
        ["From: Shop <app@contoso.com>\r\n", "To: <ann@fabrikam.com>\r\n", "\r\nMessage-ID: <", "\r\nDate: "]
    {
        assert!(content.contains(part), "{part}\n{content}");
    }
    assert_eq!(office365.violations(), Vec::<String>::new());
}

#[test]
fn the_senders_and_recipients_guards_hold_for_the_test_mail() {
    let office365 = Office365::start(settings());
    let guard = [("MAILSHIM_ALLOWED_RECIPIENTS", "*@contoso.com")];
    compare("recipient_not_allowed", &Climb::sending(&office365, "ann@fabrikam.com", &guard).text());
    let redirect = [("MAILSHIM_REDIRECT_TO", "test@contoso.com")];
    compare("redirected", &Climb::sending(&office365, "ann@fabrikam.com", &redirect).text());
    let mails = office365.taken();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].rcpts, ["TO:<test@contoso.com>"]);
}

#[test]
fn a_password_needs_no_token() {
    let office365 = Office365::start(settings());
    let password = [("MAILSHIM_CLIENT_SECRET", ""), ("MAILSHIM_PASSWORD", PASSWORD)];
    compare("password", &Climb::with(&office365, &password).text());
}

/// Office 365 locks an account for repeated wrong passwords.
#[test]
fn a_wrong_password_is_tried_once() {
    let office365 = Office365::start(settings());
    let password = [("MAILSHIM_CLIENT_SECRET", ""), ("MAILSHIM_PASSWORD", "c4n4ry-wrong")];
    assert!(Climb::with(&office365, &password).failure("auth").contains("535 5.7.3"));
    let tried = office365.dialogue().iter().filter(|line| line.text.starts_with("AUTH LOGIN")).count();
    assert_eq!(tried, 1);
}

#[test]
fn a_connector_needs_no_sign_in() {
    let office365 = Office365::start(Settings { connector: true, ..settings() });
    let none =
        [("MAILSHIM_AUTH", "none"), ("MAILSHIM_CLIENT_SECRET", ""), ("MAILSHIM_FROM", "app@contoso.com")];
    compare("connector", &Climb::with(&office365, &none).text());
}

#[test]
fn a_bad_configuration() {
    let office365 = Office365::start(settings());
    let climb = Climb::with(&office365, &[("MAILSHIM_HOLD", "45"), ("MAILSHIM_MAILBOX", "c4n4ry")]);
    assert_eq!(climb.end, End::BadConfiguration);
    compare("bad_configuration", &climb.text());
    let file = office365.ca_file().with_extension("empty");
    std::fs::write(&file, "no certificate").unwrap();
    let climb = Climb::with(&office365, &[("MAILSHIM_CA_FILE", file.to_str().unwrap())]);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(climb.end, End::BadConfiguration);
    assert!(climb.failure("configuration").contains("it holds no certificate"), "{}", climb.text());
}

#[test]
fn a_name_that_does_not_resolve() {
    let office365 = Office365::start(settings());
    let climb = Climb::with(&office365, &[("MAILSHIM_UPSTREAM", "smtp.invalid:587")]);
    // A name server that hangs is told as such.
    if climb.text().contains("cannot resolve") {
        compare("name_not_resolved", &climb.text());
    }
    assert!(climb.failure("dns").contains("Correct MAILSHIM_UPSTREAM (smtp.invalid;"));
}

#[test]
fn nobody_listens() {
    let office365 = Office365::start(settings());
    let upstream = format!("localhost:{}", peers::closed().port());
    compare("refused", &Climb::with(&office365, &[("MAILSHIM_UPSTREAM", &upstream)]).text());
    let proxied = [("MAILSHIM_UPSTREAM", upstream.as_str()), ("HTTPS_PROXY", "http://u:c4n4ry@proxy:3128")];
    compare("refused_and_other_proxy", &Climb::with(&office365, &proxied).text());
}

#[test]
fn an_address_as_upstream() {
    let office365 = Office365::start(settings());
    let upstream = format!("127.0.0.1:{}", office365.smtp_addr().port());
    compare("address_as_upstream", &Climb::with(&office365, &[("MAILSHIM_UPSTREAM", &upstream)]).text());
    let names = Settings { host_names: vec!["localhost".into()], ..settings() };
    let office365 = Office365::start(names);
    let upstream = format!("127.0.0.1:{}", office365.smtp_addr().port());
    let climb = Climb::with(&office365, &[("MAILSHIM_UPSTREAM", &upstream)]);
    compare("address_not_in_certificate", &climb.text());
}

#[test]
fn through_a_proxy() {
    let office365 = Office365::start(settings());
    for (status, name) in
        [(200, "proxy"), (407, "proxy_wants_login"), (403, "proxy_forbids"), (502, "proxy_fails")]
    {
        // Only SMTP goes through it: the token service has another address.
        let proxy = peers::proxy(status, office365.smtp_addr());
        let url = format!("http://user:c4n4ry@{proxy}");
        let climb = Climb::with(
            &office365,
            &[
                ("MAILSHIM_EGRESS_PROXY", &url),
                ("MAILSHIM_CLIENT_SECRET", ""),
                ("MAILSHIM_PASSWORD", PASSWORD),
            ],
        );
        compare(name, &climb.text());
    }
    let url = format!("http://{}", peers::closed());
    compare("proxy_not_reached", &Climb::with(&office365, &[("MAILSHIM_EGRESS_PROXY", &url)]).text());
}

#[test]
fn a_port_that_begins_with_tls() {
    let office365 = Office365::start(settings());
    let upstream = office365.authority().replace("https://", "");
    let climb = Climb::as_it_is(
        &office365,
        &[("MAILSHIM_UPSTREAM", &upstream)],
        None,
        // The handshake is to succeed, however slow this machine is.
        mailshim::testing::deadlines::Deadlines { tls: std::time::Duration::from_secs(60), ..short() },
    );
    compare("tls_at_once", &climb.text());
}

#[test]
fn greetings_that_are_none() {
    let mut all = String::new();
    for (words, fault, deadlines) in [
        ("an HTTP server", Fault::HttpInsteadOfSmtp, None),
        ("silence", Fault::StallAt(Stage::Greeting), Some(short())),
        ("closed", Fault::DropAt(Stage::Greeting), None),
        ("garbage", Fault::GarbageAt(Stage::Greeting), None),
        ("a TLS alert", Fault::ReplyAt(Stage::Greeting, "\u{15}\u{3}\u{1}".into()), None),
    ] {
        let office365 = Office365::start(settings());
        office365.fault(fault, Times::Always);
        let climb = Climb::as_it_is(&office365, &[], None, deadlines.unwrap_or_default());
        all.push_str(&format!("{words}\n{}\n", climb.failure("ehlo")));
    }
    compare("greetings", &all);
}
