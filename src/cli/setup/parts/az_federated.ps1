# What the cluster says of the pod: all three must agree to the letter, the issuer with its final slash.
$Federated = @(Invoke-Az ad app federated-credential list --id $ClientId --output json | ConvertFrom-Json)
if (@($Federated | Where-Object { $_.issuer -ceq $Issuer -and $_.subject -ceq $Subject }).Count -eq 0) {
    Write-Host 'Entra: trust the service account'
    $Credential = @{ name = $Alias; issuer = $Issuer; subject = $Subject; audiences = @('api://AzureADTokenExchange'); description = $Mark }
    $File = New-TemporaryFile
    $Credential | ConvertTo-Json | Set-Content -Path $File -ErrorAction Stop
    $null = Invoke-Az ad app federated-credential create --id $ClientId --parameters "@$File"
    Remove-Item -Path $File -ErrorAction Stop
}
