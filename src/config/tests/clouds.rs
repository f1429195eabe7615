//! Each cloud's own values (OFFICE365.md section 7), and that every one of them can be overridden.

use super::*;

fn in_cloud(name: &str, more: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    with(&[&[("MAILSHIM_CLOUD", name)], more].concat())
}

#[test]
fn host_authority_and_scope_of_each_cloud() {
    let refresh = TempFile::new(b"1.Atoken\n");
    let person = [("MAILSHIM_CLIENT_SECRET", ""), ("MAILSHIM_REFRESH_TOKEN_FILE", refresh.path())];
    let rows = [
        (
            "worldwide",
            "smtp.office365.com:587",
            "https://login.microsoftonline.com",
            Some("https://outlook.office365.com/.default"),
            "https://outlook.office.com/SMTP.Send offline_access",
        ),
        (
            "gcc-high",
            "smtp.office365.us:587",
            "https://login.microsoftonline.us",
            Some("https://outlook.office365.us/.default"),
            "https://outlook.office365.us/SMTP.Send offline_access",
        ),
        (
            "dod",
            "outlook-dod.office365.us:587",
            "https://login.microsoftonline.us",
            Some("https://outlook-dod.office365.us/.default"),
            "https://outlook-dod.office365.us/SMTP.Send offline_access",
        ),
        (
            "china",
            "smtp.partner.outlook.cn:587",
            "https://login.partner.microsoftonline.cn",
            Some("https://partner.outlook.cn/.default"),
            "https://partner.outlook.cn/SMTP.Send offline_access",
        ),
        (
            "outlook.com",
            "smtp-mail.outlook.com:587",
            "https://login.microsoftonline.com",
            None,
            "https://outlook.office.com/SMTP.Send offline_access",
        ),
        (
            "hve",
            "smtp.hve.mx.microsoft:587",
            "https://login.microsoftonline.com",
            Some("https://outlook.office365.com/.default"),
            "https://outlook.office.com/SMTP.Send offline_access",
        ),
    ];
    assert_eq!(rows.map(|(name, ..)| name), CLOUDS.map(|cloud| cloud.name));
    for (name, upstream, authority, app_scope, delegated_scope) in rows {
        let config = in_cloud(name, &person).unwrap();
        assert_eq!(config.upstream.to_string(), upstream);
        let SignIn::Token(TokenSource::Refresh(application, _)) = &config.identity.sign_in else {
            panic!("{config:?}")
        };
        assert_eq!(application.authority.to_string(), authority, "{name}");
        assert_eq!(application.scope, delegated_scope, "{name}");
        if let Some(app_scope) = app_scope {
            let config = in_cloud(name, &[]).unwrap();
            let (application, _) = by_secret(&config);
            assert_eq!(
                (application.authority.to_string().as_str(), application.scope.as_str()),
                (authority, app_scope)
            );
        }
    }
    let default = with(&[]).unwrap();
    assert_eq!(default.cloud.name, "worldwide");
    // Capitals are no other cloud; a name that is none is no default.
    assert_eq!(in_cloud("GCC-High", &[]).unwrap().cloud.name, "gcc-high");
    assert_refused(&[("MAILSHIM_CLOUD", "gcc")], "MAILSHIM_CLOUD", "worldwide, gcc-high, dod, china");
}

#[test]
fn every_part_can_be_overridden() {
    for cloud in CLOUDS.iter().filter(|cloud| cloud.app_scope.is_some()) {
        let config = in_cloud(
            cloud.name,
            &[
                ("MAILSHIM_UPSTREAM", "smtp.test:2587"),
                ("AZURE_AUTHORITY_HOST", "https://login.test"),
                ("MAILSHIM_OAUTH_SCOPE", "https://scope.test/.default"),
                ("MAILSHIM_MAX_RECIPIENTS", "7"),
                ("MAILSHIM_MAX_MESSAGE_SIZE", "1MiB"),
                ("MAILSHIM_MESSAGES_PER_MINUTE", "9"),
            ],
        )
        .unwrap();
        let (application, _) = by_secret(&config);
        assert_eq!(config.upstream.to_string(), "smtp.test:2587");
        assert_eq!(application.authority.to_string(), "https://login.test");
        assert_eq!(application.scope, "https://scope.test/.default");
        assert_eq!(
            (config.session.limits.max_recipients, config.session.limits.max_message_size),
            (7, 1 << 20)
        );
        assert_eq!(config.allowance.messages_per_minute, 9);
    }
}

#[test]
fn outlook_com_knows_persons_only() {
    assert_refused(
        &[("MAILSHIM_CLOUD", "outlook.com"), ("MAILSHIM_TENANT_ID", TENANT)],
        "MAILSHIM_CLOUD",
        "outlook.com takes no application's sign-in: use `mailshim login`",
    );
    let file = TempFile::new(b"1.Atoken\n");
    let vars = [
        ("MAILSHIM_CLOUD", "outlook.com"),
        ("MAILSHIM_CLIENT_ID", CLIENT),
        ("MAILSHIM_REFRESH_TOKEN_FILE", file.path()),
    ];
    let tenant_of = |more: &[(&str, &str)]| {
        let vars = vars.iter().chain(more).map(|(name, value)| ((*name).into(), (*value).into()));
        login(vars).unwrap().application.tenant
    };
    assert_eq!(tenant_of(&[]), "consumers");
    assert_eq!(tenant_of(&[("MAILSHIM_TENANT_ID", "common")]), "common");
    let mailbox = ("MAILSHIM_MAILBOX", "someone@outlook.com");
    let config = read(&[&vars[..], &[mailbox]].concat()).unwrap();
    let SignIn::Token(TokenSource::Refresh(application, _)) = &config.identity.sign_in else {
        panic!("{config:?}")
    };
    assert_eq!(application.tenant, "consumers");
}

#[test]
fn high_volume_email_has_limits_of_its_own() {
    let hve = in_cloud("hve", &[]).unwrap();
    assert_eq!(
        (
            hve.session.limits.max_recipients,
            hve.session.limits.max_message_size,
            hve.allowance.messages_per_minute
        ),
        (50, 10_000_000, 0)
    );
    // Refused in the last ten minutes of a token's life, "501 5.5.127 … Token will expire soon".
    assert_eq!(hve.identity.token_margin, Duration::from_secs(11 * 60));
    let worldwide = in_cloud("worldwide", &[]).unwrap();
    assert_eq!((worldwide.session.limits.max_recipients, worldwide.allowance.messages_per_minute), (500, 28));
    assert_eq!(worldwide.identity.token_margin, Duration::from_secs(2 * 60));
}

#[test]
fn what_is_not_certain_about_a_cloud_is_said() {
    let warnings = in_cloud("dod", &[]).unwrap().warnings;
    assert!(warnings.len() == 1 && warnings[0].contains("MAILSHIM_OAUTH_SCOPE=https://"), "{warnings:?}");
    assert_eq!(in_cloud("gcc-high", &[]).unwrap().warnings, Vec::<String>::new());
}
