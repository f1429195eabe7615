# Takes back Microsoft's side of mailshim: an application with a client secret (worldwide).
#
# It touches only what carries the mark of the script that mailshim setup prints, and stops at the first error.
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
$Role = 'Application SMTP.SendAsApp'
$ExchangeCloud = @{}

Write-Host 'Exchange: sign in as an Exchange administrator'
Connect-ExchangeOnline @ExchangeCloud -ShowBanner:$false -ErrorAction Stop

foreach ($One in @(Get-ManagementRoleAssignment -Role $Role -ErrorAction Stop | Where-Object { $_.Name -eq $Name })) {
    Write-Host 'Exchange: remove the role assignment'
    Remove-ManagementRoleAssignment -Identity $One.Name -Confirm:$false -ErrorAction Stop
}
foreach ($One in @(Get-DistributionGroup -Filter "Name -eq '$NameInFilter'" -ErrorAction Stop)) {
    if ((Get-Group -Identity $One.DistinguishedName -ErrorAction Stop).Notes -eq $Mark) {
        Write-Host 'Exchange: remove the group'
        Remove-DistributionGroup -Identity $One.DistinguishedName -Confirm:$false -ErrorAction Stop
    }
}

foreach ($One in @(Get-ServicePrincipal -ErrorAction Stop | Where-Object { $_.DisplayName -eq $Name })) {
    Write-Host 'Exchange: forget the application'
    Remove-ServicePrincipal -Identity $One.ObjectId -Confirm:$false -ErrorAction Stop
}

Disconnect-ExchangeOnline -Confirm:$false -ErrorAction Stop

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

# Of an application of yours only what was added; our own goes whole, and its Enterprise application with it.
$Ours = @(Invoke-Az ad app list --filter "displayName eq '$NameInFilter'" --output json | ConvertFrom-Json | Where-Object { $_.notes -eq $Mark })
$Yours = @(if ($ClientId) { Invoke-Az ad app list --filter "appId eq '$ClientId'" --output json | ConvertFrom-Json | Where-Object { $_.notes -ne $Mark } })
foreach ($App in $Yours) {
    $Secrets = @(Invoke-Az ad app credential list --id $App.appId --output json | ConvertFrom-Json | Where-Object { $_.displayName -eq $Mark })
    foreach ($Secret in $Secrets) {
        Write-Host 'Entra: remove the client secret'
        $null = Invoke-Az ad app credential delete --id $App.appId --key-id $Secret.keyId
    }
    $Keys = @(Invoke-Az ad app credential list --id $App.appId --cert --output json | ConvertFrom-Json | Where-Object { $_.displayName -eq $Mark })
    foreach ($Key in $Keys) {
        Write-Host 'Entra: remove the certificate'
        $null = Invoke-Az ad app credential delete --id $App.appId --key-id $Key.keyId --cert
    }
    $Federated = @(Invoke-Az ad app federated-credential list --id $App.appId --output json | ConvertFrom-Json | Where-Object { $_.description -eq $Mark })
    foreach ($Credential in $Federated) {
        Write-Host 'Entra: remove the federated credential'
        $null = Invoke-Az ad app federated-credential delete --id $App.appId --federated-credential-id $Credential.id
    }
}
foreach ($App in $Ours) {
    Write-Host "Entra: remove the application $Name"
    $null = Invoke-Az ad app delete --id $App.appId
}

Write-Host 'Done.'
Write-Host "Left as it is, since others may need it: the mailbox $Mailbox with its mail, and its SMTP AUTH."
Write-Host 'To give SMTP AUTH back to the setting of the tenant: Set-CASMailbox -Identity ADDRESS -SmtpClientAuthenticationDisabled $null'
}
