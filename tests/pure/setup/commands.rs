//! What Microsoft documents: each cmdlet with the parameters that the scripts use, each command of the Azure CLI with its
//! flags. A name that stands in none of the lists fails.

use super::grammar::Command;

type List = &'static [(&'static str, &'static [&'static str])];

/// Exchange Online, parameters that are "Applicable: Exchange Online": MicrosoftDocs/office-docs-powershell,
/// exchange/exchange-ps/ExchangePowerShell/<cmdlet>.md, commit 93336da2 of 2026-08-21.
#[rustfmt::skip]
const EXCHANGE: List = &[
    ("Connect-ExchangeOnline", &["ShowBanner"]),
    ("Disconnect-ExchangeOnline", &["Confirm"]),
    ("Get-OrganizationConfig", &[]),
    ("Enable-OrganizationCustomization", &["Confirm"]),
    ("Get-Recipient", &["Filter"]),
    ("Get-Mailbox", &["ResultSize"]),
    ("New-Mailbox", &["DisplayName", "Name", "PrimarySmtpAddress", "Shared"]),
    ("Get-ServicePrincipal", &[]),
    ("New-ServicePrincipal", &["AppId", "DisplayName", "ObjectId"]),
    ("Remove-ServicePrincipal", &["Confirm", "Identity"]),
    ("Get-DistributionGroup", &["Filter"]),
    ("New-DistributionGroup", &["Alias", "MemberDepartRestriction", "MemberJoinRestriction", "Members", "Name", "Notes", "Type"]),
    ("Set-DistributionGroup", &["HiddenFromAddressListsEnabled", "Identity"]),
    ("Remove-DistributionGroup", &["Confirm", "Identity"]),
    ("Get-DistributionGroupMember", &["Identity", "ResultSize"]),
    ("Add-DistributionGroupMember", &["Identity", "Member"]),
    ("Get-Group", &["Identity"]),
    ("Get-ManagementRoleAssignment", &["Role"]),
    ("New-ManagementRoleAssignment", &["App", "Name", "RecipientGroupScope", "Role"]),
    ("Remove-ManagementRoleAssignment", &["Confirm", "Identity"]),
    ("Test-ServicePrincipalAuthorization", &["Identity", "Resource"]),
    ("Get-CASMailbox", &["Identity"]),
    ("Set-CASMailbox", &["Identity", "SmtpClientAuthenticationDisabled"]),
    ("Get-MailboxPermission", &["Identity", "User"]),
    ("Add-MailboxPermission", &["AccessRights", "AutoMapping", "Identity", "User"]),
    ("Remove-MailboxPermission", &["AccessRights", "Confirm", "Identity", "User"]),
    ("Get-RecipientPermission", &["Identity", "Trustee"]),
    ("Add-RecipientPermission", &["AccessRights", "Confirm", "Identity", "Trustee"]),
    ("Remove-RecipientPermission", &["AccessRights", "Confirm", "Identity", "Trustee"]),
    ("Get-AcceptedDomain", &[]),
    ("Get-InboundConnector", &[]),
    ("New-InboundConnector", &["Comment", "ConnectorType", "Name", "RequireTls", "SenderDomains", "SenderIPAddresses", "TlsSenderCertificateName"]),
    ("Remove-InboundConnector", &["Confirm", "Identity"]),
    ("Add-HVEAppAccess", &["AppIds", "Confirm", "Identity"]),
];

/// Microsoft Graph PowerShell 2: learn.microsoft.com/powershell/module/microsoft.graph.applications and
/// microsoft.graph.authentication; the parameters are the properties of the resources application, servicePrincipal,
/// appRoleAssignment and federatedIdentityCredential of Graph 1.0.
#[rustfmt::skip]
const GRAPH: List = &[
    ("Connect-MgGraph", &["ContextScope", "Environment", "NoWelcome", "Scopes", "TenantId"]),
    ("Get-MgContext", &[]),
    ("Get-MgApplication", &["All", "Filter"]),
    ("New-MgApplication", &["DisplayName", "Notes", "SignInAudience"]),
    ("Update-MgApplication", &["ApplicationId", "IsFallbackPublicClient", "KeyCredentials", "RequiredResourceAccess"]),
    ("Remove-MgApplication", &["ApplicationId"]),
    ("Add-MgApplicationPassword", &["ApplicationId", "PasswordCredential"]),
    ("Remove-MgApplicationPassword", &["ApplicationId", "KeyId"]),
    ("Get-MgApplicationFederatedIdentityCredential", &["All", "ApplicationId"]),
    ("New-MgApplicationFederatedIdentityCredential", &["ApplicationId", "BodyParameter"]),
    ("Remove-MgApplicationFederatedIdentityCredential", &["ApplicationId", "FederatedIdentityCredentialId"]),
    ("Get-MgServicePrincipal", &["All", "Filter"]),
    ("New-MgServicePrincipal", &["AppId", "Notes"]),
    ("Get-MgServicePrincipalAppRoleAssignment", &["All", "ServicePrincipalId"]),
    ("New-MgServicePrincipalAppRoleAssignment", &["AppRoleId", "PrincipalId", "ResourceId", "ServicePrincipalId"]),
];

