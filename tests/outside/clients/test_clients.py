"""What real clients send arrives at Office 365 as they sent it."""

import concurrent.futures
import email.message
import email.policy
import os
import re
import pathlib
import random
import smtplib
import subprocess
import tempfile
import unittest

from running import MAILBOX, PATIENCE, Mailshim, Office365

LETTER = (
    f"From: <{MAILBOX}>\r\nTo: ann@fabrikam.com\r\nSubject: real clients\r\nDate: Tue, 24 Nov 2026 09:00:00 +0000\r\n"
    "Message-ID: <1@erp.contoso.com>\r\nMIME-Version: 1.0\r\n\r\n"
    ".a dot\r\n..two\r\n.\r\nthe last line\r\n"
).encode()

USERNAME, PASSWORD = "erp", "p4ss word"


def run(*command, stdin=b"", **variables):
    """Runs a client; its output, or a failure with it."""
    done = subprocess.run(
        [str(word) for word in command],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=PATIENCE,
        env=os.environ | variables,
    )
    if done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout.decode(errors='replace')}")
    return done.stdout.decode(errors="replace")


def carries(arrived, sent):
    """Octet by octet, but for one Received field before and a missing Date, Message-ID, MIME-Version behind the app's."""
    arrived = re.sub(rb"\AReceived: from localhost by .*\r\n(?:[ \t].*\r\n)*", b"", arrived)
    sent_fields, sent_body = sent.split(b"\r\n\r\n", 1)
    fields, body = arrived.split(b"\r\n\r\n", 1)
    added = fields[len(sent_fields) :].split(b"\r\n")[1:]
    is_ours = all(
        re.match(rb"(Date|Message-ID|MIME-Version): ", line) and line.split(b":")[0].lower() + b":" not in sent_fields.lower()
        for line in added
    )
    return fields.startswith(sent_fields) and is_ours and body == sent_body


class Case(unittest.TestCase):
    """Both programs, for all tests of a class."""

    variables = {}
    office365_arguments = []

    @classmethod
    def setUpClass(cls):
        cls.office365 = Office365(*cls.office365_arguments)
        cls.addClassCleanup(cls._stop_office365)
        cls.mailshim = Mailshim(cls.office365, **cls.variables)
        cls.addClassCleanup(cls._stop_mailshim)

    @classmethod
    def _stop_mailshim(cls):
        code = cls.mailshim.stop()
        if code != 0:
            raise AssertionError(f"mailshim ended with {code} on SIGTERM")

    @classmethod
    def _stop_office365(cls):
        cls.office365.stop()
        if cls.office365.violations():
            raise AssertionError("\n".join(cls.office365.violations()))

    def server(self):
        return f"{self.mailshim.host}:{self.mailshim.port}"

    def client(self):
        return smtplib.SMTP(self.mailshim.host, self.mailshim.port, timeout=PATIENCE)

    def arrived(self, content=LETTER, mail=f"FROM:<{MAILBOX}>", recipients=("TO:<ann@fabrikam.com>",)):
        """The next mail at Office 365 is this one; MAIL's parameters are returned."""
        took_mail, took_recipients, took_content = self.office365.next_mail()
        self.assertEqual(took_mail.split(" ")[0], mail)
        self.assertEqual(took_recipients, list(recipients))
        # assertEqual would print both, whatever their size.
        self.assertTrue(
            carries(took_content, content),
            f"{len(content)} octets sent, {len(took_content)} arrived:\n{took_content[:2000]}",
        )
        return took_mail.split(" ")[1:]


