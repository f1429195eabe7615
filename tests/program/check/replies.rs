//! Office 365's refusals, OFFICE365.md section 4, at each rung where they can come.

use office365::{Fault, Office365, Stage, Times, wording};

use super::golden::compare;
use super::ladder::{Climb, PASSWORD, settings};

const FRONT: &str = " [SY5P282CA0097.AUSP282.PROD.OUTLOOK.COM 2025-04-26T18:06:35.781Z 08DD842467C8274D]";

/// What is said of each reply, in this stage.
#[track_caller]
fn said(stage: Stage, rung: &str, replies: &[&str], more: &[(&str, &str)], to: Option<&str>) -> String {
    let office365 = Office365::start(settings());
    let mut all = String::new();
    for reply in replies {
        office365.fault(Fault::ReplyAt(stage, (*reply).to_string()), Times::Always);
        let climb = Climb::as_it_is(&office365, more, to, Default::default());
        let short = reply.replace(FRONT, "");
        let short =
            short.split(" [SY5P").next().unwrap_or_default().split(" [Hostname").next().unwrap_or_default();
        all.push_str(&format!("{short}\n{}\n", climb.failure(rung)));
        office365.clear_faults();
    }
    all
}

#[test]
fn at_the_greeting_and_ehlo() {
    let concurrent = "421 4.3.2 The maximum number of concurrent server connections has exceeded a limit, closing \
                      transmission channel";
    let greeting = said(Stage::Greeting, "ehlo", &[wording::NOT_AVAILABLE, concurrent], &[], None);
    let name = format!("501 5.5.4 Invalid domain name{FRONT}");
    let ehlo = said(
        Stage::Ehlo,
        "ehlo",
        &[&name, "451 4.7.0 Temporary server error. Please try again later. PRX4"],
        &[],
        None,
    );
    compare("ehlo_replies", &format!("{greeting}{ehlo}"));
}

#[test]
fn at_the_sign_in() {
    let bare = format!("{}{FRONT}", wording::AUTH_UNSUCCESSFUL);
    let defaults = format!(
        "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy. \
         Contact your administrator.{FRONT}"
    );
    let criteria = format!(
        "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated \
         successfully. Contact your administrator.{FRONT}"
    );
    let replies = [
        bare.as_str(),
        wording::SMTP_AUTH_DISABLED_TENANT,
        wording::SMTP_AUTH_DISABLED_MAILBOX,
        &criteria,
        wording::AUTH_TEMPORARY,
        "504 5.7.4 Unrecognized authentication type",
        "501 5.5.124 Invalid XOAUTH2 auth data - User address provided is not valid",
        "535 5.7.144 XOAUTH2 authentication failed. Invalid API permissions",
        "550 5.7.240 The application is not allowed for use with this High Volume Email account",
        "421 4.7.0 Too many errors on this connection, closing transmission channel",
    ];
    let token = said(Stage::Auth, "auth", &replies, &[], None);
    let password = [("MAILSHIM_CLIENT_SECRET", ""), ("MAILSHIM_PASSWORD", PASSWORD)];
    let replies = [bare.as_str(), wording::BASIC_DISABLED, wording::BASIC_REMOVED, &defaults, &criteria];
    let password = said(Stage::Auth, "auth", &replies, &password, None);
    compare("auth_replies", &format!("{token}-- with a password --\n{password}"));
}

#[test]
fn no_sign_in_is_offered() {
    let office365 = Office365::start(office365::Settings { auth: Vec::new(), ..settings() });
    let none = Climb::with(&office365, &[]).failure("auth");
    let office365 = Office365::start(office365::Settings { auth: vec!["NTLM"], ..settings() });
    let others = Climb::with(&office365, &[]).failure("auth");
    compare("no_usable_auth", &format!("{none}\n{others}"));
}

#[test]
fn at_mail_and_rcpt() {
    let not_authenticated = format!(
        "530 5.7.57 Client not authenticated to send mail. Error: 535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.{FRONT}"
    );
    let mail = [
        wording::NOT_AUTHENTICATED,
        &not_authenticated,
        wording::SUBMISSION_RATE,
        "501 5.1.7 Invalid address",
        "550 5.7.68 TenantInboundAttribution; Direct Send not allowed for this organization from unauthorized sources",
        "550 5.7.501 Access denied, spam abuse detected",
        "451 4.7.500 Access denied, please try again later",
    ];
    let rcpt = [
        wording::RELAY_DENIED,
        "550 5.4.1 Recipient address rejected: Access denied",
        "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found",
        "451 4.4.62 Mail sent to the wrong Office 365 region. ATTR35",
        "452 4.5.3 Too many recipients",
        "501 5.1.3 Invalid address",
    ];
    let (mail, rcpt) =
        (said(Stage::Mail, "envelope", &mail, &[], None), said(Stage::Rcpt, "envelope", &rcpt, &[], None));
    compare("envelope_replies", &format!("{mail}{rcpt}"));
}

#[test]
fn after_the_dot() {
    let send_as = wording::send_as_denied("app@contoso.com", "app@contoso.com");
    let replies = [
        wording::LOGON_FAILURE,
        wording::CONCURRENT,
        wording::DAILY_RECIPIENTS,
        wording::MAILBOX_FULL,
        wording::OUTBOUND_SPAM,
        wording::SENDER_THROTTLED,
        wording::TEMPORARY,
        &send_as,
        "550 5.1.8 Access denied, bad outbound sender",
        "550 5.7.60 SMTP; Client does not have permissions to send as this sender",
        "550 5.7.233 Your message can't be sent because your tenant exceeded its daily limit for sending email to external recipients (tenant external recipient rate limit)",
        "550 5.7.236 Limit exceeded",
        "550 5.7.705 Access denied, tenant has exceeded threshold",
        "550 5.7.708 Access denied, traffic not accepted from this IP",
        "550 5.7.750 Service unavailable. Client blocked from sending from unregistered domains",
    ];
    compare("send_replies", &said(Stage::Dot, "send", &replies, &[], Some("ann@fabrikam.com")));
}