/// PowerShell 7 itself: learn.microsoft.com/powershell/module/microsoft.powershell.core, .utility and .management.
#[rustfmt::skip]
const POWERSHELL: List = &[
    ("Where-Object", &[]),
    ("Write-Host", &[]),
    ("Write-Output", &[]),
    ("Write-Warning", &[]),
    ("Get-Date", &[]),
    ("New-TemporaryFile", &[]),
    ("ConvertTo-Json", &[]),
    ("ConvertFrom-Json", &[]),
    ("Resolve-Path", &["Path"]),
    ("Set-Content", &["Path"]),
    ("Remove-Item", &["Path"]),
];

/// The Azure CLI: learn.microsoft.com/cli/azure/ad, /account, /cloud and /reference-index (rest).
#[rustfmt::skip]
const AZ: List = &[
    ("cloud set", &["--name"]),
    ("account show", &["--output"]),
    ("ad app show", &["--id", "--output"]),
    ("ad app list", &["--filter", "--output"]),
    ("ad app create", &["--display-name", "--sign-in-audience", "--output"]),
    ("ad app update", &["--id", "--set", "--is-fallback-public-client"]),
    ("ad app delete", &["--id"]),
    ("ad app credential list", &["--id", "--cert", "--output"]),
    ("ad app credential reset", &["--id", "--append", "--cert", "--display-name", "--years", "--query", "--output"]),
    ("ad app credential delete", &["--id", "--key-id", "--cert"]),
    ("ad app federated-credential list", &["--id", "--output"]),
    ("ad app federated-credential create", &["--id", "--parameters"]),
    ("ad app federated-credential delete", &["--id", "--federated-credential-id"]),
    ("ad app permission add", &["--id", "--api", "--api-permissions"]),
    ("ad sp show", &["--id", "--output"]),
    ("ad sp list", &["--all", "--filter", "--output"]),
    ("ad sp create", &["--id", "--output"]),
    ("rest", &["--method", "--url", "--body", "--output"]),
];

/// Of every cmdlet (about_CommonParameters).
const COMMON: [&str; 2] = ["ErrorAction", "WarningAction"];

fn find(list: List, name: &str) -> Option<&'static [&'static str]> {
    list.iter().find(|(known, _)| *known == name).map(|(_, parameters)| *parameters)
}

/// Whether it is a cmdlet of one of Microsoft's modules, which talks to a service.
pub fn is_microsofts(name: &str) -> bool {
    find(EXCHANGE, name).or_else(|| find(GRAPH, name)).is_some_and(|_| name != "Get-MgContext")
}

/// What of a command no list knows.
pub fn unknown(command: &Command) -> Option<String> {
    if command.name == "Invoke-Az" {
        return unknown_az(command);
    }
    if command.name == "az" && command.words == ["@args"] {
        return None;
    }
    let lists = [EXCHANGE, GRAPH, POWERSHELL];
    let Some(known) = lists.iter().find_map(|list| find(list, &command.name)) else {
        return Some(command.name.clone());
    };
    let mut given = command.parameters.iter().map(String::as_str);
    given.find(|given| !COMMON.contains(given) && !known.contains(given)).map(str::to_string)
}

fn unknown_az(command: &Command) -> Option<String> {
    let words = command.words.join(" ") + " ";
    let row = AZ.iter().find(|(name, _)| words.starts_with(&format!("{name} ")));
    let Some((_, known)) = row else { return Some(words) };
    // The grammar takes a flag for a parameter.
    let mut flags = command.parameters.iter().map(|flag| format!("--{flag}"));
    flags.find(|flag| !known.contains(&flag.as_str()))
}
