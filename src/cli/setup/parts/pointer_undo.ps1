foreach ($One in @(Get-ServicePrincipal -ErrorAction Stop | Where-Object { $_.DisplayName -eq $Name })) {
    Write-Host 'Exchange: forget the application'
    Remove-ServicePrincipal -Identity $One.ObjectId -Confirm:$false -ErrorAction Stop
}
