//! The head of the script: what is told before anything is done, and the values, each quoted.

use super::cloud::cloud_names;
use super::plan::{Right, Task, Tool, has_application, is_personal, right};
use crate::cli::powershell::{in_filter, quoted};
use crate::config::{SetUp, Way};

/// What everything that the script makes is marked with.
const MARK: &str = "mailshim-setup";
/// Longest name of a group, a role assignment or a connector.
const LONGEST_NAME: usize = 64;

/// What is told before anything is done, and the values.
pub(super) fn head(set_up: &SetUp, task: Task, tool: Tool) -> String {
    let way = match set_up.way {
        Way::Secret => "an application with a client secret",
        Way::Certificate => "an application with a certificate",
        Way::Workload => "an application with workload identity",
        Way::Managed => "a managed identity",
        Way::Refresh => "a person's sign-in",
        Way::Password => "the mailbox's password",
        Way::None if set_up.by_certificate => "a connector that knows us by certificate",
        Way::None => "a connector that knows us by address",
    };
    let entra = has_application(set_up.way) || set_up.way == Way::Managed && task == Task::Make;
    let mut text = match task {
        Task::Make => format!("# Microsoft's side of mailshim: {way} ({}).\n", set_up.cloud.name),
        Task::Undo => format!("# Takes back Microsoft's side of mailshim: {way} ({}).\n", set_up.cloud.name),
    };
    let modules = match (entra, tool, is_personal(set_up)) {
        (true, Tool::Graph, true) => "Microsoft.Graph.Applications",
        (true, Tool::Graph, false) => "ExchangeOnlineManagement, Microsoft.Graph.Applications",
        _ => "ExchangeOnlineManagement",
    };
    text.push_str(match task {
        Task::Make => {
            "#\n# It looks before it makes anything, stops at the first error, and can be run again: what is there stays as it is.\n\
             # What it makes is marked; mailshim setup --undo prints the script that takes that back, and nothing else.\n"
        }
        Task::Undo => {
            "#\n# It touches only what carries the mark of the script that mailshim setup prints, and stops at the first error.\n"
        }
    });
    text.push_str("#\n# PowerShell 7 or later. Run it as a file, or paste it whole. ");
    if tool == Tool::Az && entra {
        text.push_str("Before it: az login (Azure Cloud Shell has done that). ");
    }
    text.push_str("Once, before:\n");
    if !(tool == Tool::Az && is_personal(set_up)) {
        text.push_str(&format!("#   Install-Module {modules} -Scope CurrentUser\n"));
    }
    if entra && tool == Tool::Graph && !is_personal(set_up) {
        text.push_str(
            "# Where the two modules do not bear each other in one session: mailshim setup --az.\n",
        );
    }
    if task == Task::Make {
        before(set_up, &mut text);
    }
    text.push_str("& {\n$ErrorActionPreference = 'Stop'\n");
    values(set_up, task, tool, &mut text);
    text
}

/// What a person must do first.
fn before(set_up: &SetUp, text: &mut String) {
    match set_up.way {
        Way::Certificate => text.push_str(
            "# The key is made where mailshim runs, and never leaves it; only mailshim.crt is needed here:\n\
             #   openssl req -x509 -newkey rsa:2048 -sha256 -days 730 -nodes -subj /CN=mailshim -keyout mailshim.key -out mailshim.crt\n\
             #   cat mailshim.crt mailshim.key > mailshim.pem && chmod 600 mailshim.pem && rm mailshim.key\n",
        ),
        Way::Workload => text.push_str(
            "# Fill in $Issuer and $Subject below. The issuer, with its final slash, is printed by:\n\
             #   az aks show --resource-group GROUP --name CLUSTER --query oidcIssuerProfile.issuerUrl --output tsv\n",
        ),
        Way::Managed if set_up.client_id.is_none() => text.push_str(
            "# Fill in $Identity below: the name of the machine, app or container app whose identity it is.\n",
        ),
        Way::None if !set_up.by_certificate => text.push_str(
            "# Fill in $PublicAddress below: yours alone, IPv4, the one that mailshim check prints in the rung ehlo.\n",
        ),
        Way::None => text.push_str(
            "# The certificate must be of a public authority, and its name in an accepted domain of the tenant.\n",
        ),
        Way::Password => text.push_str(
            "# Microsoft ends passwords for SMTP AUTH: off by default from the end of December 2026. Take another way if you can.\n",
        ),
        _ => {}
    }
}

