if ($Connector.Count -eq 0) {
    Write-Host 'Exchange: make the connector that knows us by certificate'
    $Connector = @(New-InboundConnector -Name $Name -Comment $Mark -ConnectorType 'OnPremises' -SenderDomains '*' -TlsSenderCertificateName $CertificateName -RequireTls $true -ErrorAction Stop)
}
