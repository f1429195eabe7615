# Exchange's own record of the application. (Listed and filtered: asked for a name that is not there, Exchange gives all.)
$Pointer = @(Get-ServicePrincipal -ErrorAction Stop | Where-Object { $_.AppId -eq $ClientId })
if ($Pointer.Count -gt 0 -and $Pointer[0].ObjectId -ne $ObjectId) {
    throw "Exchange has the application under the wrong Object ID, $($Pointer[0].ObjectId): Remove-ServicePrincipal -Identity '$($Pointer[0].ObjectId)', then run this again."
}
if ($Pointer.Count -eq 0) {
    Write-Host 'Exchange: make the application known'
    $null = New-ServicePrincipal -AppId $ClientId -ObjectId $ObjectId -DisplayName $Name -ErrorAction Stop
}
