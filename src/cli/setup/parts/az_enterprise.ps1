# The Enterprise application: its Object ID is the one that Exchange wants, never the App registration's.
$Enterprise = @(Invoke-Az ad sp list --filter "appId eq '$ClientId'" --output json | ConvertFrom-Json)
if ($Enterprise.Count -eq 0) {
    Write-Host 'Entra: make the Enterprise application'
    $Enterprise = @(Invoke-Az ad sp create --id $ClientId --output json | ConvertFrom-Json)
}
$ObjectId = $Enterprise[0].id
