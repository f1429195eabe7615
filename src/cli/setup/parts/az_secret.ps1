# Entra shows a secret's value only once, when it makes it: one of an earlier run is not shown again.
$NewSecret = $null
$Secrets = @(Invoke-Az ad app credential list --id $ClientId --output json | ConvertFrom-Json)
if (@($Secrets | Where-Object { $_.displayName -eq $Mark -and [datetime]$_.endDateTime -gt (Get-Date) }).Count -eq 0) {
    Write-Host 'Entra: make a client secret, good for a year'
    $NewSecret = Invoke-Az ad app credential reset --id $ClientId --append --display-name $Mark --years 1 --query 'password' --output tsv
}
