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
