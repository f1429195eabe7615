//! Which way to sign in, and what each needs.

use super::*;

#[test]
fn the_way_to_sign_in_is_deduced() {
    let password = ("MAILSHIM_PASSWORD", "pass word");
    let no_secret = ("MAILSHIM_CLIENT_SECRET", "");
    // Another way's leftovers are not judged.
    let config = with(&[password, no_secret, ("MAILSHIM_TENANT_ID", "common")]).unwrap();
    assert!(matches!(config.identity.sign_in, SignIn::Password(_)));
    assert!(config.warnings[0].contains("December 2026"), "{:?}", config.warnings);

    assert_refused(&[password], "MAILSHIM_AUTH", "MAILSHIM_CLIENT_SECRET and MAILSHIM_PASSWORD are set");
    let from = ("MAILSHIM_FROM", "noreply@contoso.com");
    let chosen = |way| with(&[password, from, ("MAILSHIM_AUTH", way)]).unwrap().identity.sign_in;
    assert!(matches!(chosen("password"), SignIn::Password(_)));
    assert_eq!(chosen("secret").name(), "secret");
    assert_refused(&[password, ("MAILSHIM_AUTH", "none")], "MAILSHIM_FROM", "is required");
    let connector = [
        ("MAILSHIM_AUTH", "none"),
        ("MAILSHIM_FROM", "Alerts <alerts@contoso.com>"),
        ("MAILSHIM_MAILBOX", ""),
    ];
    let config = with(&connector).unwrap();
    assert_eq!(config.identity.sign_in, SignIn::None);
    assert_eq!(
        (config.identity.mailbox.to_string().as_str(), config.hostname.as_str()),
        ("alerts@contoso.com", "contoso.com")
    );

    let nothing = errors(read(&[]));
    assert_eq!(nothing.len(), 2, "{nothing:?}");
    for (name, _) in FOUR {
        assert!(nothing[0].contains(name), "{nothing:?}");
    }
}

/// What AKS injects.
const AKS: [(&str, &str); 4] = [
    ("MAILSHIM_MAILBOX", "noreply@contoso.com"),
    ("AZURE_TENANT_ID", TENANT),
    ("AZURE_CLIENT_ID", CLIENT),
    ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com/"),
];

fn name(result: Result<Config, ConfigErrors>) -> &'static str {
    result.unwrap_or_else(|errors| panic!("{errors}")).identity.sign_in.name()
}

#[test]
fn a_pod_with_workload_identity_needs_the_mailbox_alone() {
    let file = TempFile::new(b"eyJ.eyJ.x");
    let token = ("AZURE_FEDERATED_TOKEN_FILE", file.path());
    let config = read(&[&AKS[..], &[token]].concat()).unwrap();
    let SignIn::Token(TokenSource::Workload(application, path)) = &config.identity.sign_in else {
        panic!("{config:?}")
    };
    assert_eq!((&application.client_id[..], &application.tenant[..], path), (CLIENT, TENANT, &file.0));
    assert_eq!(application.authority.to_string(), "https://login.microsoftonline.com");

    let gone = [&AKS[..], &[("AZURE_FEDERATED_TOKEN_FILE", "/nowhere/token")]].concat();
    assert!(errors(read(&gone))[0].contains("names a file that cannot be read"));
}