class WithoutLogin(Case):
    def test_swaks(self):
        for options in [], ["--pipeline"], ["--protocol", "SMTP"]:
            with self.subTest(options):
                to = ["--to", "ann@fabrikam.com", "--from", MAILBOX]
                said = run("swaks", "--server", self.server(), *to, *options, "--data", "-", stdin=LETTER.replace(b"\r\n", b"\n"))
                self.assertIn("<-  250 2.0.0 OK", said)
                # swaks ends what it reads with one more line end.
                self.arrived(LETTER + b"\r\n")

    def test_swaks_with_any_login(self):
        for mechanism in "PLAIN", "LOGIN":
            with self.subTest(mechanism):
                login = ["--auth", mechanism, "--auth-user", "any", "--auth-password", "thing"]
                to = ["--to", "ann@fabrikam.com", "--from", MAILBOX]
                said = run("swaks", "--server", self.server(), *to, *login)
                self.assertIn("235 2.7.0 Authentication successful", said)
                self.assertIn(b"This is a test mailing", self.office365.next_mail()[2])

    def test_swaks_that_insists_on_tls(self):
        done = subprocess.run(
            ["swaks", "--server", self.server(), "--to", "ann@fabrikam.com", "--from", MAILBOX, "--tls"],
            capture_output=True,
            timeout=PATIENCE,
        )
        # 29: TLS was required and not had.
        self.assertEqual(done.returncode, 29, done.stdout + done.stderr)

    def test_curl(self):
        for login in [], ["--user", "any:thing"], ["--user", "any:thing", "--login-options", "AUTH=LOGIN"]:
            with self.subTest(login):
                options = ["--silent", "--show-error", f"smtp://{self.server()}/erp", "--mail-from", MAILBOX, *login]
                run("curl", *options, "--mail-rcpt", "ann@fabrikam.com", "--upload-file", "-", stdin=LETTER)
                self.arrived()

    def test_msmtp(self):
        host = [f"--host={self.mailshim.host}", f"--port={self.mailshim.port}", "--file=/dev/null"]
        unix = LETTER.replace(b"\r\n", b"\n")
        with self.subTest("envelope by option"):
            run("msmtp", *host, f"--from={MAILBOX}", "--", "ann@fabrikam.com", stdin=unix)
            self.arrived()
        with self.subTest("envelope read from the mail"):
            run("msmtp", *host, "--read-envelope-from", "--read-recipients", stdin=unix)
            self.arrived()
        with self.subTest("a configuration file"), tempfile.NamedTemporaryFile("w") as file:
            file.write(f"account default\nhost {self.mailshim.host}\nport {self.mailshim.port}\nfrom {MAILBOX}\ntls off\nauth off\n")
            file.flush()
            run("msmtp", f"--file={file.name}", "ann@fabrikam.com", stdin=unix)
            self.arrived()

    def test_smtplib(self):
        with self.client() as client:
            client.sendmail(MAILBOX, ["ann@fabrikam.com", "bob@fabrikam.com"], LETTER)
        self.arrived(recipients=["TO:<ann@fabrikam.com>", "TO:<bob@fabrikam.com>"])

    def test_smtplib_with_helo_alone(self):
        with self.client() as client:
            client.helo("erp")
            client.sendmail(MAILBOX, "ann@fabrikam.com", LETTER)
        self.arrived()

    def test_smtplib_with_any_login(self):
        for mechanism in "PLAIN", "LOGIN":
            for initial in True, False:
                with self.subTest(mechanism, initial=initial), self.client() as client:
                    client.ehlo()
                    client.user, client.password = "any", "thing"
                    auth = getattr(client, f"auth_{mechanism.lower()}")
                    self.assertEqual(client.auth(mechanism, auth, initial_response_ok=initial)[0], 235)
                    client.sendmail(MAILBOX, "ann@fabrikam.com", LETTER)
                    self.arrived()

    def test_smtplib_8bitmime(self):
        letter = LETTER + "Grüße\r\n".encode("latin-1")
        with self.client() as client:
            client.sendmail(MAILBOX, "ann@fabrikam.com", letter, mail_options=["BODY=8BITMIME"])
        self.assertIn("BODY=8BITMIME", self.arrived(letter))

    def test_smtplib_smtputf8(self):
        message = email.message.EmailMessage(policy=email.policy.SMTPUTF8)
        message["From"] = f"Büro <{MAILBOX}>"
        message["To"], message["Subject"] = "jörg@fabrikam.com", "Grüße"
        message["Message-ID"], message["Date"] = "<2@erp.contoso.com>", "Tue, 24 Nov 2026 09:00:00 +0000"
        message.set_content("für Jörg\n", cte="8bit")
        with self.client() as client:
            client.send_message(message)
        parameters = self.arrived(message.as_bytes(), recipients=["TO:<jörg@fabrikam.com>"])
        self.assertIn("SMTPUTF8", parameters)

    def test_smtplib_dsn(self):
        with self.client() as client:
            client.sendmail(
                MAILBOX,
                "ann@fabrikam.com",
                LETTER,
                mail_options=["RET=HDRS", "ENVID=QQ314159"],
                rcpt_options=["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;ann@fabrikam.com"],
            )
        recipient = "TO:<ann@fabrikam.com> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;ann@fabrikam.com"
        parameters = self.arrived(recipients=[recipient])
        self.assertLessEqual({"RET=HDRS", "ENVID=QQ314159"}, set(parameters))

    def test_a_mail_of_35_mb(self):
        # Lines of every length up to a kilobyte, of any octet but CR and LF, dots at the beginnings of some.
        chance = random.Random(4711)
        octets = bytes(octet for octet in range(1, 256) if octet not in b"\r\n")
        block = bytes(chance.choices(octets, k=1 << 20))
        content, at = [LETTER], 0
        size = len(LETTER)
        while size < 35_000_000:
            length = chance.randrange(0, 990)
            at = (at + length) % (len(block) - 1000)
            line = (b"." if length % 7 == 0 else b"") + block[at : at + length] + b"\r\n"
            content.append(line)
            size += len(line)
        content = b"".join(content)
        with self.client() as client:
            client.sendmail(MAILBOX, "ann@fabrikam.com", content)
        self.arrived(content)

        with tempfile.TemporaryDirectory() as directory:
            file = pathlib.Path(directory) / "letter"
            file.write_bytes(content)
            options = ["--silent", "--show-error", f"smtp://{self.server()}", "--mail-from", MAILBOX]
            run("curl", *options, "--mail-rcpt", "ann@fabrikam.com", "--upload-file", file)
        self.arrived(content)

    def test_a_mail_that_is_too_large(self):
        with self.client() as client, self.assertRaises(smtplib.SMTPResponseException) as refused:
            client.sendmail(MAILBOX, "ann@fabrikam.com", LETTER + b"x" * 998 * 37_000)
        self.assertEqual(refused.exception.smtp_code, 552)

    def test_500_recipients_and_one_more(self):
        recipients = [f"user{number}@fabrikam.com" for number in range(501)]
        with self.client() as client:
            refused = client.sendmail(MAILBOX, recipients, LETTER)
        self.assertEqual(refused, {recipients[500]: (452, b"4.5.3 Too many recipients")})
        self.arrived(recipients=[f"TO:<{recipient}>" for recipient in recipients[:500]])

    def test_a_thousand_mails_over_one_connection(self):
        with self.client() as client:
            for number in range(1000):
                client.sendmail(MAILBOX, "ann@fabrikam.com", LETTER + b"%d\r\n" % number)
        for number in range(1000):
            self.arrived(LETTER + b"%d\r\n" % number)

    def test_a_thousand_mails_over_a_thousand_connections(self):
        def send(number):
            with self.client() as client:
                client.sendmail(MAILBOX, "ann@fabrikam.com", LETTER + b"%d\r\n" % number)

        with concurrent.futures.ThreadPoolExecutor(max_workers=8) as pool:
            list(pool.map(send, range(1000)))
        took = {int(content.split()[-1]): content for _, _, content in (self.office365.next_mail() for _ in range(1000))}
        self.assertEqual(sorted(took), list(range(1000)))
        for number, content in took.items():
            self.assertTrue(carries(content, LETTER + b"%d\r\n" % number), content)


