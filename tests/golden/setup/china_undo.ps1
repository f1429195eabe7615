# Takes back Microsoft's side of mailshim: a managed identity (china).
#
# It touches only what carries the mark of the script that mailshim setup prints, and stops at the first error.
#
# PowerShell 7 or later. Run it as a file, or paste it whole. Once, before:
#   Install-Module ExchangeOnlineManagement -Scope CurrentUser
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
$GraphTenant = @{ TenantId = 'contoso.onmicrosoft.com' }
$GraphCloud = 'China'
$GraphScopes = @('Application.ReadWrite.All', 'AppRoleAssignment.ReadWrite.All')
$Audience = 'AzureADMyOrg'
$Permission = 'SMTP.SendAsApp'
$ExchangeCloud = @{ ExchangeEnvironmentName = 'O365China' }

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

Write-Host 'Done.'
Write-Host "Left as it is, since others may need it: the mailbox $Mailbox with its mail, and its SMTP AUTH."
Write-Host 'To give SMTP AUTH back to the setting of the tenant: Set-CASMailbox -Identity ADDRESS -SmtpClientAuthenticationDisabled $null'
Write-Host "Of an application that this script did not make, the permission $Permission is left: revoke it in Entra > Enterprise applications > Permissions."
}
