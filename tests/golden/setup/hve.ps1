# Microsoft's side of mailshim: an application with a client secret (hve).
#
# It looks before it makes anything, stops at the first error, and can be run again: what is there stays as it is.
# What it makes is marked; mailshim setup --undo prints the script that takes that back, and nothing else.
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
$GraphCloud = 'Global'
$GraphScopes = @('Application.ReadWrite.All', 'AppRoleAssignment.ReadWrite.All')
$Audience = 'AzureADMyOrg'
$Permission = 'Mail.Send'
$ExchangeCloud = @{}

Write-Host 'Entra: sign in as somebody who may register applications'
Connect-MgGraph @GraphTenant -Environment $GraphCloud -Scopes $GraphScopes -ContextScope 'Process' -NoWelcome -ErrorAction Stop
$TenantId = (Get-MgContext).TenantId

# The application: the one of $ClientId, or one of our own.
if ($ClientId) {
    $App = @(Get-MgApplication -Filter "appId eq '$ClientId'" -All -ErrorAction Stop)
    if ($App.Count -ne 1) { throw "This tenant has no App registration with the Application (client) ID $ClientId." }
} else {
    $App = @(Get-MgApplication -Filter "displayName eq '$NameInFilter'" -All -ErrorAction Stop | Where-Object { $_.Notes -eq $Mark })
    if ($App.Count -gt 1) { throw "There are several App registrations named $Name`: set MAILSHIM_CLIENT_ID to the one that counts." }
    if ($App.Count -eq 0) {
        Write-Host "Entra: register the application $Name"
        $App = @(New-MgApplication -DisplayName $Name -SignInAudience $Audience -Notes $Mark -ErrorAction Stop)
    }
}
$App = $App[0]
$ClientId = $App.AppId

# The Enterprise application: its Object ID is the one that Exchange wants, never the App registration's.
$Enterprise = @(Get-MgServicePrincipal -Filter "appId eq '$ClientId'" -All -ErrorAction Stop)
if ($Enterprise.Count -eq 0) {
    Write-Host 'Entra: make the Enterprise application'
    $Enterprise = @(New-MgServicePrincipal -AppId $ClientId -Notes $Mark -ErrorAction Stop)
}
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

# High Volume Email: the account is made in the Exchange admin center (Mail flow), where its billing is, too.
Write-Host 'Exchange: let the application use the High Volume Email account'
Add-HVEAppAccess -Identity $Mailbox -AppIds $ClientId -Confirm:$false -ErrorAction Stop

Disconnect-ExchangeOnline -Confirm:$false -ErrorAction Stop

# Entra shows a secret's value only once, when it makes it: one of an earlier run is not shown again.
$NewSecret = $null
if (@($App.PasswordCredentials | Where-Object { $_.DisplayName -eq $Mark -and $_.EndDateTime -gt (Get-Date) }).Count -eq 0) {
    Write-Host 'Entra: make a client secret, good for a year'
    $Credential = @{ displayName = $Mark; endDateTime = (Get-Date).AddYears(1) }
    $NewSecret = (Add-MgApplicationPassword -ApplicationId $App.Id -PasswordCredential $Credential -ErrorAction Stop).SecretText
}

Write-Host 'Done. The variables of mailshim:'
Write-Output "MAILSHIM_MAILBOX=$Mailbox"
Write-Output 'MAILSHIM_CLOUD=hve'
Write-Output "MAILSHIM_TENANT_ID=$TenantId"
Write-Output "MAILSHIM_CLIENT_ID=$ClientId"
if ($NewSecret) {
    Write-Output "MAILSHIM_CLIENT_SECRET=$NewSecret"
    Write-Host 'Keep that value now: Entra does not show it again. Better than in a variable it is in a file: MAILSHIM_CLIENT_SECRET_FILE.'
} else {
    Write-Host 'MAILSHIM_CLIENT_SECRET: as it was. If its value is lost, delete that secret in Entra, and run this again.'
}
Write-Host 'Then: mailshim check'
}
