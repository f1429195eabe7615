# What the application may send as: the direct members of this group, and nobody else.
$Group = @(Get-DistributionGroup -Filter "Name -eq '$NameInFilter'" -ErrorAction Stop)
if ($Group.Count -gt 0 -and (Get-Group -Identity $Group[0].DistinguishedName -ErrorAction Stop).Notes -ne $Mark) {
    throw "A group named $Name exists, and this script has not made it."
}
if ($Group.Count -eq 0) {
    Write-Host "Exchange: make the group $Name"
    $Group = @(New-DistributionGroup -Name $Name -Alias $Alias -Type 'Security' -Notes $Mark -MemberJoinRestriction 'Closed' -MemberDepartRestriction 'Closed' -ErrorAction Stop)
    Set-DistributionGroup -Identity $Group[0].DistinguishedName -HiddenFromAddressListsEnabled $true -ErrorAction Stop
}
$Members = @(Get-DistributionGroupMember -Identity $Group[0].DistinguishedName -ResultSize 'Unlimited' -ErrorAction Stop)
foreach ($One in $Mailboxes) {
    if ($Members.DistinguishedName -notcontains $One.DistinguishedName) {
        Write-Host "Exchange: put $($One.PrimarySmtpAddress) into the group"
        Add-DistributionGroupMember -Identity $Group[0].DistinguishedName -Member $One.DistinguishedName -ErrorAction Stop
    }
}
