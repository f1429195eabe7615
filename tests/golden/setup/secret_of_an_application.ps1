# Microsoft's side of mailshim: an application with a client secret (worldwide).
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
$ClientId = '8c1f6f3e-0b5d-4d0a-9a43-7f2b1c9e5d60'
$GraphTenant = @{ TenantId = 'contoso.onmicrosoft.com' }
$GraphCloud = 'Global'
$GraphScopes = @('Application.ReadWrite.All')
$Audience = 'AzureADMyOrg'
$Role = 'Application SMTP.SendAsApp'
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

Write-Host 'Exchange: sign in as an Exchange administrator'
Connect-ExchangeOnline @ExchangeCloud -ShowBanner:$false -ErrorAction Stop

# A tenant that nobody ever customised takes no role assignment.
if ((Get-OrganizationConfig -ErrorAction Stop).IsDehydrated) {
    Write-Host 'Exchange: allow customisation (once for a tenant, takes a minute)'
    Enable-OrganizationCustomization -Confirm:$false -ErrorAction Stop
}

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

# What the application may send as: the direct members of this group, and nobody else.
$Group = @(Get-DistributionGroup -Filter "Name -eq '$NameInFilter'" -ErrorAction Stop)
if ($Group.Count -gt 0 -and (Get-Group -Identity $Group[0].DistinguishedName -ErrorAction Stop).Notes -ne $Mark) {
    throw "A group named $Name exists, and this script has not made it."
}
if ($Group.Count -eq 0) {
    Write-Host "Exchange: make the group $Name"
    $Group = @(New-DistributionGroup -Name $Name -Alias $Alias -Type 'Security' -Notes $Mark -MemberJoinRestriction 'Closed' -MemberDepartRestriction 'Closed' -ErrorAction Stop)
    Set-DistributionGroup -Identity $Group[0].DistinguishedName -HiddenFromAddressListsEnabled $true -ErrorAction Stop
}
$Members = @(Get-DistributionGroupMember -Identity $Group[0].DistinguishedName -ResultSize 'Unlimited' -ErrorAction Stop)
foreach ($One in $Mailboxes) {
    if ($Members.DistinguishedName -notcontains $One.DistinguishedName) {
        Write-Host "Exchange: put $($One.PrimarySmtpAddress) into the group"
        Add-DistributionGroupMember -Identity $Group[0].DistinguishedName -Member $One.DistinguishedName -ErrorAction Stop
    }
}

# RBAC for Applications: no API permission, no consent, no FullAccess.
if (@(Get-ManagementRoleAssignment -Role $Role -ErrorAction Stop | Where-Object { $_.Name -eq $Name }).Count -eq 0) {
    Write-Host "Exchange: assign the role $Role, for that group alone"
    $null = New-ManagementRoleAssignment -Name $Name -App $ObjectId -Role $Role -RecipientGroupScope $Group[0].DistinguishedName -ErrorAction Stop
}

# What Exchange makes of it, inside and outside. This test sees at once what the sign-in sees only later.
foreach ($One in $Mailboxes) {
    $Seen = @(Test-ServicePrincipalAuthorization -Identity $ObjectId -Resource $One.DistinguishedName -ErrorAction Stop | Where-Object { $_.RoleName -eq $Role })
    if ($Seen.InScope -contains $true) {
        Write-Host "Exchange: the application may send as $($One.PrimarySmtpAddress)"
    } else {
        Write-Warning "The application may not yet send as $($One.PrimarySmtpAddress): run this again in some minutes."
    }
}
$Others = @(Get-Mailbox -ResultSize 50 -WarningAction 'SilentlyContinue' -ErrorAction Stop | Where-Object { $Mailboxes.DistinguishedName -notcontains $_.DistinguishedName -and $Members.DistinguishedName -notcontains $_.DistinguishedName })
if ($Others.Count -gt 0) {
    $Seen = @(Test-ServicePrincipalAuthorization -Identity $ObjectId -Resource $Others[0].DistinguishedName -ErrorAction Stop | Where-Object { $_.RoleName -eq $Role })
    if ($Seen.InScope -contains $true) {
        Write-Warning "The application may send as $($Others[0].PrimarySmtpAddress), too: another role assignment of it reaches further (Get-ManagementRoleAssignment -Role '$Role')."
    } else {
        Write-Host "Exchange: it may not send as $($Others[0].PrimarySmtpAddress), for instance"
    }
}

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
Write-Output "MAILSHIM_TENANT_ID=$TenantId"
Write-Output "MAILSHIM_CLIENT_ID=$ClientId"
if ($NewSecret) {
    Write-Output "MAILSHIM_CLIENT_SECRET=$NewSecret"
    Write-Host 'Keep that value now: Entra does not show it again. Better than in a variable it is in a file: MAILSHIM_CLIENT_SECRET_FILE.'
} else {
    Write-Host 'MAILSHIM_CLIENT_SECRET: as it was. If its value is lost, delete that secret in Entra, and run this again.'
}
Write-Host 'Exchange takes 30 minutes to 2 hours until the sign-in holds, whatever the test above says. Then: mailshim check'
}
