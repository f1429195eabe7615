# A person signs in to it with a code, so it is a public client, and asks for SMTP.Send on that person's behalf.
$Graph = Invoke-Az ad sp show --id '00000003-0000-0000-c000-000000000000' --output json | ConvertFrom-Json
$Scope = $Graph.oauth2PermissionScopes | Where-Object { $_.value -eq 'SMTP.Send' }
if (-not $App.isFallbackPublicClient) {
    Write-Host 'Entra: allow a sign-in with a code'
    $null = Invoke-Az ad app update --id $ClientId --is-fallback-public-client 'true'
}
if (@($App.requiredResourceAccess.resourceAccess.id) -notcontains $Scope.id) {
    Write-Host 'Entra: ask for SMTP.Send'
    $null = Invoke-Az ad app permission add --id $ClientId --api $Graph.appId --api-permissions "$($Scope.id)=Scope"
}
