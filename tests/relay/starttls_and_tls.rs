//! Nothing leaves in the clear, and nobody but the named server is spoken to: each of these is 451 and names its cause.

use office365::{Fault, Settings, Side, Times, TlsSetup};
use support::SOON;
use support::mails::small;
use support::thread::{Setup, plan};

/// No AUTH, no MAIL and no content, in the clear or under TLS.
#[track_caller]
fn nothing_was_told(setup: &Setup) {
    let told = |line: &&office365::Line| {
        line.side == Side::Client
            && ["AUTH", "MAIL", "RCPT", "BDAT", "DATA"].iter().any(|verb| line.text.starts_with(verb))
    };
    let lines = setup.office365.dialogue();
    assert_eq!(lines.iter().find(told), None, "{}", setup.dialogue());
    setup.took(&[]);
}

#[test]
fn starttls_absent_refused_stripped_injected() {
    for (fault, words) in [
        (Fault::StartTlsAbsent, "does not offer STARTTLS"),
        (Fault::StartTlsStripped, "does not offer STARTTLS"),
        (Fault::InjectAfterStartTls, "in the clear behind"),
    ] {
        let setup = plan().start();
        setup.fault(fault.clone(), Times::Always);
        let reply = setup.send(&small(1));
        assert!(reply.code == 451 && reply.text.contains(words), "{fault:?}: {reply:?}");
        reply.says("Fix:");
        nothing_was_told(&setup);
        // The way is mended: so is the mail.
        setup.office365.clear_faults();
        setup.send(&small(2)).is(250);
    }
    // That one says itself that it will pass.
    let setup = plan().start();
    setup.fault(Fault::StartTlsRefused, Times::Once);
    setup.send(&small(1)).is(250);
    let setup = plan().env("MAILSHIM_HOLD", "1s").start();
    setup.fault(Fault::StartTlsRefused, Times::Always);
    setup.send(&small(1)).is(451).says("maximum TLS rate");
    nothing_was_told(&setup);
}

#[test]
fn the_wrong_certificate() {
    for (tls, words) in [
        (TlsSetup::WrongName, "for other names"),
        (TlsSetup::Expired, "expired"),
        (TlsSetup::NotYetValid, "is valid only in"),
        (TlsSetup::SelfSigned, "certificate"),
        (TlsSetup::UnknownCa, "not trusted here"),
        (TlsSetup::MissingIntermediate, "not trusted here"),
    ] {
        let setup = plan().settings(|settings: &mut Settings| settings.tls = tls).start();
        let reply = setup.send(&small(1));
        assert!(reply.code == 451 && reply.text.contains(words), "{tls:?}: {reply:?}");
        nothing_was_told(&setup);
    }
}

#[test]
fn good_certificates_of_every_kind() {
    for tls in [TlsSetup::Intermediate, TlsSetup::Tls12Only, TlsSetup::Tls13Only] {
        let setup = plan().settings(|settings| settings.tls = tls).start();
        setup.send(&small(1)).is(250);
    }
}

#[test]
fn noise_instead_of_tls_and_of_smtp() {
    let setup = plan().env("MAILSHIM_HOLD", "1s").deadlines(|deadlines| deadlines.tls = SOON).start();
    setup.fault(Fault::TlsGarbage, Times::Always);
    setup.send(&small(1)).is(451).says("TLS");
    nothing_was_told(&setup);
    setup.office365.clear_faults();
    setup.fault(Fault::HttpInsteadOfSmtp, Times::Always);
    setup.send(&small(1)).is(451).says("not an SMTP reply");
    nothing_was_told(&setup);
}
