# A tenant that nobody ever customised takes no role assignment.
if ((Get-OrganizationConfig -ErrorAction Stop).IsDehydrated) {
    Write-Host 'Exchange: allow customisation (once for a tenant, takes a minute)'
    Enable-OrganizationCustomization -Confirm:$false -ErrorAction Stop
}
