# MAILSHIM_FROM is another address: the mailbox that signs in needs Send As on it. (What the application may do does not count there.)
if (@(Get-RecipientPermission -Identity $From -Trustee $Mailbox -ErrorAction Stop | Where-Object { $_.AccessRights -contains 'SendAs' }).Count -eq 0) {
    Write-Host "Exchange: let $Mailbox send as $From"
    $null = Add-RecipientPermission -Identity $From -Trustee $Mailbox -AccessRights 'SendAs' -Confirm:$false -ErrorAction Stop
}
