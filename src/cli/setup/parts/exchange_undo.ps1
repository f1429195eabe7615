foreach ($One in @(Get-ManagementRoleAssignment -Role $Role -ErrorAction Stop | Where-Object { $_.Name -eq $Name })) {
    Write-Host 'Exchange: remove the role assignment'
    Remove-ManagementRoleAssignment -Identity $One.Name -Confirm:$false -ErrorAction Stop
}
foreach ($One in @(Get-DistributionGroup -Filter "Name -eq '$NameInFilter'" -ErrorAction Stop)) {
    if ((Get-Group -Identity $One.DistinguishedName -ErrorAction Stop).Notes -eq $Mark) {
        Write-Host 'Exchange: remove the group'
        Remove-DistributionGroup -Identity $One.DistinguishedName -Confirm:$false -ErrorAction Stop
    }
}
