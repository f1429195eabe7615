<?php
// An app of 2009, for docker/check: plain SMTP to localhost, port 25, one connection a mail.
//
//   php legacy.php PREFIX COUNT [RECIPIENT]
//
// Prints "taken SUBJECT" for a mail whose final dot was answered 250, else "refused SUBJECT ANSWER". Ends with 0 only if
// all were taken. After a refusal it goes on; after five in a row it gives up.

function expect($connection, $code) {
    do {
        $line = fgets($connection);
        if ($line === false) throw new Exception('connection lost');
    } while (substr($line, 3, 1) === '-');
    if (substr($line, 0, strlen($code)) !== $code) throw new Exception(trim($line));
}

function send($subject, $recipient) {
    $connection = @fsockopen('localhost', 25, $number, $text, 5);
    if (!$connection) throw new Exception($text);
    stream_set_timeout($connection, 90);
    expect($connection, '220');
    foreach (['HELO app' => '250', 'MAIL FROM:<app@contoso.com>' => '250', "RCPT TO:<$recipient>" => '250', 'DATA' => '354'] as $command => $code) {
        fwrite($connection, "$command\r\n");
        expect($connection, $code);
    }
    fwrite($connection, "From: app@contoso.com\r\nTo: $recipient\r\nSubject: $subject\r\n\r\nHello.\r\n.\r\n");
    expect($connection, '250');
}

[, $prefix, $count] = $argv;
$recipient = $argv[3] ?? 'customer@example.com';
[$refused, $row] = [0, 0];
for ($i = 1; $i <= $count && $row < 5; $i++) {
    try {
        send("$prefix-$i", $recipient);
        echo "taken $prefix-$i\n";
        $row = 0;
    } catch (Exception $problem) {
        echo "refused $prefix-$i ", $problem->getMessage(), "\n";
        $refused++;
        $row++;
    }
}
exit($refused ? 1 : 0);
