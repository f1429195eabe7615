//! `MAILSHIM_AUTH=none`: an inbound connector knows us by our address or by a client certificate, and nobody signs in.

use office365::{Fault, Office365, Settings, Stage, Times, TlsSetup, wording};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use ring::digest::{SHA256, digest};
use support::files::TempFile;
use support::thread::{Shim, assert_lawful, config, said};
use support::{PATIENCE, close_idle};

use super::{send, send_as};

/// Without a mailbox and its credentials; a refusal is told at once, and what may pass is not waited for.
const CONNECTOR: [(&str, &str); 8] = [
    ("MAILSHIM_AUTH", "none"),
    ("MAILSHIM_FROM", "Alerts <alerts@contoso.com>"),
    ("MAILSHIM_HOLD", "1s"),
    ("MAILSHIM_MAILBOX", ""),
    ("MAILSHIM_TENANT_ID", ""),
    ("MAILSHIM_CLIENT_ID", ""),
    ("MAILSHIM_CLIENT_SECRET", ""),
    ("AZURE_AUTHORITY_HOST", ""),
];

fn tenant(change: impl FnOnce(&mut Settings)) -> Office365 {
    // An MX host offers no AUTH.
    let mut settings = Settings { connector: true, auth: Vec::new(), ..Settings::default() };
    change(&mut settings);
    Office365::start(settings)
}

fn nobody_signed_in(office365: &Office365) {
    let stats = office365.stats();
    assert_eq!((stats.token_requests, stats.auth_ok, stats.auth_refused), (0, 0, 0));
    assert_eq!(said(office365, "AUTH"), 0);
    assert_lawful(office365);
}

#[test]
fn nobody_signs_in_and_the_null_sender_stays() {
    let office365 = tenant(|_| {});
    let shim = Shim::start(&office365, &CONNECTOR);
    // A sender that nobody could answer is MAILSHIM_FROM; one of the tenant's stays; a report's stays null.
    for (envelope, from) in
        [("root", "root"), ("erp@contoso.com", "erp@contoso.com"), ("", "erp@contoso.com")]
    {
        send_as(&shim, envelope, from).is(250);
    }
    let taken = office365.wait_taken(3, PATIENCE);
    let paths: Vec<_> = taken.iter().map(|mail| mail.mail.split(' ').next().unwrap()).collect();
    assert_eq!(paths, ["FROM:<alerts@contoso.com>", "FROM:<erp@contoso.com>", "FROM:<>"]);
    assert!(taken.iter().all(|mail| mail.mailbox.is_empty() && mail.tls.starts_with("TLSv1_")));
    assert!(taken.iter().all(|mail| mail.client_certificates.is_empty()));
    nobody_signed_in(&office365);
}

#[test]
fn even_where_auth_is_offered_none_is_said() {
    let office365 = tenant(|settings| settings.auth = vec!["LOGIN", "XOAUTH2"]);
    send(&Shim::start(&office365, &CONNECTOR), "alerts@contoso.com").is(250);
    nobody_signed_in(&office365);
}

#[test]
fn nothing_goes_without_tls_that_is_verified() {
    for (tls, part) in [
        (TlsSetup::UnknownCa, "an authority that is not trusted"),
        (TlsSetup::WrongName, "for other names"),
        (TlsSetup::Expired, "expired"),
    ] {
        let office365 = tenant(|settings| settings.tls = tls);
        send(&Shim::start(&office365, &CONNECTOR), "alerts@contoso.com").begins("45", &[part]);
        assert_eq!(said(&office365, "MAIL"), 0, "{tls:?}");
        nobody_signed_in(&office365);
    }
    let office365 = tenant(|settings| settings.starttls = false);
    let reply = send(&Shim::start(&office365, &CONNECTOR), "alerts@contoso.com");
    reply.begins("45", &["STARTTLS"]);
    assert_eq!(said(&office365, "MAIL"), 0);
}

