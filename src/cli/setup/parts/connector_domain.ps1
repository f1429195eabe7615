# Relaying needs a domain of this tenant in MAIL FROM.
if (@(Get-AcceptedDomain -ErrorAction Stop | Where-Object { $_.DomainName -eq $Domain }).Count -eq 0) {
    throw "$Domain is not an accepted domain of this tenant: MAILSHIM_FROM must be in one."
}
$Connector = @(Get-InboundConnector -ErrorAction Stop | Where-Object { $_.Name -eq $Name })
if ($Connector.Count -gt 0 -and $Connector[0].Comment -ne $Mark) { throw "A connector named $Name exists, and this script has not made it." }
