"""Clients with a time-out of 5 s, while Office 365 answers the dot after 3, 6 and 12 s: one mail each."""

import pathlib
import smtplib
import subprocess
import tempfile
import unittest

from running import MAILBOX, Mailshim, Office365

TIME_OUT = 5
LETTER = (
    f"From: {MAILBOX}\r\nTo: ann@fabrikam.com\r\nSubject: impatient\r\nDate: Tue, 24 Nov 2026 09:00:00 +0000\r\n"
    "Message-ID: <%s@erp.contoso.com>\r\nMIME-Version: 1.0\r\n\r\nthe same each time\r\n"
)

RUBY = """
require 'net/smtp'
smtp = Net::SMTP.new(ARGV[0], ARGV[1].to_i)
smtp.read_timeout = ARGV[2].to_i
smtp.disable_starttls if smtp.respond_to?(:disable_starttls)
smtp.start('app') { |s| s.send_message(File.binread(ARGV[3]), 'app@contoso.com', 'ann@fabrikam.com') }
"""

# MessageID and date are set: PHPMailer makes new ones for each try otherwise.
PHP = """
foreach (['Exception', 'PHPMailer', 'SMTP'] as $file) require "/usr/share/php/libphp-phpmailer/src/$file.php";
[, $host, $port, $timeout, $id] = $argv;
$mail = new PHPMailer\\PHPMailer\\PHPMailer(true);
$mail->isSMTP();
[$mail->Host, $mail->Port, $mail->SMTPAutoTLS] = [$host, (int) $port, false];
$mail->Timeout = (int) $timeout;
$mail->getSMTPInstance()->Timelimit = (int) $timeout;
$mail->MessageID = "<$id@erp.contoso.com>";
$mail->MessageDate = 'Tue, 24 Nov 2026 09:00:00 +0000';
$mail->setFrom('app@contoso.com');
$mail->addAddress('ann@fabrikam.com');
$mail->Subject = 'impatient';
$mail->Body = 'the same each time';
$mail->send();
"""


class Impatient(unittest.TestCase):
    def one_mail(self, send, time_out=TIME_OUT):
        """Tries again until it is answered, as an app does."""
        for seconds in (3, 6, 12):
            with self.subTest(seconds=seconds):
                office365 = Office365("--fault", f"once*delay-at=dot={seconds}s")
                shim = Mailshim(office365)
                tries = 0
                try:
                    with tempfile.TemporaryDirectory() as folder:
                        file = pathlib.Path(folder, "letter.eml")
                        file.write_bytes((LETTER % seconds).encode())
                        for tries in range(1, 6):
                            if send(shim, file, seconds):
                                break
                        else:
                            self.fail("it was never answered")
                finally:
                    self.assertEqual(shim.stop(), 0)
                    office365.stop()
                mails = [line for line in office365.seen if line.startswith("mail on connection ")]
                self.assertEqual(len(mails), 1, office365.seen)
                self.assertEqual(tries > 1, seconds > time_out)
                said = [line for line in shim.seen if "already accepted, the app had gone" in line]
                self.assertEqual(len(said), int(tries > 1), shim.seen)
                self.assertEqual(any('"app_heard":false' in line for line in shim.seen), tries > 1)

    def command(self, *words, stdin=None):
        return subprocess.run([str(word) for word in words], stdin=stdin, capture_output=True, timeout=60)

    def test_smtplib(self):
        def send(shim, file, _):
            try:
                with smtplib.SMTP(shim.host, shim.port, timeout=TIME_OUT) as smtp:
                    smtp.sendmail(MAILBOX, ["ann@fabrikam.com"], file.read_bytes())
                return True
            except (TimeoutError, smtplib.SMTPServerDisconnected):
                return False

        self.one_mail(send)

    def test_ruby(self):
        def send(shim, file, _):
            return self.command("ruby", "-e", RUBY, shim.host, shim.port, TIME_OUT, file).returncode == 0

        self.one_mail(send)

    def test_curl(self):
        def send(shim, file, _):
            url = f"smtp://{shim.host}:{shim.port}/app"
            words = ["--mail-from", MAILBOX, "--mail-rcpt", "ann@fabrikam.com", "--upload-file", file, url]
            return self.command("curl", "--silent", "--max-time", TIME_OUT, *words).returncode == 0

        self.one_mail(send)

    def test_phpmailer(self):
        def send(shim, _, seconds):
            return self.command("php", "-r", PHP, "--", shim.host, shim.port, TIME_OUT, seconds).returncode == 0

        # It doubles its limit for the answer to the dot.
        self.one_mail(send, 2 * TIME_OUT)

    def test_netcat_that_closes_its_side(self):
        """It has no time-out here: the half-close is what is tried."""
        office365 = Office365("--fault", "once*delay-at=dot=3s")
        shim = Mailshim(office365)
        try:
            with tempfile.TemporaryFile() as dialogue:
                commands = f"EHLO app\r\nMAIL FROM:<{MAILBOX}>\r\nRCPT TO:<ann@fabrikam.com>\r\nDATA\r\n"
                dialogue.write((commands + LETTER % "nc" + ".\r\n").encode())
                dialogue.seek(0)
                said = self.command("nc", "-N", shim.host, shim.port, stdin=dialogue).stdout.decode()
            self.assertRegex(said.splitlines()[-1], "^250 2.0.0 OK")
        finally:
            self.assertEqual(shim.stop(), 0)
            office365.stop()
        self.assertEqual(sum(line.startswith("mail on connection ") for line in office365.seen), 1)


if __name__ == "__main__":
    unittest.main()
