//! The log at run time: its level, its addresses.

use office365::{Fault, Office365, Settings, Stage, Times};
use support::program::{Program, event};

use crate::process::MAIL;

#[test]
fn sigusr1_raises_the_level_and_sighup_is_harmless() {
    let office365 = Office365::start(Settings::default());
    let mut shim = Program::start(&office365, &[]);
    let mut app = shim.client();
    shim.signal("HUP");
    assert!(app.mail(MAIL).starts_with("250 "));
    let before = shim.wait_for("\"message\":\"mail ");
    assert!(!shim.log.join("\n").contains("\"DEBUG\""), "{before}");
    shim.signal("USR1");
    let line = shim.wait_for("the log level was changed by SIGUSR1");
    assert!(line.contains("info,debug"), "{line}");
    drop(shim.client());
    shim.wait_for("\"level\":\"DEBUG\"");
    shim.signal("USR1");
    shim.wait_for("info,trace");
    assert!(app.mail(MAIL).starts_with("250 "));
    shim.wait_for("\"level\":\"TRACE\"");
    shim.signal("USR1");
    shim.wait_for("the log level was changed by SIGUSR1");
    shim.signal("HUP");
    let lines = shim.log.len();
    assert!(app.mail(MAIL).starts_with("250 "));
    shim.wait_for("\"message\":\"mail ");
    let trace =
        shim.log[lines..].iter().find(|line| line.contains("\"TRACE\"") || line.contains("\"DEBUG\""));
    assert_eq!(trace, None, "the level is what was configured");
    shim.signal("TERM");
    assert_eq!(shim.wait().code(), Some(0));
}

#[test]
fn addresses_are_masked_wherever_they_stand() {
    for (detail, shown) in [("full", "app@contoso.com"), ("domain", "*@contoso.com"), ("none", "*")] {
        let office365 = Office365::start(Settings::default());
        let more = [("MAILSHIM_LOG_ADDRESSES", detail), ("MAILSHIM_LOG", "trace")];
        let mut shim = Program::start(&office365, &more);
        let mut app = shim.client();
        assert!(app.mail(MAIL).starts_with("250 "));
        let line = event(&shim.wait_for("\"message\":\"mail "));
        assert_eq!(line["from"], shown);
        let start = shim.log.iter().find(|line| line.contains("mailshim starts")).expect("the first line");
        assert_eq!(event(start)["mailbox"], shown);
        let denied = office365::wording::send_as_denied("app@contoso.com", "ann@fabrikam.com");
        office365.fault(Fault::ReplyAt(Stage::Dot, denied), Times::Once);
        let unknown = "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient ann@fabrikam.com not found";
        assert!(!app.mail(MAIL).starts_with("250 "));
        office365.fault(Fault::ReplyAt(Stage::Rcpt, unknown.into()), Times::Once);
        app.mail(MAIL);
        shim.signal("TERM");
        assert_eq!(shim.wait().code(), Some(0));
        let log = shim.log.join("\n");
        assert!(log.contains("SendAsDenied"), "{log}");
        for (address, domain) in [("app@", "@contoso.com"), ("ann@", "@fabrikam.com")] {
            assert_eq!(log.contains(address), detail == "full", "{detail}: {address}\n{log}");
            assert_eq!(log.contains(domain), detail != "none", "{detail}: {domain}\n{log}");
        }
    }
}
