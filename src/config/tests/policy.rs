//! The sender policy and the guards.

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