class WithLogin(Case):
    variables = {"MAILSHIM_APP_USERNAME": USERNAME, "MAILSHIM_APP_PASSWORD": PASSWORD}

    def test_the_right_login(self):
        unix = LETTER.replace(b"\r\n", b"\n")
        for mechanism in "PLAIN", "LOGIN":
            with self.subTest("swaks", mechanism=mechanism):
                login = ["--auth", mechanism, "--auth-user", USERNAME, "--auth-password", PASSWORD]
                to = ["--to", "ann@fabrikam.com", "--from", MAILBOX]
                run("swaks", "--server", self.server(), *to, *login, "--data", "-", stdin=unix)
                self.arrived(LETTER + b"\r\n")
            with self.subTest("curl", mechanism=mechanism):
                login = ["--user", f"{USERNAME}:{PASSWORD}", "--login-options", f"AUTH={mechanism}"]
                options = ["--silent", "--show-error", f"smtp://{self.server()}", "--mail-from", MAILBOX, *login]
                run("curl", *options, "--mail-rcpt", "ann@fabrikam.com", "--upload-file", "-", stdin=LETTER)
                self.arrived()
            with self.subTest("msmtp", mechanism=mechanism):
                host = [f"--host={self.mailshim.host}", f"--port={self.mailshim.port}", "--file=/dev/null"]
                login = [f"--auth={mechanism.lower()}", f"--user={USERNAME}", f"--passwordeval=echo '{PASSWORD}'"]
                run("msmtp", *host, *login, "--tls=off", f"--from={MAILBOX}", "ann@fabrikam.com", stdin=unix)
                self.arrived()
        with self.subTest("smtplib"), self.client() as client:
            client.login(USERNAME, PASSWORD)
            client.sendmail(MAILBOX, "ann@fabrikam.com", LETTER)
            self.arrived()

    def test_the_wrong_login(self):
        for username, password in (USERNAME, "wrong"), ("wrong", PASSWORD), (USERNAME, PASSWORD + "x"):
            with self.subTest(username), self.client() as client:
                with self.assertRaises(smtplib.SMTPAuthenticationError) as refused:
                    client.login(username, password)
                self.assertEqual(refused.exception.smtp_code, 535)

    def test_no_login(self):
        with self.client() as client, self.assertRaises(smtplib.SMTPSenderRefused) as refused:
            client.sendmail(MAILBOX, "ann@fabrikam.com", LETTER)
        self.assertEqual(refused.exception.smtp_code, 530)


class Refusals(Case):
    """The client hears Office 365's own refusal."""

    office365_arguments = ["--fault", "once*reply-at=rcpt=550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found"]

    def test_an_unknown_recipient_and_a_foreign_sender(self):
        with self.client() as client:
            with self.assertRaises(smtplib.SMTPDataError) as refused:
                client.sendmail(MAILBOX, "ann@fabrikam.com", LETTER)
            self.assertEqual(refused.exception.smtp_code, 550)
            self.assertIn(b"5.1.10 Office 365 about <ann@fabrikam.com>: ", refused.exception.smtp_error)
            with self.assertRaises(smtplib.SMTPDataError) as refused:
                client.sendmail("boss@contoso.com", "ann@fabrikam.com", LETTER.replace(b"From: <app", b"From: <boss"))
            self.assertEqual(refused.exception.smtp_code, 554)
            self.assertIn(b"SendAsDenied", refused.exception.smtp_error)
            client.sendmail(MAILBOX, "ann@fabrikam.com", LETTER)
        self.arrived()


if __name__ == "__main__":
    unittest.main()
