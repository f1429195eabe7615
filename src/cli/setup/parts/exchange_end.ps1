Disconnect-ExchangeOnline -Confirm:$false -ErrorAction Stop
