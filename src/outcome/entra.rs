//! What the token service's errors mean: one table of AADSTS codes, and what to make of an answer without one.
//!
//! Microsoft: react to `error`, codes are for hints and may change
//! (learn.microsoft.com/entra/identity-platform/reference-error-codes). So no row can make a token fault permanent for a
//! message: the worst is that an administrator is asked to act.

use super::fault::TokenFault;
use super::network;
use super::ruling::{Class, Kind, Retry, Ruling, Scope};

struct Row {
    name: &'static str,
    codes: &'static [u32],
    class: Class,
    retry: Retry,
    hint: &'static str,
}

const fn row(name: &'static str, codes: &'static [u32], hint: &'static str) -> Row {
    Row { name, codes, class: Class::SetUp, retry: Retry::Never, hint }
}

impl Row {
    const fn passes(self, retry: Retry) -> Self {
        Self { class: Class::Transient, retry, ..self }
    }
}

/// The row of a client secret that is not the right one.
pub(super) const SECRET_WRONG: &str = "entra_secret_wrong";

#[rustfmt::skip] // one row, one or two lines: a table
static ROWS: &[Row] = &[
    // What passes by itself comes first: a code of these beside another one is no set-up fault.
    row("entra_busy", &[90033, 90024, 90006, 90012, 50033, 50087, 90055, 40010, 80014], "")
        .passes(Retry::Again),
    row("entra_issuer_unreachable", &[90061],
        "Make the cluster's OIDC issuer reachable from the internet: Entra cannot fetch its keys.").passes(Retry::Again),
    row("entra_device_code_pending", &[70016], "Finish the sign-in in the browser.").passes(Retry::Again),
    // Not again at once: asking again is what it complains of.
    row("entra_loop", &[50196],
        "Find what else asks for tokens with this client id many times a minute; Entra opens again by itself.").passes(Retry::Never),

    row(SECRET_WRONG, &[7_000_215],
        "Set MAILSHIM_CLIENT_SECRET to the secret's Value, not its Secret ID (Entra > App registrations > Certificates & secrets)."),
    row("entra_secret_expired", &[7_000_222],
        "Make a new client secret (Entra > App registrations > Certificates & secrets) and set MAILSHIM_CLIENT_SECRET; a certificate lasts longer."),
    row("entra_client_unknown", &[700_016, 700_011],
        "Check MAILSHIM_CLIENT_ID (Application ID), MAILSHIM_TENANT_ID and MAILSHIM_CLOUD: the tenant has no such application."),
    row("entra_no_service_principal", &[7_000_229],
        "Make the Enterprise application in this tenant: run what mailshim setup prints, or grant admin consent."),
    row("entra_client_disabled", &[7_000_112, 70_001],
        "Enable the application: Entra > Enterprise applications > Properties > Enabled for users to sign in."),
    row("entra_credential_missing", &[7_000_218],
        "Give MAILSHIM_CLIENT_SECRET or a certificate, or allow public client flows (App registrations > Authentication)."),
    row("entra_public_client", &[700_025],
        "Take MAILSHIM_CLIENT_SECRET away: the application is a public client, which must send none."),
    row("entra_tenant_unknown", &[90002, 90038, 900_382, 900_432],
        "Check MAILSHIM_TENANT_ID (Entra > Overview > Tenant ID) and MAILSHIM_CLOUD: this cloud has no such tenant."),
    row("entra_common_endpoint", &[9_001_023, 50194],
        "Set MAILSHIM_TENANT_ID to the tenant's id or domain: common and consumers do not take this sign-in."),
    row("entra_assertion_signature", &[700_027],
        "Upload the certificate of MAILSHIM_CLIENT_CERTIFICATE_PATH to the App registration: the key does not match."),
    Row { retry: Retry::OnceWithFreshToken, ..row("entra_assertion_time", &[700_024],
        "Set the clock right, or let Kubernetes renew AZURE_FEDERATED_TOKEN_FILE: the assertion is outside its time.") },
    row("entra_certificate_refused", &[700_030, 50012],
        "Upload the certificate of MAILSHIM_CLIENT_CERTIFICATE_PATH to the App registration: its subject, chain or thumbprint is not accepted."),
    row("entra_no_federation", &[70021, 700_211, 700_212, 700_213],
        "Make issuer (slash at its end), subject system:serviceaccount:NAMESPACE:NAME and audience of the federated credential those of the pod."),
    row("entra_scope", &[70011, 28002, 28003, 700_022, 900_144],
        "Take MAILSHIM_OAUTH_SCOPE away, or set it to https://outlook.office365.com/.default."),
    row("entra_no_exchange", &[500_011, 650_052],
        "Check MAILSHIM_TENANT_ID, MAILSHIM_CLOUD and MAILSHIM_OAUTH_SCOPE: the tenant has no Exchange Online of that name."),
    row("entra_no_consent", &[650_057, 65001, 65005, 90094],
        "Run what mailshim setup prints: the application lacks a permission, or the consent to it."),
    row("entra_locked", &[50053],
        "Wait, then set the right password: the account is locked after too many wrong ones; better, use a client secret or certificate."),
    row("entra_user_refused", &[50034, 50126, 50055, 50056, 50057],
        "Check that the user exists, is enabled and its password is right and not expired; better, use a client secret or certificate."),
    row("entra_mfa", &[50076, 50079, 50074, 50072, 50158],
        "Sign in with a client secret or certificate: a user with multi-factor sign-in cannot send unattended."),
    row("entra_conditional_access", &[53003, 530_032, 53000, 53001, 53002, 50131, 530_035],
        "Exempt this sign-in from the Conditional Access policy (Entra > Sign-in logs names it), or use a client secret or certificate."),
    row("entra_refresh_token", &[70000, 700_082, 70008, 70043, 50173, 50089],
        "Run mailshim login again: the refresh token is expired or revoked."),
    row("entra_device_code", &[70018, 70019], "Run mailshim login again: the device code is wrong or expired."),
];

