"""Clients with a time-out of 5 s, while Office 365 answers the dot after 3, 6 and 12 s: one mail each.

In short, as CI runs it: a time-out of 1 s, and answers at once and after 3 s. IMPATIENT_LONG=1 for the times above.
"""

import json
import os
import pathlib
import resource
import smtplib
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.request

from running import MAILBOX, Mailshim, Office365

LONG = os.environ.get("IMPATIENT_LONG") == "1"
TIME_OUT, ANSWERS = (5, (3, 6, 12)) if LONG else (1, (0, 3))
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
        for seconds in ANSWERS:
            with self.subTest(seconds=seconds):
                office365 = answering_after(seconds)
                shim = Mailshim(office365, MAILSHIM_HTTP_LISTEN="127.0.0.1:0")
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
                    self.assertEqual(repeats_answered(shim), int(tries > 1))
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
        for seconds in ANSWERS:
            with self.subTest(seconds=seconds):
                half_close(self, answering_after(seconds), MAILSHIM_LISTEN="127.0.0.1:0")

    def test_a_monitor_loses_none(self):
        """It sends the same text without Message-ID or Date every second, and hangs up each other time."""
        mails, pause = (60, 1) if LONG else (8, 0.25)
        office365 = Office365("--fault", "delay-at=dot=200ms")
        shim = Mailshim(office365)
        text = f"From: {MAILBOX}\r\nTo: ann@fabrikam.com\r\nSubject: still alive\r\n\r\nyes\r\n"
        try:
            for number in range(mails):
                smtp = smtplib.SMTP(shim.host, shim.port, timeout=60)
                smtp.mail(MAILBOX)
                smtp.rcpt("ann@fabrikam.com")
                smtp.docmd("DATA")
                smtp.send(f"{text}.\r\n")
                if number % 2 == 0:
                    self.assertEqual(smtp.getreply()[0], 250)
                else:
                    # Long enough for the mail to be with Office 365, too short for the answer.
                    time.sleep(0.1)
                smtp.close()
                time.sleep(pause)
            for _ in range(mails):
                office365.next_line(lambda line: line.startswith("mail on connection "))
        finally:
            self.assertEqual(shim.stop(), 0)
            office365.stop()
        self.assertFalse([line for line in shim.seen if "already accepted" in line], shim.seen)

    def test_a_common_time_out_is_told_once(self):
        """While their mail waits for a connection that Office 365 is slow to give."""
        office365 = Office365("--fault", "delay-at=ehlo=60s")
        shim = Mailshim(office365)
        try:
            apps = [threading.Thread(target=hang_up, args=(shim, 2.2)) for _ in range(5)]
            for app in apps:
                app.start()
            for app in apps:
                app.join()
            shim.next_line(lambda line: "apps keep hanging up" in line)
        finally:
            self.assertEqual(shim.stop(), 0)
            office365.stop()
        told = [line for line in shim.seen if "apps keep hanging up" in line]
        self.assertEqual(len(told), 1, told)
        self.assertIn(
            "apps keep hanging up after about 2 s while their mail waits: raise their time-out (to 60 s or more), or set "
            "MAILSHIM_HOLD=1s, so that they hear 451 before and try again",
            told[0],
        )
        self.assertFalse([line for line in office365.seen if line.startswith("mail on connection ")])


NOBODY = ("setpriv", "--reuid=65532", "--regid=65532", "--clear-groups")
PROC = {
    "as it is": "true",
    "read-only": "mount --bind -o ro /proc /proc && mount -o remount,bind,ro /proc",
    "other processes hidden": "mount -t proc -o hidepid=2 proc /proc",
    "empty": "mount -t tmpfs none /proc",
}


@unittest.skipUnless(os.getuid() == 0, "namespaces of its own are root's")
class HalfCloseInAContainer(unittest.TestCase):
    def test_whatever_proc_is(self):
        for name, mount in PROC.items():
            for listen in ("127.0.0.1:0", "[::1]:0"):
                with self.subTest(proc=name, listen=listen):
                    within = ("unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh", *NOBODY)
                    office365 = answering_after(0.5)
                    office365.directory.chmod(0o755)
                    half_close(self, office365, within=within, MAILSHIM_LISTEN=listen)
                    # And a close is one: nothing is sent.
                    office365 = Office365("--fault", "delay-at=ehlo=1s")
                    office365.directory.chmod(0o755)
                    shim = Mailshim(office365, within=within, MAILSHIM_LISTEN=listen)
                    try:
                        hang_up(shim, 0.2)
                        shim.next_line(lambda line: "the app closed the connection before its mail was answered" in line)
                    finally:
                        self.assertEqual(shim.stop(), 0)
                        office365.stop()
                    self.assertFalse([line for line in office365.seen if line.startswith("mail on connection ")])

    def test_among_thousands_of_sockets(self):
        pairs = 3000
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 2 * pairs + 200), most))
        with socket.create_server(("127.0.0.1", 0), backlog=pairs) as server:
            held = []
            for _ in range(pairs):
                held += [socket.create_connection(server.getsockname()), server.accept()[0]]
            half_close(self, answering_after(0.5), MAILSHIM_LISTEN="127.0.0.1:0")
            for end in held:
                end.close()


def answering_after(seconds):
    return Office365(*(["--fault", f"once*delay-at=dot={round(seconds * 1000)}ms"] if seconds else []))


def repeats_answered(shim):
    is_it = lambda line: "probes and metrics are served" in line
    line = next(filter(is_it, shim.seen), None) or shim.next_line(is_it)
    address = json.loads(line)["address"]
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    return int(float(next(line.split()[1] for line in lines if line.startswith("mailshim_repeats_answered_total"))))


def hang_up(shim, after):
    """A mail, whole, and then nobody who waits."""
    smtp = smtplib.SMTP(shim.host.strip("[]"), shim.port, timeout=60)
    smtp.mail(MAILBOX)
    smtp.rcpt("ann@fabrikam.com")
    smtp.docmd("DATA")
    smtp.send(LETTER % "gone" + ".\r\n")
    time.sleep(after)
    smtp.close()


def half_close(test, office365, **options):
    """A dialogue in one write, then `nc -N` says that it writes no more; it reads the verdict."""
    shim = Mailshim(office365, **options)
    try:
        commands = f"EHLO app\r\nMAIL FROM:<{MAILBOX}>\r\nRCPT TO:<ann@fabrikam.com>\r\nDATA\r\n"
        dialogue = (commands + LETTER % "nc" + ".\r\n").encode()
        words = ["nc", "-N", shim.host.strip("[]"), str(shim.port)]
        said = subprocess.run(words, input=dialogue, capture_output=True, timeout=60).stdout.decode()
        test.assertRegex(said.splitlines()[-1], "^250 2.0.0 OK")
    finally:
        test.assertEqual(shim.stop(), 0)
        office365.stop()
    test.assertEqual(sum(line.startswith("mail on connection ") for line in office365.seen), 1)


if __name__ == "__main__":
    unittest.main()
