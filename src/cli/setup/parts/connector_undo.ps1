foreach ($One in @(Get-InboundConnector -ErrorAction Stop | Where-Object { $_.Name -eq $Name -and $_.Comment -eq $Mark })) {
    Write-Host 'Exchange: remove the connector'
    Remove-InboundConnector -Identity $One.Name -Confirm:$false -ErrorAction Stop
}
