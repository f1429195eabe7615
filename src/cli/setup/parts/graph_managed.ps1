# The identity that Azure made: its Enterprise application.
if ($ClientId) {
    $Enterprise = @(Get-MgServicePrincipal -Filter "appId eq '$ClientId'" -All -ErrorAction Stop)
} else {
    $Enterprise = @(Get-MgServicePrincipal -Filter "displayName eq '$IdentityInFilter' and servicePrincipalType eq 'ManagedIdentity'" -All -ErrorAction Stop)
}
if ($Enterprise.Count -ne 1) { throw "Entra has $($Enterprise.Count) managed identities of that name, not one." }
$ClientId = $Enterprise[0].AppId
$ObjectId = $Enterprise[0].Id
