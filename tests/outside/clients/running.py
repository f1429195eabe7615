"""mailshim and the simulated Office 365 as running programs."""

import json
import os
import pathlib
import queue
import shutil
import subprocess
import tempfile
import threading
import time

PROGRAMS = pathlib.Path(os.environ["PROGRAMS"])

# The bound of every wait, in seconds. Nothing is measured by it: who reaches it has failed.
PATIENCE = 120

MAILBOX = "app@contoso.com"


class Program:
    """A child whose output is read line by line."""

    def __init__(self, name, arguments, environment, stream, within=()):
        self.name = name
        self.process = subprocess.Popen(
            [*within, PROGRAMS / name, *arguments], env=environment, stdin=subprocess.DEVNULL, text=True, **{stream: subprocess.PIPE}
        )
        self.lines = queue.Queue()
        self.seen = []
        self.pipe = getattr(self.process, stream)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.pipe:
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
        """SIGTERM; the exit code."""
        self.process.terminate()
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.reader.join()
        self.pipe.close()
        while not self.lines.empty():
            line = self.lines.get()
            if line is not None:
                self.seen.append(line)
        return code


class Office365(Program):
    """The simulator; it writes each mail that it took to a file."""

    def __init__(self, *arguments):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="mailshim-clients-"))
        self.read = 0
        ports = ["--smtp-port", "0", "--https-port", "0", "--mail-out", self.directory, "--env-out", self.directory / "env"]
        super().__init__("office365", [*ports, *arguments], {}, "stdout")
        self.next_line(lambda line: line.startswith("# simulated Office 365"))

    def environment(self):
        lines = (self.directory / "env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def next_mail(self):
        """Envelope as (MAIL, [RCPT …]) and content of the next mail."""
        line = self.next_line(lambda line: line.startswith("mail on connection "))
        self.read += 1
        envelope = line.split(", MAIL ", 1)[1].split("  ", 1)[0]
        mail, recipients = envelope.split(", RCPT ", 1)
        file = self.directory / f"{self.read}.eml"
        content = file.read_bytes()
        file.unlink()
        return mail, [f"TO:{rest}".strip() for rest in recipients.split("TO:")[1:]], content

    def stop(self):
        code = super().stop()
        shutil.rmtree(self.directory, ignore_errors=True)
        return code

    def violations(self):
        return [line for line in self.seen if line.startswith("VIOLATION")]


class Mailshim(Program):
    def __init__(self, office365, within=(), **variables):
        """`within`: the words of a command that becomes mailshim."""
        # A thousand mails at Office 365's pace would take half an hour.
        environment = office365.environment() | {
            "MAILSHIM_LISTEN": "127.0.0.1:0",
            "MAILSHIM_LOG_FORMAT": "json",
            "MAILSHIM_MESSAGES_PER_MINUTE": "0",
        }
        super().__init__("mailshim", [], environment | variables, "stderr", within)
        address = json.loads(self.next_line(lambda line: '"listening"' in line))["address"]
        self.host, port = address.rsplit(":", 1)
        self.port = int(port)
