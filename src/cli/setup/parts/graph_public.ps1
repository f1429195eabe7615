# A person signs in to it with a code, so it is a public client, and asks for SMTP.Send on that person's behalf.
$Graph = @(Get-MgServicePrincipal -Filter "appId eq '00000003-0000-0000-c000-000000000000'" -All -ErrorAction Stop)[0]
$Scope = $Graph.Oauth2PermissionScopes | Where-Object { $_.Value -eq 'SMTP.Send' }
if (-not $App.IsFallbackPublicClient -or @($App.RequiredResourceAccess.ResourceAccess.Id) -notcontains $Scope.Id) {
    Write-Host 'Entra: allow a sign-in with a code, and ask for SMTP.Send'
    $Access = @($App.RequiredResourceAccess) + @(@{ resourceAppId = $Graph.AppId; resourceAccess = @(@{ id = $Scope.Id; type = 'Scope' }) })
    Update-MgApplication -ApplicationId $App.Id -IsFallbackPublicClient -RequiredResourceAccess $Access -ErrorAction Stop
}
