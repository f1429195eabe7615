# Takes back Microsoft's side of mailshim: an application with a certificate (dod).
#
# It touches only what carries the mark of the script that mailshim setup prints, and stops at the first error.
#
# PowerShell 7 or later. Run it as a file, or paste it whole. Once, before:
#   Install-Module ExchangeOnlineManagement, Microsoft.Graph.Applications -Scope CurrentUser
# Where the two modules do not bear each other in one session: mailshim setup --az.
& {
$ErrorActionPreference = 'Stop'
$Mark = 'mailshim-setup'
$Name = 'mailshim noreply@contoso.com'
$NameInFilter = 'mailshim noreply@contoso.com'
$Alias = 'mailshim-noreply-contoso-com'
$Mailbox = 'noreply@contoso.com'
$MailboxInFilter = 'noreply@contoso.com'
$SendersInFilter = @('noreply@contoso.com')
$ClientId = $null
$GraphTenant = @{}
$GraphCloud = 'USGovDoD'
$GraphScopes = @('Application.ReadWrite.All', 'AppRoleAssignment.ReadWrite.All')
$Audience = 'AzureADMyOrg'
$Permission = 'SMTP.SendAsApp'
$ExchangeCloud = @{ ExchangeEnvironmentName = 'O365USGovDoD' }

Write-Host 'Exchange: sign in as an Exchange administrator'
Connect-ExchangeOnline @ExchangeCloud -ShowBanner:$false -ErrorAction Stop

# The permission is taken back only of an application that this script made known to Exchange.
foreach ($Pointer in @(Get-ServicePrincipal -ErrorAction Stop | Where-Object { $_.DisplayName -eq $Name })) {
    foreach ($Filter in $SendersInFilter) {
        foreach ($One in @(Get-Recipient -Filter "EmailAddresses -eq 'smtp:$Filter'" -ErrorAction Stop)) {
            Write-Host "Exchange: take back FullAccess to $($One.PrimarySmtpAddress)"
            Remove-MailboxPermission -Identity $One.DistinguishedName -User $Pointer.ObjectId -AccessRights 'FullAccess' -Confirm:$false -ErrorAction Stop
        }
    }
}

foreach ($One in @(Get-ServicePrincipal -ErrorAction Stop | Where-Object { $_.DisplayName -eq $Name })) {
    Write-Host 'Exchange: forget the application'
    Remove-ServicePrincipal -Identity $One.ObjectId -Confirm:$false -ErrorAction Stop
}

Disconnect-ExchangeOnline -Confirm:$false -ErrorAction Stop

Write-Host 'Entra: sign in as somebody who may register applications'
Connect-MgGraph @GraphTenant -Environment $GraphCloud -Scopes $GraphScopes -ContextScope 'Process' -NoWelcome -ErrorAction Stop
$TenantId = (Get-MgContext).TenantId

# Of an application of yours only what was added; our own goes whole, and its Enterprise application with it.
$Ours = @(Get-MgApplication -Filter "displayName eq '$NameInFilter'" -All -ErrorAction Stop | Where-Object { $_.Notes -eq $Mark })
$Yours = @(if ($ClientId) { Get-MgApplication -Filter "appId eq '$ClientId'" -All -ErrorAction Stop | Where-Object { $_.Notes -ne $Mark } })
foreach ($App in $Yours) {
    foreach ($Secret in @($App.PasswordCredentials | Where-Object { $_.DisplayName -eq $Mark })) {
        Write-Host 'Entra: remove the client secret'
        Remove-MgApplicationPassword -ApplicationId $App.Id -KeyId $Secret.KeyId -ErrorAction Stop
    }
    $Federated = @(Get-MgApplicationFederatedIdentityCredential -ApplicationId $App.Id -All -ErrorAction Stop | Where-Object { $_.Description -eq $Mark })
    foreach ($Credential in $Federated) {
        Write-Host 'Entra: remove the federated credential'
        Remove-MgApplicationFederatedIdentityCredential -ApplicationId $App.Id -FederatedIdentityCredentialId $Credential.Id -ErrorAction Stop
    }
}
foreach ($App in $Ours) {
    Write-Host "Entra: remove the application $Name"
    Remove-MgApplication -ApplicationId $App.Id -ErrorAction Stop
}

Write-Host 'Done.'
Write-Host "Left as it is, since others may need it: the mailbox $Mailbox with its mail, and its SMTP AUTH."
Write-Host 'To give SMTP AUTH back to the setting of the tenant: Set-CASMailbox -Identity ADDRESS -SmtpClientAuthenticationDisabled $null'
Write-Host "Of an application that this script did not make, the permission $Permission is left: revoke it in Entra > Enterprise applications > Permissions."
}
