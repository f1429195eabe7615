# The Enterprise application: its Object ID is the one that Exchange wants, never the App registration's.
$Enterprise = @(Get-MgServicePrincipal -Filter "appId eq '$ClientId'" -All -ErrorAction Stop)
if ($Enterprise.Count -eq 0) {
    Write-Host 'Entra: make the Enterprise application'
    $Enterprise = @(New-MgServicePrincipal -AppId $ClientId -Notes $Mark -ErrorAction Stop)
}
$ObjectId = $Enterprise[0].Id
