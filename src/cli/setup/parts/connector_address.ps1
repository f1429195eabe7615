if ($Connector.Count -eq 0) {
    Write-Host 'Exchange: make the connector that knows us by address'
    $Connector = @(New-InboundConnector -Name $Name -Comment $Mark -ConnectorType 'OnPremises' -SenderDomains '*' -SenderIPAddresses $PublicAddress -RequireTls $true -ErrorAction Stop)
}
