# Only the certificate goes to Entra, never the key. The ones that are there stay.
$Certificate = [System.Security.Cryptography.X509Certificates.X509Certificate2]::new((Resolve-Path -Path $CertificateFile -ErrorAction Stop).Path)
$Thumbprint = [System.Convert]::ToBase64String($Certificate.GetCertHash())
$Known = @($App.KeyCredentials | Where-Object { $_.CustomKeyIdentifier -and [System.Convert]::ToBase64String($_.CustomKeyIdentifier) -eq $Thumbprint })
if ($Known.Count -eq 0) {
    Write-Host 'Entra: upload the certificate'
    $Keys = @($App.KeyCredentials) + @(@{ type = 'AsymmetricX509Cert'; usage = 'Verify'; displayName = $Mark; key = $Certificate.GetRawCertData() })
    Update-MgApplication -ApplicationId $App.Id -KeyCredentials $Keys -ErrorAction Stop
}
