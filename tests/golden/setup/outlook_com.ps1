# Microsoft's side of mailshim: a person's sign-in (outlook.com).
#
# It looks before it makes anything, stops at the first error, and can be run again: what is there stays as it is.
# What it makes is marked; mailshim setup --undo prints the script that takes that back, and nothing else.
#
# PowerShell 7 or later. Run it as a file, or paste it whole. Once, before:
#   Install-Module Microsoft.Graph.Applications -Scope CurrentUser
& {
$ErrorActionPreference = 'Stop'
$Mark = 'mailshim-setup'
$Name = 'mailshim ann@outlook.com'
$NameInFilter = 'mailshim ann@outlook.com'
$Alias = 'mailshim-ann-outlook-com'
$Mailbox = 'ann@outlook.com'
$MailboxInFilter = 'ann@outlook.com'
$SendersInFilter = @('ann@outlook.com')
$ClientId = $null
$GraphTenant = @{}
$GraphCloud = 'Global'
$GraphScopes = @('Application.ReadWrite.All')
$Audience = 'AzureADandPersonalMicrosoftAccount'

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

# A person signs in to it with a code, so it is a public client, and asks for SMTP.Send on that person's behalf.
$Graph = @(Get-MgServicePrincipal -Filter "appId eq '00000003-0000-0000-c000-000000000000'" -All -ErrorAction Stop)[0]
$Scope = $Graph.Oauth2PermissionScopes | Where-Object { $_.Value -eq 'SMTP.Send' }
if (-not $App.IsFallbackPublicClient -or @($App.RequiredResourceAccess.ResourceAccess.Id) -notcontains $Scope.Id) {
    Write-Host 'Entra: allow a sign-in with a code, and ask for SMTP.Send'
    $Access = @($App.RequiredResourceAccess) + @(@{ resourceAppId = $Graph.AppId; resourceAccess = @(@{ id = $Scope.Id; type = 'Scope' }) })
    Update-MgApplication -ApplicationId $App.Id -IsFallbackPublicClient -RequiredResourceAccess $Access -ErrorAction Stop
}

Write-Host 'Done. The variables of mailshim:'
Write-Output "MAILSHIM_MAILBOX=$Mailbox"
Write-Output 'MAILSHIM_CLOUD=outlook.com'
Write-Output "MAILSHIM_CLIENT_ID=$ClientId"
Write-Output 'MAILSHIM_REFRESH_TOKEN_FILE=/var/lib/mailshim/token'
Write-Host 'Then, where mailshim runs: mailshim login'
Write-Host 'Then: mailshim check'
}
