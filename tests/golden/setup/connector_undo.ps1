# Takes back Microsoft's side of mailshim: a connector that knows us by address (worldwide).
#
# It touches only what carries the mark of the script that mailshim setup prints, and stops at the first error.
#
# PowerShell 7 or later. Run it as a file, or paste it whole. Once, before:
#   Install-Module ExchangeOnlineManagement -Scope CurrentUser
& {
$ErrorActionPreference = 'Stop'
$Mark = 'mailshim-setup'
$Name = 'mailshim shop@contoso.com'
$NameInFilter = 'mailshim shop@contoso.com'
$Alias = 'mailshim-shop-contoso-com'
$Mailbox = 'shop@contoso.com'
$Domain = 'contoso.com'
$ExchangeCloud = @{}

Write-Host 'Exchange: sign in as an Exchange administrator'
Connect-ExchangeOnline @ExchangeCloud -ShowBanner:$false -ErrorAction Stop

foreach ($One in @(Get-InboundConnector -ErrorAction Stop | Where-Object { $_.Name -eq $Name -and $_.Comment -eq $Mark })) {
    Write-Host 'Exchange: remove the connector'
    Remove-InboundConnector -Identity $One.Name -Confirm:$false -ErrorAction Stop
}

Disconnect-ExchangeOnline -Confirm:$false -ErrorAction Stop

Write-Host 'Done.'
}
