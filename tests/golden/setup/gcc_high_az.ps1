# Microsoft's side of mailshim: an application with a client secret (gcc-high).
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
$AzCloud = 'AzureUSGovernment'
$GraphUrl = 'https://graph.microsoft.us'
$Audience = 'AzureADMyOrg'
$Permission = 'SMTP.SendAsApp'
$ExchangeCloud = @{ ExchangeEnvironmentName = 'O365USGovGCCHigh' }

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

# The Enterprise application: its Object ID is the one that Exchange wants, never the App registration's.
$Enterprise = @(Invoke-Az ad sp list --filter "appId eq '$ClientId'" --output json | ConvertFrom-Json)
if ($Enterprise.Count -eq 0) {
    Write-Host 'Entra: make the Enterprise application'
    $Enterprise = @(Invoke-Az ad sp create --id $ClientId --output json | ConvertFrom-Json)
}
$ObjectId = $Enterprise[0].id

# The API permission with admin consent: this cloud has no RBAC for Applications.
$Exchange = Invoke-Az ad sp show --id '00000002-0000-0ff1-ce00-000000000000' --output json | ConvertFrom-Json
$AppRole = $Exchange.appRoles | Where-Object { $_.value -eq $Permission -and $_.allowedMemberTypes -contains 'Application' }
if (-not $AppRole) { throw "Office 365 Exchange Online has no application permission $Permission here." }
$Assignments = "$GraphUrl/v1.0/servicePrincipals/$ObjectId/appRoleAssignments"
$Granted = (Invoke-Az rest --method 'get' --url $Assignments --output json | ConvertFrom-Json).value
if (@($Granted | Where-Object { $_.appRoleId -eq $AppRole.id -and $_.resourceId -eq $Exchange.id }).Count -eq 0) {
    Write-Host "Entra: grant $Permission to the application"
    $File = New-TemporaryFile
    @{ principalId = $ObjectId; resourceId = $Exchange.id; appRoleId = $AppRole.id } | ConvertTo-Json | Set-Content -Path $File -ErrorAction Stop
    $null = Invoke-Az rest --method 'post' --url $Assignments --body "@$File"
    Remove-Item -Path $File -ErrorAction Stop
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

# Entra shows a secret's value only once, when it makes it: one of an earlier run is not shown again.
$NewSecret = $null
$Secrets = @(Invoke-Az ad app credential list --id $ClientId --output json | ConvertFrom-Json)
if (@($Secrets | Where-Object { $_.displayName -eq $Mark -and [datetime]$_.endDateTime -gt (Get-Date) }).Count -eq 0) {
    Write-Host 'Entra: make a client secret, good for a year'
    $NewSecret = Invoke-Az ad app credential reset --id $ClientId --append --display-name $Mark --years 1 --query 'password' --output tsv
}

Write-Host 'Done. The variables of mailshim:'
Write-Output "MAILSHIM_MAILBOX=$Mailbox"
Write-Output 'MAILSHIM_CLOUD=gcc-high'
Write-Output "MAILSHIM_TENANT_ID=$TenantId"
Write-Output "MAILSHIM_CLIENT_ID=$ClientId"
if ($NewSecret) {
    Write-Output "MAILSHIM_CLIENT_SECRET=$NewSecret"
    Write-Host 'Keep that value now: Entra does not show it again. Better than in a variable it is in a file: MAILSHIM_CLIENT_SECRET_FILE.'
} else {
    Write-Host 'MAILSHIM_CLIENT_SECRET: as it was. If its value is lost, delete that secret in Entra, and run this again.'
}
Write-Host 'Exchange takes up to an hour until the sign-in holds. Then: mailshim check'
}
