//! The sender policy and the guards; the spool.

use super::*;

#[test]
fn without_a_word_the_mailbox_is_the_sender_and_the_policy_repairs() {
    let config = with(&[]).unwrap();
    assert_eq!(
        (config.policy.from.display, config.policy.from.address.as_str()),
        (None, "noreply@contoso.com")
    );
    assert_eq!(config.policy.from_policy, FromPolicy::Repair);
    assert_eq!((config.policy.allowed_senders, config.policy.allowed_recipients), (None, None));
    assert_eq!(config.policy.login_as_sender, None);
    assert_eq!((config.policy.local_to, config.policy.redirect_to), (None, None));
}

#[test]
fn every_variable_of_the_policy_reaches_its_field() {
    let config = with(&[
        ("MAILSHIM_FROM", "Contoso Alerts <alerts@contoso.com>"),
        ("MAILSHIM_FROM_POLICY", "force"),
        ("MAILSHIM_ALLOWED_SENDERS", "*@contoso.com"),
        ("MAILSHIM_ALLOWED_RECIPIENTS", "a@fabrikam.com, *@contoso.com"),
        ("MAILSHIM_LOCAL_TO", "admin@contoso.com"),
        ("MAILSHIM_REDIRECT_TO", "tests@contoso.com"),
        ("MAILSHIM_SPOOL_DIR", "/var/spool/mailshim"),
        ("MAILSHIM_BOUNCE_TO", "ops@fabrikam.com"),
    ])
    .unwrap();
    assert_eq!(config.bounce_to.unwrap().as_str(), "ops@fabrikam.com");
    assert_eq!(with(&[]).unwrap().bounce_to, None);
    assert_eq!(config.policy.from.display.as_deref(), Some("Contoso Alerts"));
    assert_eq!(config.policy.from.address.as_str(), "alerts@contoso.com");
    assert_eq!(config.policy.from_policy, FromPolicy::Force);
    assert_eq!(config.policy.allowed_senders.unwrap().to_string(), "*@contoso.com");
    assert_eq!(config.policy.allowed_recipients.unwrap().to_string(), "a@fabrikam.com,*@contoso.com");
    assert_eq!(config.policy.local_to.unwrap().as_str(), "admin@contoso.com");
    assert_eq!(config.policy.redirect_to.unwrap().as_str(), "tests@contoso.com");
    let kept = with(&[("MAILSHIM_FROM_POLICY", "keep")]).unwrap();
    assert_eq!(kept.policy.from_policy, FromPolicy::Keep);
}

#[test]
fn the_spool_is_off_until_its_directory_is_named() {
    let off = with(&[("MAILSHIM_SPOOL_LIFETIME", "2d"), ("MAILSHIM_SPOOL_MAX_BYTES", "2GB")]).unwrap();
    assert_eq!(off.spool, None);
    for name in ["MAILSHIM_SPOOL_LIFETIME", "MAILSHIM_SPOOL_MAX_BYTES"] {
        assert!(off.warnings.iter().any(|warning| warning.starts_with(name)), "{:?}", off.warnings);
    }
    let on = with(&[("MAILSHIM_SPOOL_DIR", "/var/spool/mailshim")]).unwrap();
    assert_eq!(on.warnings, Vec::<String>::new());
    let spool = on.spool.unwrap();
    assert_eq!(spool.directory, std::path::Path::new("/var/spool/mailshim"));
    assert_eq!((spool.lifetime.as_secs(), spool.max_bytes), (5 * 86_400, 1_000_000_000));
    let all = with(&[
        ("MAILSHIM_SPOOL_DIR", "/srv/a b"),
        ("MAILSHIM_SPOOL_LIFETIME", "36h"),
        ("MAILSHIM_SPOOL_MAX_BYTES", "256MiB"),
        ("MAILSHIM_HOLD", "10s"),
    ])
    .unwrap();
    assert!(all.warnings.iter().any(|warning| warning.starts_with("MAILSHIM_HOLD has no effect")));
    let spool = all.spool.unwrap();
    assert_eq!((spool.lifetime.as_secs(), spool.max_bytes), (36 * 3600, 256 << 20));
    for (name, value, part) in [
        ("MAILSHIM_SPOOL_DIR", "spool", "such as /var/spool/mailshim"),
        ("MAILSHIM_SPOOL_LIFETIME", "5", "5"),
        ("MAILSHIM_SPOOL_LIFETIME", "1s", "1m"),
        ("MAILSHIM_SPOOL_MAX_BYTES", "1kB", "1MB"),
        ("MAILSHIM_SPOOL_MAX_BYTES", "much", "1GB"),
    ] {
        assert_refused(&[(name, value)], name, part);
    }
}

#[test]
fn a_bad_policy_says_what_to_write() {
    // A guard that is not understood must stop the start: it was meant to hold mail back.
    for (name, value, part) in [
        ("MAILSHIM_FROM", "root@localhost", "such as noreply@contoso.com"),
        ("MAILSHIM_FROM_POLICY", "rewrite", "write keep, repair or force (the default is repair)"),
        ("MAILSHIM_ALLOWED_SENDERS", "*", "such as alerts@contoso.com,*@fabrikam.com"),
        ("MAILSHIM_ALLOWED_RECIPIENTS", "contoso.com", "such as alerts@contoso.com,*@fabrikam.com"),
        ("MAILSHIM_LOCAL_TO", "root@localhost", "such as admin@contoso.com"),
        ("MAILSHIM_LOCAL_TO", "Admin <admin@contoso.com>", "such as admin@contoso.com"),
        ("MAILSHIM_REDIRECT_TO", "tests", "such as tests@contoso.com"),
        ("MAILSHIM_BOUNCE_TO", "root@localhost", "such as admin@contoso.com"),
        ("MAILSHIM_BOUNCE_TO", "a@contoso.com,b@contoso.com", "such as admin@contoso.com"),
    ] {
        assert_refused(&[(name, value)], name, part);
    }
}
