# Microsoft's side of mailshim: a connector that knows us by address (worldwide).
#
# It looks before it makes anything, stops at the first error, and can be run again: what is there stays as it is.
# What it makes is marked; mailshim setup --undo prints the script that takes that back, and nothing else.
#
# PowerShell 7 or later. Run it as a file, or paste it whole. Once, before:
#   Install-Module ExchangeOnlineManagement -Scope CurrentUser
# Fill in $PublicAddress below: yours alone, IPv4, the one that mailshim check prints in the rung ehlo.
& {
$ErrorActionPreference = 'Stop'
$Mark = 'mailshim-setup'
$Name = 'mailshim shop@contoso.com'
$NameInFilter = 'mailshim shop@contoso.com'
$Alias = 'mailshim-shop-contoso-com'
$Mailbox = 'shop@contoso.com'
$Domain = 'contoso.com'
$PublicAddress = 'FILL IN'
$ExchangeCloud = @{}
if ($PublicAddress -eq 'FILL IN') { throw 'Fill in $PublicAddress above.' }

Write-Host 'Exchange: sign in as an Exchange administrator'
Connect-ExchangeOnline @ExchangeCloud -ShowBanner:$false -ErrorAction Stop

# Relaying needs a domain of this tenant in MAIL FROM.
if (@(Get-AcceptedDomain -ErrorAction Stop | Where-Object { $_.DomainName -eq $Domain }).Count -eq 0) {
    throw "$Domain is not an accepted domain of this tenant: MAILSHIM_FROM must be in one."
}
$Connector = @(Get-InboundConnector -ErrorAction Stop | Where-Object { $_.Name -eq $Name })
if ($Connector.Count -gt 0 -and $Connector[0].Comment -ne $Mark) { throw "A connector named $Name exists, and this script has not made it." }

if ($Connector.Count -eq 0) {
    Write-Host 'Exchange: make the connector that knows us by address'
    $Connector = @(New-InboundConnector -Name $Name -Comment $Mark -ConnectorType 'OnPremises' -SenderDomains '*' -SenderIPAddresses $PublicAddress -RequireTls $true -ErrorAction Stop)
}

if (-not $Connector[0].Enabled) {
    Write-Warning 'The connector is there, but disabled: in this tenant Microsoft Support must enable it.'
}

Disconnect-ExchangeOnline -Confirm:$false -ErrorAction Stop

Write-Host 'Done. The variables of mailshim:'
Write-Output 'MAILSHIM_AUTH=none'
Write-Output "MAILSHIM_FROM=$Mailbox"
Write-Output "MAILSHIM_UPSTREAM=$($Domain.Replace('.', '-')).mail.protection.outlook.com:25"
}
