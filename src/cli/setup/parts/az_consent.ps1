# The API permission with admin consent: this cloud has no RBAC for Applications.
$Exchange = Invoke-Az ad sp show --id '00000002-0000-0ff1-ce00-000000000000' --output json | ConvertFrom-Json
$AppRole = $Exchange.appRoles | Where-Object { $_.value -eq $Permission -and $_.allowedMemberTypes -contains 'Application' }
if (-not $AppRole) { throw "Office 365 Exchange Online has no application permission $Permission here." }
$Assignments = "$GraphUrl/v1.0/servicePrincipals/$ObjectId/appRoleAssignments"
$Granted = (Invoke-Az rest --method 'get' --url $Assignments --output json | ConvertFrom-Json).value
if (@($Granted | Where-Object { $_.appRoleId -eq $AppRole.id -and $_.resourceId -eq $Exchange.id }).Count -eq 0) {
    Write-Host "Entra: grant $Permission to the application"
    $File = New-TemporaryFile
    @{ principalId = $ObjectId; resourceId = $Exchange.id; appRoleId = $AppRole.id } | ConvertTo-Json | Set-Content -Path $File -ErrorAction Stop
    $null = Invoke-Az rest --method 'post' --url $Assignments --body "@$File"
    Remove-Item -Path $File -ErrorAction Stop
}
