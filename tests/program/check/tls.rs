//! STARTTLS and the certificate.

use office365::{Fault, Office365, Settings, Stage, Times, TlsSetup, wording};

use super::golden::compare;
use super::ladder::{Climb, settings};

#[test]
fn certificates() {
    let mut all = String::new();
    for (tls, holds) in [
        (TlsSetup::Intermediate, true),
        (TlsSetup::Tls12Only, true),
        (TlsSetup::MissingIntermediate, false),
        (TlsSetup::WrongName, false),
        (TlsSetup::Expired, false),
        (TlsSetup::NotYetValid, false),
        (TlsSetup::SelfSigned, false),
        (TlsSetup::UnknownCa, false),
    ] {
        let office365 = Office365::start(Settings { tls, ..settings() });
        let text = Climb::with(&office365, &[]).text();
        assert_eq!(text.ends_with("=> Holds\n"), holds, "{tls:?}\n{text}");
        let rung = text.split_once("starttls").unwrap().1;
        let rung: String = rung
            .split_inclusive('\n')
            .enumerate()
            .take_while(|(index, line)| *index == 0 || line.starts_with("      "))
            .map(|(_, line)| line)
            .collect();
        all.push_str(&format!("{tls:?}{rung}\n"));
    }
    compare("certificates", &all);
}

/// The root of an inspecting firewall is not in the roots: its name is what an administrator recognises.
#[test]
fn an_inspecting_middlebox() {
    let office365 = Office365::start(Settings { tls: TlsSetup::UnknownCa, ..settings() });
    compare("middlebox", &Climb::with(&office365, &[("MAILSHIM_CA_FILE", "")]).text());
}

#[test]
fn starttls_itself() {
    let mut all = String::new();
    let reply = |stage, text: &str| Fault::ReplyAt(stage, text.to_string());
    for fault in [
        Fault::StartTlsAbsent,
        Fault::StartTlsRefused,
        Fault::StartTlsStripped,
        Fault::InjectAfterStartTls,
        Fault::TlsGarbage,
        Fault::DropAt(Stage::Handshake),
        reply(Stage::StartTls, "454 4.7.0 Cannot accept TLS as maximum TLS rate exceeded for server"),
        reply(Stage::Ehlo2, wording::OLD_TLS),
    ] {
        let office365 = Office365::start(settings());
        office365.fault(fault.clone(), Times::Always);
        all.push_str(&format!("{fault:?}\n{}\n", Climb::with(&office365, &[]).failure("starttls")));
    }
    let office365 = Office365::start(settings());
    office365.fault(reply(Stage::Greeting, "220 mail.example.net ESMTP Postfix"), Times::Always);
    office365.fault(Fault::StartTlsAbsent, Times::Always);
    all.push_str(&format!("another server\n{}", Climb::with(&office365, &[]).failure("starttls")));
    compare("starttls", &all);
}
