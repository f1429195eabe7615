if (-not $Connector[0].Enabled) {
    Write-Warning 'The connector is there, but disabled: in this tenant Microsoft Support must enable it.'
}
