# The application: the one of $ClientId, or one of our own.
if ($ClientId) {
    $App = Invoke-Az ad app show --id $ClientId --output json | ConvertFrom-Json
} else {
    $App = @(Invoke-Az ad app list --filter "displayName eq '$NameInFilter'" --output json | ConvertFrom-Json | Where-Object { $_.notes -eq $Mark })
    if ($App.Count -gt 1) { throw "There are several App registrations named $Name`: set MAILSHIM_CLIENT_ID to the one that counts." }
    if ($App.Count -eq 0) {
        Write-Host "Entra: register the application $Name"
        $App = @(Invoke-Az ad app create --display-name $Name --sign-in-audience $Audience --output json | ConvertFrom-Json)
        $null = Invoke-Az ad app update --id $App[0].appId --set "notes=$Mark"
    }
    $App = $App[0]
}
$ClientId = $App.appId
