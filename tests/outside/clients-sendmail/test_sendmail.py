"""PHP's mail(), mutt, s-nail, git send-email, cron, Python's and Go's wrappers: through a link named sendmail."""

import email.message
import json
import os
import pathlib
import queue
import shutil
import subprocess
import tempfile
import threading
import time
import unittest

PROGRAMS = pathlib.Path(os.environ["PROGRAMS"])

# The bound of every wait, in seconds. Nothing is measured by it: who reaches it has failed.
PATIENCE = 120

CANARY = "c4n4ry"
LOGIN = {"MAILSHIM_APP_USERNAME": "erp", "MAILSHIM_APP_PASSWORD": CANARY}


class Program:
    """A child whose output is read line by line."""

    def __init__(self, name, arguments, environment):
        command = [PROGRAMS / name, *arguments]
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self.process = subprocess.Popen(command, env=environment, text=True, **streams)
        self.name, self.lines, self.seen = name, queue.Queue(), []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def next_line(self, wanted):
        """The next line for which `wanted` holds."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                line = self.lines.get(timeout=max(0, until - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                raise AssertionError(f"{self.name} did not print what was waited for, but:\n" + "\n".join(self.seen[-30:]))
            self.seen.append(line)
            if wanted(line):
                return line

    def stop(self):
        """SIGTERM; all that it printed."""
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join()
        self.process.stdout.close()
        while not self.lines.empty():
            self.seen.append(self.lines.get() or "")
        return "\n".join(self.seen)


def git_with_send_email():
    """The git that has send-email: there may be a newer one without it before Debian's."""
    for git in [shutil.which("git"), "/usr/bin/git"]:
        where = subprocess.run([git, "--exec-path"], capture_output=True, text=True, check=True).stdout.strip()
        if pathlib.Path(where, "git-send-email").exists():
            return git
    raise AssertionError("no git send-email")


