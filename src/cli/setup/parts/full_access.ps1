# With the API permission it is the mailbox's permission that says where the application may send from.
foreach ($One in $Mailboxes) {
    $Has = @(Get-MailboxPermission -Identity $One.DistinguishedName -User $ObjectId -ErrorAction Stop | Where-Object { $_.AccessRights -contains 'FullAccess' -and -not $_.Deny })
    if ($Has.Count -eq 0) {
        Write-Host "Exchange: give the application FullAccess to $($One.PrimarySmtpAddress)"
        $null = Add-MailboxPermission -Identity $One.DistinguishedName -User $ObjectId -AccessRights 'FullAccess' -AutoMapping $false -ErrorAction Stop
    }
}
