# Entra shows a secret's value only once, when it makes it: one of an earlier run is not shown again.
$NewSecret = $null
if (@($App.PasswordCredentials | Where-Object { $_.DisplayName -eq $Mark -and $_.EndDateTime -gt (Get-Date) }).Count -eq 0) {
    Write-Host 'Entra: make a client secret, good for a year'
    $Credential = @{ displayName = $Mark; endDateTime = (Get-Date).AddYears(1) }
    $NewSecret = (Add-MgApplicationPassword -ApplicationId $App.Id -PasswordCredential $Credential -ErrorAction Stop).SecretText
}
