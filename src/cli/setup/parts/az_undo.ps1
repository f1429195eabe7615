# Of an application of yours only what was added; our own goes whole, and its Enterprise application with it.
$Ours = @(Invoke-Az ad app list --filter "displayName eq '$NameInFilter'" --output json | ConvertFrom-Json | Where-Object { $_.notes -eq $Mark })
$Yours = @(if ($ClientId) { Invoke-Az ad app list --filter "appId eq '$ClientId'" --output json | ConvertFrom-Json | Where-Object { $_.notes -ne $Mark } })
foreach ($App in $Yours) {
    $Secrets = @(Invoke-Az ad app credential list --id $App.appId --output json | ConvertFrom-Json | Where-Object { $_.displayName -eq $Mark })
    foreach ($Secret in $Secrets) {
        Write-Host 'Entra: remove the client secret'
        $null = Invoke-Az ad app credential delete --id $App.appId --key-id $Secret.keyId
    }
    $Keys = @(Invoke-Az ad app credential list --id $App.appId --cert --output json | ConvertFrom-Json | Where-Object { $_.displayName -eq $Mark })
    foreach ($Key in $Keys) {
        Write-Host 'Entra: remove the certificate'
        $null = Invoke-Az ad app credential delete --id $App.appId --key-id $Key.keyId --cert
    }
    $Federated = @(Invoke-Az ad app federated-credential list --id $App.appId --output json | ConvertFrom-Json | Where-Object { $_.description -eq $Mark })
    foreach ($Credential in $Federated) {
        Write-Host 'Entra: remove the federated credential'
        $null = Invoke-Az ad app federated-credential delete --id $App.appId --federated-credential-id $Credential.id
    }
}
foreach ($App in $Ours) {
    Write-Host "Entra: remove the application $Name"
    $null = Invoke-Az ad app delete --id $App.appId
}
