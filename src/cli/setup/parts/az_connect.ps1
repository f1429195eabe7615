# az is a program of its own: it does not throw, it ends with a number.
function Invoke-Az {
    $Answer = az @args
    if ($LASTEXITCODE -ne 0) { throw "az failed: az $args" }
    $Answer
}
$null = Invoke-Az cloud set --name $AzCloud
$Account = Invoke-Az account show --output json | ConvertFrom-Json
if ($TenantWanted -and $TenantWanted -ne $Account.tenantId -and $TenantWanted -ne $Account.tenantDefaultDomain) {
    throw "az is signed in to the tenant $($Account.tenantId): az login --tenant $TenantWanted --allow-no-subscriptions"
}
$TenantId = $Account.tenantId