/// What a token fault means. Always about everything the mailbox sends, never about one message.
pub(super) fn rule_on(fault: &TokenFault) -> Ruling {
    match fault {
        TokenFault::Refused { status, error, codes, .. } => {
            let passes = matches!(error.as_str(), "temporarily_unavailable" | "server_error" | "slow_down")
                || may_pass(*status);
            // `error` and status decide; the code has the better hint.
            match ROWS.iter().find(|row| codes.iter().any(|code| row.codes.contains(code))) {
                Some(row) if passes && row.class != Class::Transient => {
                    ruling(row.name, Class::Transient, Retry::Again, row.hint)
                }
                Some(row) => ruling(row.name, row.class, row.retry, row.hint),
                None if passes => ruling("token_busy", Class::Transient, Retry::Again, ""),
                None => ruling(
                    "token_refused",
                    Class::SetUp,
                    Retry::Never,
                    "Run mailshim check, and look the code up in Entra > Sign-in logs > Service principal sign-ins.",
                ),
            }
        }
        TokenFault::Status { status, .. } if may_pass(*status) => {
            ruling("token_busy", Class::Transient, Retry::Again, "")
        }
        TokenFault::Status { .. } => ruling(
            "token_status",
            Class::SetUp,
            Retry::Never,
            "Let the proxy or firewall pass HTTPS to the token service, or set MAILSHIM_EGRESS_PROXY.",
        ),
        TokenFault::Proxy(fault) => network::egress_proxy(fault),
        TokenFault::NotReached { fault, .. } if fault.rule() == "certificate" => ruling(
            "token_certificate",
            Class::Transient,
            Retry::Again,
            "Let the firewall pass HTTPS to the token service without TLS inspection, or give its root in MAILSHIM_CA_FILE; check the clock.",
        ),
        TokenFault::NotReached { .. } | TokenFault::Unreachable(_) | TokenFault::TimedOut(_) => ruling(
            "token_unreachable",
            Class::Transient,
            Retry::Again,
            "Open outbound HTTPS to the token service, or set MAILSHIM_EGRESS_PROXY.",
        ),
        TokenFault::Garbage(_) => ruling(
            "token_garbage",
            Class::Transient,
            Retry::Again,
            "If it lasts, look whether a proxy answers in the token service's place.",
        ),
    }
}

/// Too many, a failing server; and 404 and 410, which IMDS gives while it is being updated
/// (learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token, "Retry guidance").
const fn may_pass(status: u16) -> bool {
    matches!(status, 404 | 408 | 410 | 429 | 500..=599)
}

const fn ruling(name: &'static str, class: Class, retry: Retry, hint: &'static str) -> Ruling {
    let (kind, scope) = (Kind::Always(class), Scope::Service);
    Ruling { name, kind, scope, retry, hint, enhanced: (7, 0), code: 454 }
}
