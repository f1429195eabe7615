//! The token service: OFFICE365.md section 6.5, and what stands in its way.

use office365::{Fault, Office365, Settings, Times, TlsSetup};

use super::golden::compare;
use super::ladder::{Climb, settings, short};
use super::peers;

/// One code of each row of Entra's table, with the `error` that it comes with.
const CODES: [(&str, u32); 31] = [
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
}

#[test]
fn a_token_for_something_else() {
    let office365 = Office365::start(settings());
    office365.fault(Fault::TokenWrongAudience, Times::Always);
    compare("wrong_audience", &Climb::with(&office365, &[]).text());
}
