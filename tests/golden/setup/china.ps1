# Microsoft's side of mailshim: a managed identity (china).
#
# It looks before it makes anything, stops at the first error, and can be run again: what is there stays as it is.
# What it makes is marked; mailshim setup --undo prints the script that takes that back, and nothing else.
#
# PowerShell 7 or later. Run it as a file, or paste it whole. Once, before:
#   Install-Module ExchangeOnlineManagement, Microsoft.Graph.Applications -Scope CurrentUser
# Where the two modules do not bear each other in one session: mailshim setup --az.
# Fill in $Identity below: the name of the machine, app or container app whose identity it is.
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
$Identity = 'FILL IN'
if ($Identity -eq 'FILL IN') { throw 'Fill in $Identity above.' }
$IdentityInFilter = "$Identity".Replace("'", "''")

Write-Host 'Entra: sign in as somebody who may register applications'
Connect-MgGraph @GraphTenant -Environment $GraphCloud -Scopes $GraphScopes -ContextScope 'Process' -NoWelcome -ErrorAction Stop
$TenantId = (Get-MgContext).TenantId

# The identity that Azure made: its Enterprise application.
if ($ClientId) {
    $Enterprise = @(Get-MgServicePrincipal -Filter "appId eq '$ClientId'" -All -ErrorAction Stop)
} else {
    $Enterprise = @(Get-MgServicePrincipal -Filter "displayName eq '$IdentityInFilter' and servicePrincipalType eq 'ManagedIdentity'" -All -ErrorAction Stop)
}
if ($Enterprise.Count -ne 1) { throw "Entra has $($Enterprise.Count) managed identities of that name, not one." }
$ClientId = $Enterprise[0].AppId
$ObjectId = $Enterprise[0].Id

# The API permission with admin consent: this cloud has no RBAC for Applications.
$Exchange = @(Get-MgServicePrincipal -Filter "appId eq '00000002-0000-0ff1-ce00-000000000000'" -All -ErrorAction Stop)[0]
$AppRole = $Exchange.AppRoles | Where-Object { $_.Value -eq $Permission -and $_.AllowedMemberTypes -contains 'Application' }
if (-not $AppRole) { throw "Office 365 Exchange Online has no application permission $Permission here." }
$Granted = @(Get-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $ObjectId -All -ErrorAction Stop)
if (@($Granted | Where-Object { $_.AppRoleId -eq $AppRole.Id -and $_.ResourceId -eq $Exchange.Id }).Count -eq 0) {
    Write-Host "Entra: grant $Permission to the application"
    $null = New-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $ObjectId -PrincipalId $ObjectId -ResourceId $Exchange.Id -AppRoleId $AppRole.Id -ErrorAction Stop
}

Write-Host 'Exchange: sign in as an Exchange administrator'
Connect-ExchangeOnline @ExchangeCloud -ShowBanner:$false -ErrorAction Stop

# The mailbox. A shared one needs no licence, and nobody signs in to it with a password.
if (@(Get-Recipient -Filter "EmailAddresses -eq 'smtp:$MailboxInFilter'" -ErrorAction Stop).Count -eq 0) {
    Write-Host "Exchange: make the shared mailbox $Mailbox"
    $null = New-Mailbox -Shared -Name $Name -DisplayName $Mailbox -PrimarySmtpAddress $Mailbox -ErrorAction Stop
}

# Every mailbox that signs in, as Exchange knows it.
$Mailboxes = @(foreach ($Filter in $SendersInFilter) {
    $Found = @(Get-Recipient -Filter "EmailAddresses -eq 'smtp:$Filter'" -ErrorAction Stop | Where-Object { $_.RecipientTypeDetails -like '*Mailbox' })
    if ($Found.Count -ne 1) { throw "$Filter is not the address of a mailbox in this tenant." }
    $Found[0]
})

# This switch stops OAuth, too. The mailbox's setting beats the tenant's.
foreach ($One in $Mailboxes) {
    $Setting = (Get-CASMailbox -Identity $One.DistinguishedName -ErrorAction Stop).SmtpClientAuthenticationDisabled
    if ($Setting -ne $false -or $null -eq $Setting) {
        Write-Host "Exchange: allow SMTP AUTH for $($One.PrimarySmtpAddress)"
        Set-CASMailbox -Identity $One.DistinguishedName -SmtpClientAuthenticationDisabled $false -ErrorAction Stop
    }
}

# Exchange's own record of the application. (Listed and filtered: asked for a name that is not there, Exchange gives all.)
$Pointer = @(Get-ServicePrincipal -ErrorAction Stop | Where-Object { $_.AppId -eq $ClientId })
if ($Pointer.Count -gt 0 -and $Pointer[0].ObjectId -ne $ObjectId) {
    throw "Exchange has the application under the wrong Object ID, $($Pointer[0].ObjectId): Remove-ServicePrincipal -Identity '$($Pointer[0].ObjectId)', then run this again."
}
if ($Pointer.Count -eq 0) {
    Write-Host 'Exchange: make the application known'
    $null = New-ServicePrincipal -AppId $ClientId -ObjectId $ObjectId -DisplayName $Name -ErrorAction Stop
}

# With the API permission it is the mailbox's permission that says where the application may send from.
foreach ($One in $Mailboxes) {
    $Has = @(Get-MailboxPermission -Identity $One.DistinguishedName -User $ObjectId -ErrorAction Stop | Where-Object { $_.AccessRights -contains 'FullAccess' -and -not $_.Deny })
    if ($Has.Count -eq 0) {
        Write-Host "Exchange: give the application FullAccess to $($One.PrimarySmtpAddress)"
        $null = Add-MailboxPermission -Identity $One.DistinguishedName -User $ObjectId -AccessRights 'FullAccess' -AutoMapping $false -ErrorAction Stop
    }
}

Disconnect-ExchangeOnline -Confirm:$false -ErrorAction Stop

Write-Host 'Done. The variables of mailshim:'
Write-Output "MAILSHIM_MAILBOX=$Mailbox"
Write-Output 'MAILSHIM_CLOUD=china'
Write-Output 'MAILSHIM_MANAGED_IDENTITY=system'
Write-Host 'Exchange takes up to an hour until the sign-in holds. Then: mailshim check'
}
