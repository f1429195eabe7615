//! What Exchange refuses for want of a right: why, and the commands that give it. Only the right that is missing: an
//! application with a role of RBAC for Applications is never told to take FullAccess, nor the other way round.

use super::known::Known;
use super::rung::Advice;
use super::token::Claims;
use crate::cli::powershell::quoted;
use crate::identity::sign_in::{SignIn, TokenSource};
use crate::outcome::{Cause, Fault, WithoutAdvice};

const CONNECT: &str = "Connect-ExchangeOnline";
const NO_OBJECT_ID: &str = "OBJECT-ID-OF-THE-ENTERPRISE-APPLICATION";
const SETUP: &str = "mailshim setup prints the whole script";

/// The advice for a refusal of this rule, if it is one of Exchange's.
pub(super) fn exchange(rule: &str, fault: &Fault, known: &Known<'_>) -> Option<Advice> {
    let mailbox = known.config.identity.mailbox.to_string();
    let said = WithoutAdvice(fault).to_string();
    let advice = |why: &str, fix: String, commands: Vec<String>| {
        let cause = if why.is_empty() { said.clone() } else { format!("{said}: {why}") };
        Some(Advice { cause, fix: Some(fix), commands })
    };
    let with_token = match &known.config.identity.sign_in {
        SignIn::Token(source) => Some(source),
        SignIn::Password(_) | SignIn::None => None,
    };
    match (rule, with_token) {
        ("smtp_auth_disabled", _) => advice(
            "",
            "Allow SMTP AUTH for the mailbox, which stops OAuth too; the mailbox's setting beats the tenant's:".to_string(),
            vec![CONNECT.to_string(), smtp_auth(&mailbox)],
        ),
        ("send_as_denied", _) => {
            let from = known.config.policy.from.address.to_string();
            // Its own address was refused: that needs no right, but another mailbox.
            if from.eq_ignore_ascii_case(&mailbox) {
                return None;
            }
            advice(
                "",
                format!("Let {mailbox} send as {from}, or take MAILSHIM_FROM away:"),
                vec![
                    CONNECT.to_string(),
                    format!(
                        "Add-RecipientPermission -Identity {} -Trustee {} -AccessRights SendAs",
                        quoted(&from),
                        quoted(&mailbox)
                    ),
                ],
            )
        }
        ("hve_app_not_allowed", Some(_)) => {
            let application = known.claims.as_ref().and_then(|claims| claims.appid.clone());
            advice(
                "",
                "Let the application use the account:".to_string(),
                vec![
                    CONNECT.to_string(),
                    format!(
                        "Add-HVEAppAccess -Identity {} -AppIds {}",
                        quoted(&mailbox),
                        quoted(application.as_deref().unwrap_or("CLIENT-ID"))
                    ),
                ],
            )
        }
        ("security_defaults" | "sign_in_policy" | "basic_auth_disabled" | "wrong_password", Some(source)) => {
            let who = match source {
                TokenSource::Refresh(..) => mailbox,
                _ => "the application".to_string(),
            };
            advice(
                "",
                format!(
                    "Exempt {who} from the Conditional Access policy that refuses it (Entra > Sign-in logs names it); it signs \
                     in with OAuth already."
                ),
                Vec::new(),
            )
        }
        // A person's token carries that person's rights; a wrong audience is told elsewhere.
        ("sign_in_refused" | "mailbox_logon", Some(source)) if !matches!(source, TokenSource::Refresh(..)) => {
            let claims = known.claims.as_ref()?;
            if claims.wrong_audience().is_some() || !is_bare(fault) {
                return None;
            }
            let (why, fix, commands) = right(&mailbox, claims, known);
            advice(&why, fix, commands)
        }
        _ => None,
    }
}

/// Where Office 365 says more than "unsuccessful", its own words decide.
fn is_bare(fault: &Fault) -> bool {
    let Cause::Refused(reply) = fault.cause() else { return false };
    reply.code == 430 || reply.code == 535 && reply.enhanced().is_some_and(|code| (code.1, code.2) == (7, 3))
}

fn smtp_auth(mailbox: &str) -> String {
    format!("Set-CASMailbox -Identity {} -SmtpClientAuthenticationDisabled $false", quoted(mailbox))
}

/// The application may not use the mailbox: which right is missing.
fn right(mailbox: &str, claims: &Claims, known: &Known<'_>) -> (String, String, Vec<String>) {
    let object_id = quoted(claims.oid.as_deref().unwrap_or(NO_OBJECT_ID));
    let client_id = quoted(claims.appid.as_deref().unwrap_or("CLIENT-ID"));
    let known_to_exchange = format!("New-ServicePrincipal -AppId {client_id} -ObjectId {object_id}");
    let full_access = format!(
        "Add-MailboxPermission -Identity {} -User {object_id} -AccessRights FullAccess",
        quoted(mailbox)
    );
    if claims.may_send() {
        return (
            "the token has the role SMTP.SendAsApp, so Entra's side is done and Exchange's is not"
                .to_string(),
            format!(
                "Check that MAILSHIM_MAILBOX ({mailbox}) is right, then give the application its mailbox. The Object ID is the \
                 Enterprise application's, from the token. A grant takes up to an hour."
            ),
            vec![CONNECT.to_string(), known_to_exchange, full_access, smtp_auth(mailbox)],
        );
    }
    let has_roles = known.config.cloud.name == "worldwide";
    if !has_roles {
        return (
            "the token has no role SMTP.SendAsApp: the admin consent is missing".to_string(),
            format!(
                "Grant the API permission Office 365 Exchange Online > SMTP.SendAsApp with admin consent (Entra > App \
                 registrations > API permissions), then give the application its mailbox; {SETUP}:"
            ),
            vec![CONNECT.to_string(), known_to_exchange, full_access, smtp_auth(mailbox)],
        );
    }
    (
        "the token has no role SMTP.SendAsApp, so either Exchange's role assignment (RBAC for Applications) is missing, or \
         the admin consent is"
            .to_string(),
        format!(
            "Check that MAILSHIM_MAILBOX ({mailbox}) is right; then take one of two ways, never both. With RBAC for Applications \
             ({SETUP}) the commands below; a new role takes 30 minutes to 2 hours, so where it is new: wait. With the API \
             permission instead: Entra > App registrations > API permissions > Office 365 Exchange Online > SMTP.SendAsApp, admin \
             consent, and mailshim check again."
        ),
        vec![
            CONNECT.to_string(),
            known_to_exchange,
            format!("New-DistributionGroup -Name 'mailshim' -Type Security -Members {}", quoted(mailbox)),
            format!(
                "New-ManagementRoleAssignment -Name 'mailshim' -App {object_id} -Role 'Application SMTP.SendAsApp' \
                 -RecipientGroupScope 'mailshim'"
            ),
            smtp_auth(mailbox),
            format!("Test-ServicePrincipalAuthorization -Identity {object_id} -Resource {}", quoted(mailbox)),
        ],
    )
}
