# What the cluster says of the pod: all three must agree to the letter, the issuer with its final slash.
$Federated = @(Get-MgApplicationFederatedIdentityCredential -ApplicationId $App.Id -All -ErrorAction Stop)
if (@($Federated | Where-Object { $_.Issuer -ceq $Issuer -and $_.Subject -ceq $Subject }).Count -eq 0) {
    Write-Host 'Entra: trust the service account'
    $Credential = @{ name = $Alias; issuer = $Issuer; subject = $Subject; audiences = @('api://AzureADTokenExchange'); description = $Mark }
    $null = New-MgApplicationFederatedIdentityCredential -ApplicationId $App.Id -BodyParameter $Credential -ErrorAction Stop
}
