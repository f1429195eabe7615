# Microsoft's side of mailshim: the mailbox's password (worldwide).
#
# It looks before it makes anything, stops at the first error, and can be run again: what is there stays as it is.
# What it makes is marked; mailshim setup --undo prints the script that takes that back, and nothing else.
#
# PowerShell 7 or later. Run it as a file, or paste it whole. Once, before:
#   Install-Module ExchangeOnlineManagement -Scope CurrentUser
# Microsoft ends passwords for SMTP AUTH: off by default from the end of December 2026. Take another way if you can.
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
Write-Host 'And MAILSHIM_PASSWORD, or better MAILSHIM_PASSWORD_FILE.'
Write-Host 'Then: mailshim check'
}
