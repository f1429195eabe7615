# Every mailbox that signs in, as Exchange knows it.
$Mailboxes = @(foreach ($Filter in $SendersInFilter) {
    $Found = @(Get-Recipient -Filter "EmailAddresses -eq 'smtp:$Filter'" -ErrorAction Stop | Where-Object { $_.RecipientTypeDetails -like '*Mailbox' })
    if ($Found.Count -ne 1) { throw "$Filter is not the address of a mailbox in this tenant." }
    $Found[0]
})
