//! The token service: OFFICE365.md section 6.5, and what stands in its way.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use office365::{Fault, Office365, Settings, Stage, Times, TlsSetup, wording};
use support::files::TempFile;

use super::golden::compare;
use super::ladder::{Climb, settings, short};
use super::peers;

/// One code of each row of Entra's table, with the `error` that it comes with.
const CODES: [(&str, u32); 32] = [
    ("invalid_client", 7_000_215),
    ("invalid_client", 7_000_222),
    ("unauthorized_client", 700_016),
    ("unauthorized_client", 7_000_229),
    ("unauthorized_client", 7_000_112),
    ("invalid_client", 7_000_218),
    ("invalid_client", 700_025),
    ("invalid_request", 90_002),
    ("invalid_request", 900_382),
    ("invalid_request", 50_194),
    ("invalid_client", 700_027),
    ("invalid_client", 700_024),
    ("invalid_client", 700_030),
    ("invalid_client", 70_021),
    ("invalid_client", 90_061),
    ("invalid_scope", 70_011),
    ("invalid_request", 900_144),
    ("invalid_resource", 500_011),
    ("invalid_resource", 650_052),
    ("invalid_grant", 65_001),
    ("invalid_grant", 50_034),
    ("invalid_grant", 50_126),
    ("invalid_grant", 50_053),
    ("invalid_grant", 50_076),
    ("invalid_grant", 53_003),
    ("invalid_grant", 530_035),
    ("invalid_grant", 70_000),
    ("invalid_grant", 700_082),
    ("invalid_grant", 70_019),
    ("invalid_request", 50_196),
    ("temporarily_unavailable", 90_033),
    ("invalid_request", 1),
];

#[test]
fn each_error_of_entra() {
    let office365 = Office365::start(settings());
    let mut all = String::new();
    for (error, code) in CODES {
        let (error, description) = (error.to_string(), "Entra's words.".to_string());
        office365.fault(Fault::TokenError { status: 400, error, code, description }, Times::Always);
        all.push_str(&format!("{code}\n{}\n", Climb::with(&office365, &[]).failure("token")));
        office365.clear_faults();
    }
    compare("token_errors", &all);
}

#[test]
fn a_secret_that_is_wrong() {
    let office365 = Office365::start(settings());
    compare("secret_wrong", &Climb::with(&office365, &[("MAILSHIM_CLIENT_SECRET", "c4n4ry-other")]).text());
}

#[test]
fn what_stands_in_the_token_services_place() {
    let mut all = String::new();
    for (fault, deadlines) in [
        (Fault::TokenRetryAfter { status: 429, seconds: 20 }, None),
        (Fault::Token5xx(503), None),
        (Fault::Token5xx(407), None),
        (Fault::TokenGarbage, None),
        (Fault::TokenMissing, None),
        (Fault::TokenDrop, None),
        (Fault::TokenRedirect, None),
        (Fault::TokenEndless, None),
        (Fault::TokenHugeHeader, None),
        (Fault::TokenStall, Some(short())),
    ] {
        let office365 = Office365::start(settings());
        office365.fault(fault.clone(), Times::Always);
        // Only the token's deadline is short: what comes before it must hold.
        let deadlines = deadlines.map_or_else(Default::default, |short| {
            mailshim::testing::deadlines::Deadlines { token: short.token, ..Default::default() }
        });
        let climb = Climb::as_it_is(&office365, &[], None, deadlines);
        all.push_str(&format!("{fault:?}\n{}\n", climb.failure("token")));
    }
    compare("token_trouble", &all);
}

#[test]
fn the_way_to_the_token_service() {
    let office365 = Office365::start(settings());
    let authority = format!("https://localhost:{}", peers::closed().port());
    let nobody = [("AZURE_AUTHORITY_HOST", authority.as_str())];
    compare("token_refused", &Climb::with(&office365, &nobody).text());
    let proxied = [nobody[0], ("https_proxy", "http://u:c4n4ry@proxy:3128")];
    compare("token_refused_and_other_proxy", &Climb::with(&office365, &proxied).text());
    let office365 = Office365::start(Settings { https_tls: TlsSetup::UnknownCa, ..settings() });
    compare("token_middlebox", &Climb::with(&office365, &[]).text());
}

