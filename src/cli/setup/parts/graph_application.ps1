# The application: the one of $ClientId, or one of our own.
if ($ClientId) {
    $App = @(Get-MgApplication -Filter "appId eq '$ClientId'" -All -ErrorAction Stop)
    if ($App.Count -ne 1) { throw "This tenant has no App registration with the Application (client) ID $ClientId." }
} else {
    $App = @(Get-MgApplication -Filter "displayName eq '$NameInFilter'" -All -ErrorAction Stop | Where-Object { $_.Notes -eq $Mark })
    if ($App.Count -gt 1) { throw "There are several App registrations named $Name`: set MAILSHIM_CLIENT_ID to the one that counts." }
    if ($App.Count -eq 0) {
        Write-Host "Entra: register the application $Name"
        $App = @(New-MgApplication -DisplayName $Name -SignInAudience $Audience -Notes $Mark -ErrorAction Stop)
    }
}
$App = $App[0]
$ClientId = $App.AppId
