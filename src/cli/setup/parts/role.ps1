# RBAC for Applications: no API permission, no consent, no FullAccess.
if (@(Get-ManagementRoleAssignment -Role $Role -ErrorAction Stop | Where-Object { $_.Name -eq $Name }).Count -eq 0) {
    Write-Host "Exchange: assign the role $Role, for that group alone"
    $null = New-ManagementRoleAssignment -Name $Name -App $ObjectId -Role $Role -RecipientGroupScope $Group[0].DistinguishedName -ErrorAction Stop
}