/// A certificate of an intermediate CA as files, and the SHA-256 of each of its chain.
fn certificate() -> (TempFile, TempFile, Vec<[u8; 32]>) {
    let named = |name| {
        let mut params = CertificateParams::new(vec!["mail.contoso.com".to_string()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let authority = |name| {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params, KeyPair::generate().unwrap())
    };
    let (root, root_key) = authority("Root");
    let (middle, middle_key) = authority("Intermediate");
    let middle_signed = middle.signed_by(&middle_key, &Issuer::new(root, root_key)).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = named("mail.contoso.com").signed_by(&key, &Issuer::new(middle, middle_key)).unwrap();
    let hash = |der: &[u8]| digest(&SHA256, der).as_ref().try_into().unwrap();
    (
        TempFile::new(format!("{}{}", leaf.pem(), middle_signed.pem())),
        TempFile::new(key.serialize_pem()),
        vec![hash(leaf.der()), hash(middle_signed.der())],
    )
}

#[test]
fn the_client_certificate_goes_with_its_whole_chain() {
    let (chain, key, hashes) = certificate();
    let files = [("MAILSHIM_TLS_CERT_FILE", chain.path()), ("MAILSHIM_TLS_KEY_FILE", key.path())];
    for tls in [TlsSetup::Tls12Only, TlsSetup::Tls13Only] {
        let office365 = tenant(|settings| {
            settings.ask_client_certificate = true;
            settings.tls = tls;
        });
        let shim = Shim::start(&office365, &[&CONNECTOR[..], &files].concat());
        send(&shim, "alerts@contoso.com").is(250);
        // A resumed session has shown its certificate, too.
        close_idle(&office365);
        send(&shim, "alerts@contoso.com").is(250);
        for mail in office365.wait_taken(2, PATIENCE) {
            assert_eq!(mail.client_certificates, hashes, "{tls:?}");
        }
        nobody_signed_in(&office365);
    }
}

#[test]
fn half_a_certificate_is_none() {
    let office365 = tenant(|_| {});
    let (chain, key, _) = certificate();
    for (set, missing) in [
        (("MAILSHIM_TLS_CERT_FILE", chain.path()), "MAILSHIM_TLS_KEY_FILE"),
        (("MAILSHIM_TLS_KEY_FILE", key.path()), "MAILSHIM_TLS_CERT_FILE"),
    ] {
        let errors = config(&office365, &[&CONNECTOR[..], &[set]].concat()).unwrap_err().to_string();
        assert!(errors.contains(&format!("\n{missing}: ")), "{errors}");
    }
}

#[test]
fn a_refusal_of_the_connector_says_so_and_the_app_keeps_its_mail() {
    let refusals = [
        wording::RELAY_DENIED,
        "550 5.7.64 TenantAttribution; Relay Access Denied SMTP",
        "550 5.7.64 Relay Access Denied ATTR36",
        "451 4.4.62 Mail sent to the wrong Office 365 region. ATTR35",
        "550 5.7.68 TenantInboundAttribution; Direct Send not allowed for this organization from unauthorized sources",
    ];
    let office365 = tenant(|_| {});
    let shim = Shim::start(&office365, &CONNECTOR);
    for refusal in refusals {
        for stage in [Stage::Mail, Stage::Rcpt, Stage::Dot] {
            office365.fault(Fault::ReplyAt(stage, refusal.to_string()), Times::Once);
            let reply = send(&shim, "alerts@contoso.com");
            assert!(reply.starts_with('4'), "{stage:?}, {refusal}: {reply}");
            let hint = reply.split_once(" | Fix: ").map(|(_, hint)| hint).unwrap_or_default();
            assert!(hint.contains("connector"), "{stage:?}, {refusal}: {reply}");
            // Office 365's own words, which an administrator searches for.
            let words = &refusal[11..];
            assert!(reply.contains(words), "{stage:?}, {refusal}: {reply}");
        }
    }
    assert_eq!(office365.taken_count(), 0);
    // Nothing of it was remembered against the next mail.
    send(&shim, "alerts@contoso.com").is(250);
    nobody_signed_in(&office365);
}
