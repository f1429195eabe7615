# High Volume Email: the account is made in the Exchange admin center (Mail flow), where its billing is, too.
Write-Host 'Exchange: let the application use the High Volume Email account'
Add-HVEAppAccess -Identity $Mailbox -AppIds $ClientId -Confirm:$false -ErrorAction Stop
