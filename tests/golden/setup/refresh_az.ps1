# Microsoft's side of mailshim: a person's sign-in (worldwide).
#
# It looks before it makes anything, stops at the first error, and can be run again: what is there stays as it is.
# What it makes is marked; mailshim setup --undo prints the script that takes that back, and nothing else.
#
# PowerShell 7 or later. Run it as a file, or paste it whole. Before it: az login (Azure Cloud Shell has done that). Once, before:
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
$TenantWanted = $null
$AzCloud = 'AzureCloud'
$GraphUrl = 'https://graph.microsoft.com'
$Audience = 'AzureADMyOrg'
$ExchangeCloud = @{}

# az is a program of its own: it does not throw, it ends with a number.
function Invoke-Az {
    $Answer = az @args
    if ($LASTEXITCODE -ne 0) { throw "az failed: az $args" }
    $Answer
}
$null = Invoke-Az cloud set --name $AzCloud
$Account = Invoke-Az account show --output json | ConvertFrom-Json
if ($TenantWanted -and $TenantWanted -ne $Account.tenantId -and $TenantWanted -ne $Account.tenantDefaultDomain) {
    throw "az is signed in to the tenant $($Account.tenantId): az login --tenant $TenantWanted --allow-no-subscriptions"
}
$TenantId = $Account.tenantId

# The application: the one of $ClientId, or one of our own.
if ($ClientId) {
    $App = Invoke-Az ad app show --id $ClientId --output json | ConvertFrom-Json
} else {
    $App = @(Invoke-Az ad app list --filter "displayName eq '$NameInFilter'" --output json | ConvertFrom-Json | Where-Object { $_.notes -eq $Mark })
    if ($App.Count -gt 1) { throw "There are several App registrations named $Name`: set MAILSHIM_CLIENT_ID to the one that counts." }
    if ($App.Count -eq 0) {
        Write-Host "Entra: register the application $Name"
        $App = @(Invoke-Az ad app create --display-name $Name --sign-in-audience $Audience --output json | ConvertFrom-Json)
        $null = Invoke-Az ad app update --id $App[0].appId --set "notes=$Mark"
    }
    $App = $App[0]
}
$ClientId = $App.appId

# A person signs in to it with a code, so it is a public client, and asks for SMTP.Send on that person's behalf.
$Graph = Invoke-Az ad sp show --id '00000003-0000-0000-c000-000000000000' --output json | ConvertFrom-Json
$Scope = $Graph.oauth2PermissionScopes | Where-Object { $_.value -eq 'SMTP.Send' }
if (-not $App.isFallbackPublicClient) {
    Write-Host 'Entra: allow a sign-in with a code'
    $null = Invoke-Az ad app update --id $ClientId --is-fallback-public-client 'true'
}
if (@($App.requiredResourceAccess.resourceAccess.id) -notcontains $Scope.id) {
    Write-Host 'Entra: ask for SMTP.Send'
    $null = Invoke-Az ad app permission add --id $ClientId --api $Graph.appId --api-permissions "$($Scope.id)=Scope"
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

Disconnect-ExchangeOnline -Confirm:$false -ErrorAction Stop

Write-Host 'Done. The variables of mailshim:'
Write-Output "MAILSHIM_MAILBOX=$Mailbox"
Write-Output "MAILSHIM_TENANT_ID=$TenantId"
Write-Output "MAILSHIM_CLIENT_ID=$ClientId"
Write-Output 'MAILSHIM_REFRESH_TOKEN_FILE=/var/lib/mailshim/token'
Write-Host 'Then, where mailshim runs: mailshim login'
Write-Host 'Then: mailshim check'
}
