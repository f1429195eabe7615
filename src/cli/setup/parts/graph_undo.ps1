# Of an application of yours only what was added; our own goes whole, and its Enterprise application with it.
$Ours = @(Get-MgApplication -Filter "displayName eq '$NameInFilter'" -All -ErrorAction Stop | Where-Object { $_.Notes -eq $Mark })
$Yours = @(if ($ClientId) { Get-MgApplication -Filter "appId eq '$ClientId'" -All -ErrorAction Stop | Where-Object { $_.Notes -ne $Mark } })
foreach ($App in $Yours) {
    foreach ($Secret in @($App.PasswordCredentials | Where-Object { $_.DisplayName -eq $Mark })) {
        Write-Host 'Entra: remove the client secret'
        Remove-MgApplicationPassword -ApplicationId $App.Id -KeyId $Secret.KeyId -ErrorAction Stop
    }
    $Federated = @(Get-MgApplicationFederatedIdentityCredential -ApplicationId $App.Id -All -ErrorAction Stop | Where-Object { $_.Description -eq $Mark })
    foreach ($Credential in $Federated) {
        Write-Host 'Entra: remove the federated credential'
        Remove-MgApplicationFederatedIdentityCredential -ApplicationId $App.Id -FederatedIdentityCredentialId $Credential.Id -ErrorAction Stop
    }
}
foreach ($App in $Ours) {
    Write-Host "Entra: remove the application $Name"
    Remove-MgApplication -ApplicationId $App.Id -ErrorAction Stop
}
