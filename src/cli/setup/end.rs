//! The end of the script: the variables of mailshim, and what is left to do.

use super::cloud::cloud_names;
use super::plan::{Right, has_application, is_personal, right};
use crate::cli::powershell::quoted;
use crate::config::{SetUp, Way};

/// The variables, as they come out.
pub(super) fn end(set_up: &SetUp) -> String {
    let mut text = String::from("Write-Host 'Done. The variables of mailshim:'\n");
    let mut line = |words: &str| text.push_str(&format!("Write-Output {words}\n"));
    let cloud = set_up.cloud.name;
    if set_up.way == Way::None {
        line("'MAILSHIM_AUTH=none'");
        line("\"MAILSHIM_FROM=$Mailbox\"");
        let host = cloud_names(cloud).mail_host;
        line(&format!("\"MAILSHIM_UPSTREAM=$($Domain.Replace('.', '-')).{host}:25\""));
        if set_up.by_certificate {
            line("\"MAILSHIM_HOSTNAME=$CertificateName\"");
            line("'MAILSHIM_TLS_CERT_FILE=/run/secrets/mailshim.crt'");
            line("'MAILSHIM_TLS_KEY_FILE=/run/secrets/mailshim.key'");
        }
        return text;
    }
    line("\"MAILSHIM_MAILBOX=$Mailbox\"");
    if cloud != "worldwide" {
        line(&quoted(&format!("MAILSHIM_CLOUD={cloud}")));
    }
    if has_application(set_up.way) {
        if !is_personal(set_up) {
            line("\"MAILSHIM_TENANT_ID=$TenantId\"");
        }
        line("\"MAILSHIM_CLIENT_ID=$ClientId\"");
    }
    match set_up.way {
        Way::Secret => text.push_str(
            "if ($NewSecret) {\n    Write-Output \"MAILSHIM_CLIENT_SECRET=$NewSecret\"\n\
             \x20   Write-Host 'Keep that value now: Entra does not show it again. Better than in a variable it is in a file: MAILSHIM_CLIENT_SECRET_FILE.'\n\
             } else {\n    Write-Host 'MAILSHIM_CLIENT_SECRET: as it was. If its value is lost, delete that secret in Entra, and run this again.'\n}\n",
        ),
        Way::Certificate => line("'MAILSHIM_CLIENT_CERTIFICATE_PATH=/run/secrets/mailshim.pem'"),
        Way::Workload => text.push_str(
            "Write-Host 'In the cluster: annotate the service account with azure.workload.identity/client-id, that client id, and label the pod azure.workload.identity/use: \"true\". AKS then sets all but MAILSHIM_MAILBOX.'\n",
        ),
        Way::Managed => line(if set_up.client_id.is_some() {
            "\"MAILSHIM_MANAGED_IDENTITY=$ClientId\""
        } else {
            "'MAILSHIM_MANAGED_IDENTITY=system'"
        }),
        Way::Refresh => {
            line("'MAILSHIM_REFRESH_TOKEN_FILE=/var/lib/mailshim/token'");
            text.push_str("Write-Host 'Then, where mailshim runs: mailshim login'\n");
        }
        Way::Password => text.push_str("Write-Host 'And MAILSHIM_PASSWORD, or better MAILSHIM_PASSWORD_FILE.'\n"),
        Way::None => {}
    }
    for domain in &set_up.sender_domains {
        let words = match right(set_up) {
            Right::Role => format!(
                "MAILSHIM_LOGIN_AS_SENDER names *@{domain}: put those mailboxes into the group yourself, with Add-DistributionGroupMember."
            ),
            _ => format!(
                "MAILSHIM_LOGIN_AS_SENDER names *@{domain}: give the application FullAccess to those mailboxes yourself."
            ),
        };
        text.push_str(&format!("Write-Warning {}\n", quoted(&words)));
    }
    text.push_str(match right(set_up) {
        Right::Role => {
            "Write-Host 'Exchange takes 30 minutes to 2 hours until the sign-in holds, whatever the test above says. Then: mailshim check'\n"
        }
        Right::Consent => "Write-Host 'Exchange takes up to an hour until the sign-in holds. Then: mailshim check'\n",
        Right::HighVolume | Right::None => "Write-Host 'Then: mailshim check'\n",
    });
    text
}

/// What is not taken back, and how to.
pub(super) fn undone(set_up: &SetUp) -> String {
    let mut text = String::from("Write-Host 'Done.'\n");
    if is_personal(set_up) || set_up.way == Way::None {
        return text;
    }
    let mut say = |words: &str| text.push_str(&format!("Write-Host {words}\n"));
    if right(set_up) != Right::HighVolume {
        say(
            "\"Left as it is, since others may need it: the mailbox $Mailbox with its mail, and its SMTP AUTH.\"",
        );
        say(
            "'To give SMTP AUTH back to the setting of the tenant: Set-CASMailbox -Identity ADDRESS -SmtpClientAuthenticationDisabled $null'",
        );
    }
    if set_up.from.is_some() {
        say("'Send As on MAILSHIM_FROM is left: Remove-RecipientPermission takes it back.'");
    }
    if matches!(right(set_up), Right::Consent | Right::HighVolume) {
        say(
            "\"Of an application that this script did not make, the permission $Permission is left: revoke it in Entra > Enterprise applications > Permissions.\"",
        );
    }
    text
}