class ThroughSendmail(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.home = pathlib.Path(tempfile.mkdtemp(prefix="mailshim-sendmail-"))
        ports = ["--smtp-port", "0", "--https-port", "0", "--any-sender", "--env-out", cls.home / "env"]
        cls.office365 = Program("office365", ports, {})
        cls.office365.next_line(lambda line: line.startswith("export AZURE_AUTHORITY_HOST"))
        given = dict(line.split("=", 1) for line in (cls.home / "env").read_text().splitlines())
        cls.secret = given["MAILSHIM_CLIENT_SECRET"]
        listen = {"MAILSHIM_LISTEN": "127.0.0.1:0", "MAILSHIM_LOG_FORMAT": "json"}
        cls.shim = Program("mailshim", [], given | LOGIN | listen)
        listening = json.loads(cls.shim.next_line(lambda line: '"message":"listening"' in line))
        sbin = cls.home / "usr" / "sbin"
        sbin.mkdir(parents=True)
        cls.sendmail = sbin / "sendmail"
        cls.sendmail.symlink_to(PROGRAMS / "mailshim")
        cls.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(cls.home),
            "LC_ALL": "C.UTF-8",
            "MAILSHIM_LISTEN": listening["address"],
        } | LOGIN
        listed = subprocess.run([PROGRAMS / "mailshim", "env"], capture_output=True, text=True, env=given)
        cls.has_policy = "MAILSHIM_FROM_POLICY" in listed.stdout

    @classmethod
    def tearDownClass(cls):
        log, seen = cls.shim.stop(), cls.office365.stop()
        shutil.rmtree(cls.home, ignore_errors=True)
        assert CANARY not in log + seen and cls.secret not in log, log
        # A recipient without a domain is passed on for Office 365 to judge.
        broken = [line for line in seen.splitlines() if "VIOLATION" in line and "'TO:<root>'" not in line]
        assert not broken, broken

    def call(self, command, text="", code=0):
        """Runs a client; nothing secret is in what it prints."""
        ended = subprocess.run(
            command, input=text, env=self.environment, cwd=self.home, capture_output=True, text=True, timeout=PATIENCE
        )
        printed = ended.stdout + ended.stderr
        self.assertEqual(ended.returncode, code, printed)
        self.assertNotIn(CANARY, printed)
        return printed

    def assert_arrives(self, subject, to="TO:<ann@fabrikam.com>", sender="app@contoso.com"):
        line = self.office365.next_line(lambda line: line.startswith("mail on connection "))
        for part in [f"MAIL FROM:<{sender}>", f"RCPT {to}", f"Subject: {subject}"]:
            self.assertIn(part, line)

    def test_php(self):
        script = 'exit(mail("ann@fabrikam.com", "php", "line\\n.\\nline", $argv[1]) ? 0 : 1);'
        for flags in ["-t -i", "-t -i -fapp@contoso.com"]:
            path = f"sendmail_path={self.sendmail} {flags}"
            header = "From: app@contoso.com\r\nBcc: eve@fabrikam.com"
            self.call(["php", "-n", "-d", path, "-r", script, "--", header])
            self.assert_arrives("php", "TO:<ann@fabrikam.com> TO:<eve@fabrikam.com>")

    def test_php_hears_of_a_refusal(self):
        script = 'exit(mail("no address at all", "php", "x", "From: app@contoso.com") ? 0 : 1);'
        self.call(["php", "-n", "-d", f"sendmail_path={self.sendmail} -t -i", "-r", script], code=1)

    def test_mutt(self):
        settings = f'set sendmail="{self.sendmail} -oem -oi" from=app@contoso.com use_envelope_from copy=no'
        attached = self.home / "attached.bin"
        attached.write_bytes(bytes(range(256)) * 1024)
        command = ["mutt", "-n", "-F", "/dev/null", "-e", settings, "-s", "mutt", "-b", "eve@fabrikam.com"]
        self.call([*command, "-a", attached, "--", "ann@fabrikam.com"], "Grüße\n.\nbody\n")
        self.assert_arrives("mutt", "TO:<ann@fabrikam.com> TO:<eve@fabrikam.com>")

    def test_s_nail(self):
        options = ["-n", "-S", f"mta={self.sendmail}", "-S", "sendwait", "-r", "app@contoso.com"]
        self.call(["s-nail", *options, "-s", "nail", "ann@fabrikam.com"], "body\n")
        self.assert_arrives("nail")

    def test_git_send_email(self):
        git = git_with_send_email()
        identity = ["-c", "user.name=App", "-c", "user.email=app@contoso.com"]
        repository = self.home / "repository"
        self.call([git, "init", "-q", repository])
        (repository / "file").write_text("text\n")
        self.call([git, "-C", repository, "add", "file"])
        self.call([git, "-C", repository, *identity, "commit", "-q", "-m", "a change"])
        send = [git, "-C", repository, *identity, "send-email", "--confirm=never", "--suppress-cc=all", "--quiet"]
        envelope = ["--from=app@contoso.com", "--to=ann@fabrikam.com", "--root", "-1"]
        for way in [f"--smtp-server={self.sendmail}", f"--sendmail-cmd={self.sendmail} -v"]:
            self.call([*send, way, "--envelope-sender=app@contoso.com", *envelope])
            self.assert_arrives("[PATCH] a change")

    def test_python(self):
        letter = email.message.EmailMessage()
        letter["From"], letter["To"], letter["Bcc"] = "app@contoso.com", "ann@fabrikam.com", "eve@fabrikam.com"
        letter["Subject"] = "python"
        letter.set_content("body\n")
        self.call([self.sendmail, "-t", "-oi"], letter.as_string())
        self.assert_arrives("python", "TO:<ann@fabrikam.com> TO:<eve@fabrikam.com>")

    def test_go(self):
        command = [self.sendmail, "-i", "-f", "app@contoso.com", "--", "ann@fabrikam.com"]
        self.call(command, "From: app@contoso.com\r\nSubject: go\r\n\r\nbody\r\n")
        self.assert_arrives("go")

    def test_msmtps_own_letters(self):
        # The test messages of msmtp's manual, to the interface that it shares with sendmail.
        self.call([self.sendmail, "ann@fabrikam.com"], "Subject: msmtp test\n\nThis is a test message.\n")
        self.assert_arrives("msmtp test")
        letter = "To: ann@fabrikam.com\nFrom: app@contoso.com\nSubject: msmtp -t\n\nHello there.\n"
        self.call([self.sendmail, "-t"], letter)
        self.assert_arrives("msmtp -t", "TO:<ann@fabrikam.com>")

    CRON = "From: {sender} (Cron Daemon)\nTo: {to}\nSubject: Cron <root@web> job\nMIME-Version: 1.0\n\noutput\n"

    def test_cron(self):
        command = [self.sendmail, "-FCronDaemon", "-i", "-B8BITMIME", "-oem", "ann@fabrikam.com"]
        self.call(command, self.CRON.format(sender="app@contoso.com", to="ann@fabrikam.com"))
        self.assert_arrives("Cron <root@web> job")

    def test_cron_as_root(self):
        if not self.has_policy:
            self.skipTest("the sender `root` is repaired by the sender policy")
        command = [self.sendmail, "-FCronDaemon", "-i", "-B8BITMIME", "-oem", "ann@fabrikam.com"]
        self.call(command, self.CRON.format(sender="root", to="ann@fabrikam.com"))
        self.assert_arrives("Cron <root@web> job")

    def test_cron_to_a_local_user(self):
        command = [self.sendmail, "-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root"]
        printed = self.call(command, self.CRON.format(sender="app@contoso.com", to="root"), code=67)
        self.assertIn("cron: MAILTO=", printed)

    def test_smtp_on_standard_input(self):
        dialogue = (
            "EHLO x\r\nMAIL FROM:<app@contoso.com>\r\nRCPT TO:<ann@fabrikam.com>\r\nDATA\r\n"
            "From: app@contoso.com\r\nSubject: bs\r\n\r\nbody\r\n.\r\nQUIT\r\n"
        )
        printed = self.call([self.sendmail, "-bs"], dialogue)
        self.assertTrue(printed.startswith("220 "), printed)
        self.assert_arrives("bs")


if __name__ == "__main__":
    unittest.main()
