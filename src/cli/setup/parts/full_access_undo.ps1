# The permission is taken back only of an application that this script made known to Exchange.
foreach ($Pointer in @(Get-ServicePrincipal -ErrorAction Stop | Where-Object { $_.DisplayName -eq $Name })) {
    foreach ($Filter in $SendersInFilter) {
        foreach ($One in @(Get-Recipient -Filter "EmailAddresses -eq 'smtp:$Filter'" -ErrorAction Stop)) {
            Write-Host "Exchange: take back FullAccess to $($One.PrimarySmtpAddress)"
            Remove-MailboxPermission -Identity $One.DistinguishedName -User $Pointer.ObjectId -AccessRights 'FullAccess' -Confirm:$false -ErrorAction Stop
        }
    }
}
