# The API permission with admin consent: this cloud has no RBAC for Applications.
$Exchange = @(Get-MgServicePrincipal -Filter "appId eq '00000002-0000-0ff1-ce00-000000000000'" -All -ErrorAction Stop)[0]
$AppRole = $Exchange.AppRoles | Where-Object { $_.Value -eq $Permission -and $_.AllowedMemberTypes -contains 'Application' }
if (-not $AppRole) { throw "Office 365 Exchange Online has no application permission $Permission here." }
$Granted = @(Get-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $ObjectId -All -ErrorAction Stop)
if (@($Granted | Where-Object { $_.AppRoleId -eq $AppRole.Id -and $_.ResourceId -eq $Exchange.Id }).Count -eq 0) {
    Write-Host "Entra: grant $Permission to the application"
    $null = New-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $ObjectId -PrincipalId $ObjectId -ResourceId $Exchange.Id -AppRoleId $AppRole.Id -ErrorAction Stop
}