#[test]
fn what_the_operator_wrote_beats_what_the_platform_injected() {
    let file = TempFile::new(b"token");
    let path = file.path();
    let injected = [("AZURE_FEDERATED_TOKEN_FILE", path)];
    let read = |own: &[(&'static str, &str)]| read(&[&AKS[..], &injected[..], own].concat());
    assert_eq!(name(read(&[])), "workload");
    assert_eq!(name(read(&[("MAILSHIM_CLIENT_SECRET", CANARY)])), "secret");
    assert_eq!(name(read(&[("MAILSHIM_CLIENT_SECRET_FILE", path)])), "secret");
    assert_eq!(name(read(&[("MAILSHIM_PASSWORD", "x"), ("AZURE_CLIENT_SECRET", CANARY)])), "password");
    assert_eq!(name(read(&[("MAILSHIM_MANAGED_IDENTITY", "system")])), "managed");
    assert_eq!(name(read(&[("MAILSHIM_REFRESH_TOKEN_FILE", path)])), "refresh");
    assert_eq!(name(read(&[("AZURE_CLIENT_SECRET", CANARY), ("MAILSHIM_AUTH", "workload")])), "workload");

    // Among equals nothing is guessed.
    let refused = errors(read(&[("AZURE_CLIENT_SECRET", CANARY)]));
    let words = "AZURE_CLIENT_SECRET and AZURE_FEDERATED_TOKEN_FILE are set: unset what is not used, or set \
                 MAILSHIM_AUTH to secret or workload";
    assert!(refused[0].contains(words), "{refused:?}");
    let own = [
        ("MAILSHIM_CLIENT_SECRET", CANARY),
        ("MAILSHIM_MANAGED_IDENTITY", "system"),
        ("MAILSHIM_PASSWORD", "x"),
    ];
    let refused = errors(read(&own));
    assert!(refused[0].contains("MAILSHIM_AUTH to secret, managed or password"), "{refused:?}");
}

#[test]
fn managed_identity() {
    let managed = |changes: &[(&'static str, &'static str)]| {
        // The first counts where a name stands twice.
        read(&[changes, &[FOUR[0], ("MAILSHIM_MANAGED_IDENTITY", "system")]].concat())
    };
    let of = |changes: &[_]| match managed(changes).unwrap().identity.sign_in {
        SignIn::Token(TokenSource::Managed(identity)) => identity,
        other => panic!("{other:?}"),
    };
    let imds = of(&[]);
    assert_eq!((imds.client_id, &imds.resource[..]), (None, "https://outlook.office365.com/"));
    assert!(
        matches!(imds.endpoint, ManagedEndpoint::Imds(url) if url.to_string() == "http://169.254.169.254")
    );
    let other = of(&[("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:2579/")]);
    assert!(
        matches!(other.endpoint, ManagedEndpoint::Imds(url) if url.to_string() == "http://127.0.0.1:2579")
    );
    let app_service = of(&[
        ("MAILSHIM_MANAGED_IDENTITY", CLIENT),
        ("IDENTITY_ENDPOINT", "http://localhost:42356/msi/token"),
        ("IDENTITY_HEADER", CANARY),
    ]);
    assert!(
        matches!(app_service.endpoint, ManagedEndpoint::AppService { url, .. } if url.path() == "/msi/token")
    );

    for (changes, variable, part) in [
        (&[("IDENTITY_ENDPOINT", "http://localhost/msi")][..], "IDENTITY_HEADER", "is required"),
        (
            &[("IDENTITY_ENDPOINT", "http://10.0.0.1/msi"), ("IDENTITY_HEADER", "x")],
            "IDENTITY_ENDPOINT",
            "no other",
        ),
        (
            &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://imds.contoso.com")],
            "AZURE_POD_IDENTITY",
            "no other address",
        ),
    ] {
        let refused = errors(managed(changes));
        assert!(
            refused.len() == 1 && refused[0].starts_with(variable) && refused[0].contains(part),
            "{refused:?}"
        );
    }
    let refused = errors(read(&[FOUR[0], ("MAILSHIM_MANAGED_IDENTITY", "yes")]));
    assert!(refused[0].contains("write system, or the Client ID"), "{refused:?}");
}

#[test]
fn a_delegated_sign_in() {
    let file = TempFile::new(b"1.Atoken\n");
    let vars = |path, tenant| {
        [FOUR[0], FOUR[2], ("MAILSHIM_TENANT_ID", tenant), ("MAILSHIM_REFRESH_TOKEN_FILE", path)]
    };
    let config = read(&vars(file.path(), "organizations")).unwrap();
    let SignIn::Token(TokenSource::Refresh(application, _)) = &config.identity.sign_in else {
        panic!("{config:?}")
    };
    assert_eq!(application.scope, "https://outlook.office.com/SMTP.Send offline_access");
    assert_eq!(application.tenant, "organizations");
    let refused = errors(read(&vars("/nowhere/token", TENANT)));
    assert!(refused[0].contains("run `mailshim login` first"), "{refused:?}");
    let scope = ("MAILSHIM_OAUTH_SCOPE", "SMTP.Send");
    let refused = errors(read(&[&vars(file.path(), TENANT)[..], &[scope]].concat()));
    assert!(refused[0].contains("is not a scope for a delegated sign-in"), "{refused:?}");
}

#[test]
fn login_reads_what_it_needs_and_the_file_need_not_exist() {
    let read = |vars: &[(&str, &str)]| login(vars.iter().map(|(name, value)| (name.into(), value.into())));
    let path = ("MAILSHIM_REFRESH_TOKEN_FILE", "/nowhere/token");
    let found = read(&[FOUR[1], FOUR[2], path, ("MAILSHIM_HOLD", "nonsense")]).unwrap();
    assert_eq!(found.refresh_token_file, PathBuf::from("/nowhere/token"));
    let refused = read(&[("MAILSHIM_HOLDD", "45s")]).unwrap_err();
    let names: Vec<_> = refused.iter().map(|error| error.variable.as_str()).collect();
    let all = ["MAILSHIM_HOLDD", "MAILSHIM_TENANT_ID", "MAILSHIM_CLIENT_ID", "MAILSHIM_REFRESH_TOKEN_FILE"];
    assert_eq!(names, all, "{refused}");
}
