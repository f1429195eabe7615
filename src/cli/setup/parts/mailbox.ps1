# The mailbox. A shared one needs no licence, and nobody signs in to it with a password.
if (@(Get-Recipient -Filter "EmailAddresses -eq 'smtp:$MailboxInFilter'" -ErrorAction Stop).Count -eq 0) {
    Write-Host "Exchange: make the shared mailbox $Mailbox"
    $null = New-Mailbox -Shared -Name $Name -DisplayName $Mailbox -PrimarySmtpAddress $Mailbox -ErrorAction Stop
}
