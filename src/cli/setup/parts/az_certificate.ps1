# Only the certificate goes to Entra, never the key. The ones that are there stay.
$Keys = @(Invoke-Az ad app credential list --id $ClientId --cert --output json | ConvertFrom-Json)
if (@($Keys | Where-Object { $_.displayName -eq $Mark -and [datetime]$_.endDateTime -gt (Get-Date) }).Count -eq 0) {
    Write-Host 'Entra: upload the certificate'
    $null = Invoke-Az ad app credential reset --id $ClientId --append --display-name $Mark --cert "@$CertificateFile" --output none
}