/// The values, each quoted.
fn values(set_up: &SetUp, task: Task, tool: Tool, text: &mut String) {
    let mut set = |name: &str, value: &str| text.push_str(&format!("${name} = {value}\n"));
    let name = name(&set_up.mailbox);
    let cloud = cloud_names(set_up.cloud.name);
    set("Mark", &quoted(MARK));
    set("Name", &quoted(&name));
    set("NameInFilter", &quoted(&in_filter(&name)));
    set("Alias", &quoted(&alias(&set_up.mailbox)));
    set("Mailbox", &quoted(&set_up.mailbox));
    if set_up.way == Way::None {
        let domain = set_up.mailbox.rsplit('@').next().unwrap_or_default();
        set("Domain", &quoted(domain));
        if set_up.by_certificate {
            set("CertificateName", &quoted(set_up.hostname.as_deref().unwrap_or(domain)));
        } else if task == Task::Make {
            set("PublicAddress", &quoted(FILL_IN));
        }
    } else {
        let mut senders = vec![set_up.mailbox.as_str()];
        senders.extend(set_up.senders.iter().map(String::as_str));
        let list: Vec<_> = senders.iter().map(|sender| quoted(&in_filter(sender))).collect();
        set("MailboxInFilter", &quoted(&in_filter(&set_up.mailbox)));
        set("SendersInFilter", &format!("@({})", list.join(", ")));
    }
    if let Some(from) = &set_up.from {
        set("From", &quoted(from));
    }
    if has_application(set_up.way) || set_up.way == Way::Managed {
        let id = set_up.client_id.as_deref().map_or("$null".to_string(), quoted);
        set("ClientId", &id);
        let tenant = set_up.tenant.as_deref().filter(|_| !is_personal(set_up)).map(quoted);
        match tool {
            Tool::Graph => {
                set("GraphTenant", &tenant.map_or("@{}".to_string(), |id| format!("@{{ TenantId = {id} }}")));
                set("GraphCloud", &quoted(cloud.graph));
                let scopes = match right(set_up) {
                    Right::Consent | Right::HighVolume => {
                        "@('Application.ReadWrite.All', 'AppRoleAssignment.ReadWrite.All')"
                    }
                    _ => "@('Application.ReadWrite.All')",
                };
                set("GraphScopes", scopes);
            }
            Tool::Az => {
                set("TenantWanted", &tenant.unwrap_or_else(|| "$null".to_string()));
                set("AzCloud", &quoted(cloud.az));
                set("GraphUrl", &quoted(cloud.graph_url));
            }
        }
        let audience =
            if is_personal(set_up) { "AzureADandPersonalMicrosoftAccount" } else { "AzureADMyOrg" };
        set("Audience", &quoted(audience));
    }
    match right(set_up) {
        Right::Role => set("Role", "'Application SMTP.SendAsApp'"),
        Right::Consent => set("Permission", "'SMTP.SendAsApp'"),
        Right::HighVolume => set("Permission", "'Mail.Send'"),
        Right::None => {}
    }
    if !is_personal(set_up) {
        let environment = cloud.exchange.map(|name| format!("ExchangeEnvironmentName = {}", quoted(name)));
        set("ExchangeCloud", &environment.map_or("@{}".to_string(), |name| format!("@{{ {name} }}")));
    }
    if task == Task::Make {
        match set_up.way {
            Way::Certificate => set("CertificateFile", "'mailshim.crt'"),
            Way::Workload => {
                set("Issuer", &quoted(FILL_IN));
                set("Subject", "'system:serviceaccount:NAMESPACE:SERVICE-ACCOUNT'");
            }
            Way::Managed => {
                let identity = if set_up.client_id.is_some() { "$null".to_string() } else { quoted(FILL_IN) };
                set("Identity", &identity);
            }
            _ => {}
        }
    }
    let blank = match (task, set_up.way) {
        (Task::Make, Way::None) if !set_up.by_certificate => Some("PublicAddress"),
        (Task::Make, Way::Workload) => Some("Issuer"),
        (Task::Make, Way::Managed) if set_up.client_id.is_none() => Some("Identity"),
        _ => None,
    };
    if let Some(name) = blank {
        text.push_str(&format!("if (${name} -eq '{FILL_IN}') {{ throw 'Fill in ${name} above.' }}\n"));
    }
    if task == Task::Make && set_up.way == Way::Workload {
        text.push_str(
            "if ($Subject -clike '*NAMESPACE*') { throw 'Fill in $Subject above: the namespace and the service account of the pod.' }\n",
        );
    }
    if task == Task::Make && set_up.way == Way::Managed {
        text.push_str("$IdentityInFilter = \"$Identity\".Replace(\"'\", \"''\")\n");
    }
}

/// What a person must write in its place.
const FILL_IN: &str = "FILL IN";

fn name(mailbox: &str) -> String {
    format!("mailshim {mailbox}").chars().take(LONGEST_NAME).collect()
}

/// A name for where no `@` or blank is allowed.
fn alias(mailbox: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    format!("mailshim-{mailbox}").chars().map(plain).take(LONGEST_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_enough() {
        let long = format!("{}@contoso.com", "x".repeat(64));
        assert_eq!((name(&long).len(), alias(&long).len()), (64, 64));
        assert_eq!(alias("No.Reply@Contoso.com"), "mailshim-no-reply-contoso-com");
    }
}