/// What the pod's token says stands in the fix, so that nobody has to decode it.
#[test]
fn a_federated_credential_that_does_not_fit() {
    let office365 = Office365::start(settings());
    let claims = r#"{"iss":"https://oidc.example/1/","sub":"system:serviceaccount:shop:app","aud":["api://AzureADTokenExchange"]}"#;
    let token = format!("eyJhbGciOiJSUzI1NiJ9.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(claims));
    let file = TempFile::new(&token);
    let path = file.path().to_string();
    let mut all = String::new();
    for code in [700_211, 700_212, 700_213] {
        let (error, description) = ("invalid_request".to_string(), "Entra's words.".to_string());
        office365.fault(Fault::TokenError { status: 401, error, code, description }, Times::Always);
        let workload = [("MAILSHIM_CLIENT_SECRET", ""), ("AZURE_FEDERATED_TOKEN_FILE", path.as_str())];
        all.push_str(&format!("{code}\n{}\n", Climb::with(&office365, &workload).failure("token")));
        office365.clear_faults();
    }
    compare("federated", &all);
}

/// RBAC for Applications, or no consent: both look like this.
#[test]
fn a_token_without_the_role() {
    let office365 = Office365::start(settings());
    office365.fault(Fault::TokenWithoutRole, Times::Always);
    compare("no_role", &Climb::with(&office365, &[]).text());
    let refused = format!("{} [SY5]", wording::AUTH_UNSUCCESSFUL);
    office365.fault(Fault::ReplyAt(Stage::Auth, refused), Times::Always);
    let climb = Climb::with(&office365, &[]);
    let said = climb.failure("auth");
    assert!(!said.contains("FullAccess"), "{said}");
    // The simulator knows the scope of one cloud.
    let china =
        [("MAILSHIM_CLOUD", "china"), ("MAILSHIM_OAUTH_SCOPE", "https://outlook.office365.com/.default")];
    let china = Climb::with(&office365, &china).failure("auth");
    compare("no_role_refused", &format!("{said}\n-- where no RBAC for Applications is --\n{china}"));
    for width in [80, 120] {
        let screen = climb.screen(Some(width));
        let too_wide = screen.lines().find(|line| line.chars().count() > width && !line.contains(" -"));
        assert_eq!(too_wide, None, "{screen}");
    }
}

/// A variable is called as it was set.
#[test]
fn own_names_are_said() {
    let office365 = Office365::start(settings());
    let file = TempFile::new("c4n4ry-other");
    let path = file.path().to_string();
    let vars = [("MAILSHIM_CLIENT_SECRET", ""), ("AZURE_CLIENT_SECRET_FILE", path.as_str())];
    let said = Climb::with(&office365, &vars).failure("token");
    assert!(said.contains("the file of AZURE_CLIENT_SECRET_FILE"), "{said}");
}

#[test]
fn managed_identity() {
    let office365 = Office365::start(settings());
    let url = office365.imds();
    let imds = [
        ("MAILSHIM_CLIENT_SECRET", ""),
        ("MAILSHIM_TENANT_ID", ""),
        ("MAILSHIM_CLIENT_ID", ""),
        ("AZURE_AUTHORITY_HOST", ""),
        ("MAILSHIM_MANAGED_IDENTITY", "system"),
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", url.as_str()),
    ];
    compare("managed_identity", &Climb::with(&office365, &imds).text());
    // Where the machine has no identity, or something else answers at that address, no firewall is to blame.
    for fault in [Fault::Token5xx(403), Fault::TokenGarbage] {
        office365.fault(fault, Times::Always);
        let said = Climb::with(&office365, &imds).failure("token");
        assert!(said.contains("give it an identity") && !said.contains("firewall"), "{said}");
        office365.clear_faults();
    }
}

/// Exchange judges the From only after the dot: what a climb without a test mail cannot see is said.
#[test]
fn a_from_that_is_not_the_mailbox() {
    let office365 = Office365::start(settings());
    let said = Climb::with(&office365, &[("MAILSHIM_FROM", "ceo@contoso.com")]).text();
    assert!(said.contains("may send as ceo@contoso.com shows only when a mail is sent: --send"), "{said}");
    let said = Climb::with(&office365, &[("MAILSHIM_FROM", "APP@contoso.com")]).text();
    assert!(!said.contains("shows only when"), "{said}");
}

#[test]
fn a_token_for_something_else() {
    let office365 = Office365::start(settings());
    office365.fault(Fault::TokenWrongAudience, Times::Always);
    compare("wrong_audience", &Climb::with(&office365, &[]).text());
}
