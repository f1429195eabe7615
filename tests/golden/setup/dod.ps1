# Microsoft's side of mailshim: an application with a certificate (dod).
#
# It looks before it makes anything, stops at the first error, and can be run again: what is there stays as it is.
# What it makes is marked; mailshim setup --undo prints the script that takes that back, and nothing else.
#
# PowerShell 7 or later. Run it as a file, or paste it whole. Once, before:
#   Install-Module ExchangeOnlineManagement, Microsoft.Graph.Applications -Scope CurrentUser
# Where the two modules do not bear each other in one session: mailshim setup --az.
# The key is made where mailshim runs, and never leaves it; only mailshim.crt is needed here:
#   openssl req -x509 -newkey rsa:2048 -sha256 -days 730 -nodes -subj /CN=mailshim -keyout mailshim.key -out mailshim.crt
#   cat mailshim.crt mailshim.key > mailshim.pem && chmod 600 mailshim.pem && rm mailshim.key
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
$CertificateFile = 'mailshim.crt'

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

# Only the certificate goes to Entra, never the key. The ones that are there stay.
$Certificate = [System.Security.Cryptography.X509Certificates.X509Certificate2]::new((Resolve-Path -Path $CertificateFile -ErrorAction Stop).Path)
$Thumbprint = [System.Convert]::ToBase64String($Certificate.GetCertHash())
$Known = @($App.KeyCredentials | Where-Object { $_.CustomKeyIdentifier -and [System.Convert]::ToBase64String($_.CustomKeyIdentifier) -eq $Thumbprint })
if ($Known.Count -eq 0) {
    Write-Host 'Entra: upload the certificate'
    $Keys = @($App.KeyCredentials) + @(@{ type = 'AsymmetricX509Cert'; usage = 'Verify'; displayName = $Mark; key = $Certificate.GetRawCertData() })
    Update-MgApplication -ApplicationId $App.Id -KeyCredentials $Keys -ErrorAction Stop
}

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
Write-Output 'MAILSHIM_CLOUD=dod'
Write-Output "MAILSHIM_TENANT_ID=$TenantId"
Write-Output "MAILSHIM_CLIENT_ID=$ClientId"
Write-Output 'MAILSHIM_CLIENT_CERTIFICATE_PATH=/run/secrets/mailshim.pem'
Write-Host 'Exchange takes up to an hour until the sign-in holds. Then: mailshim check'
}
