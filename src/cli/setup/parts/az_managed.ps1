# The identity that Azure made: its Enterprise application.
if ($ClientId) {
    $Enterprise = @(Invoke-Az ad sp list --filter "appId eq '$ClientId'" --output json | ConvertFrom-Json)
} else {
    $Enterprise = @(Invoke-Az ad sp list --all --filter "displayName eq '$IdentityInFilter' and servicePrincipalType eq 'ManagedIdentity'" --output json | ConvertFrom-Json)
}
if ($Enterprise.Count -ne 1) { throw "Entra has $($Enterprise.Count) managed identities of that name, not one." }
$ClientId = $Enterprise[0].appId
$ObjectId = $Enterprise[0].id
