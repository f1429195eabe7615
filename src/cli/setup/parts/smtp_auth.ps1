# This switch stops OAuth, too. The mailbox's setting beats the tenant's.
foreach ($One in $Mailboxes) {
    $Setting = (Get-CASMailbox -Identity $One.DistinguishedName -ErrorAction Stop).SmtpClientAuthenticationDisabled
    if ($Setting -ne $false -or $null -eq $Setting) {
        Write-Host "Exchange: allow SMTP AUTH for $($One.PrimarySmtpAddress)"
        Set-CASMailbox -Identity $One.DistinguishedName -SmtpClientAuthenticationDisabled $false -ErrorAction Stop
    }
}
