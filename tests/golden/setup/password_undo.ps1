# Takes back Microsoft's side of mailshim: the mailbox's password (worldwide).
#
# It touches only what carries the mark of the script that mailshim setup prints, and stops at the first error.
#
# PowerShell 7 or later. Run it as a file, or paste it whole. Once, before:
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
$ExchangeCloud = @{}

Write-Host 'Done.'
Write-Host "Left as it is, since others may need it: the mailbox $Mailbox with its mail, and its SMTP AUTH."
Write-Host 'To give SMTP AUTH back to the setting of the tenant: Set-CASMailbox -Identity ADDRESS -SmtpClientAuthenticationDisabled $null'
}
