#!/usr/bin/env python3
"""DKIM before and after: signs mails with dkimpy, sends them through mailshim to the simulated Office 365, and verifies
what arrived. Under `keep`, and under `repair` where nothing needed repair, each signature must still verify; where
`force` changes From it must not, or this check would see nothing.

    python3 -m venv /tmp/dkim && /tmp/dkim/bin/pip install dkimpy==1.1.8 cryptography
    cargo build -p mailshim -p office365 && /tmp/dkim/bin/python tests/outside/dkim/check.py [target/debug]

Exit code 0 only if all holds.
"""
import base64
import os
import pathlib
import queue
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
import threading
import time

import dkim
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

HEADER = (
    b"From: Alerts <app@contoso.com>\r\nTo: someone@fabrikam.com\r\n"
    b"Subject: =?utf-8?Q?St=C3=B6rung?=\r\n  folded\r\n"
    b"Date: Mon, 23 Nov 2026 10:00:00 +0100\r\nMessage-ID: <%d@web.contoso.com>\r\nMIME-Version: 1.0\r\n"
)
MAILS = {
    "plain": HEADER + b"X-Odd:  two  blanks \r\n\r\nHello\r\n. a dot\r\n\r\ntrailing blanks  \r\n\r\n\r\n",
    "eight bits": HEADER
    + b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n",
    # Beyond what is held in memory: streamed.
    "large": HEADER + b"\r\n" + b"0123456789abcdef\r\n" * 40_000,
}
SIGNED = [b"from", b"to", b"subject", b"date", b"message-id", b"mime-version", b"sender", b"reply-to", b"x-odd"]
WAIT = 20


def key_pair():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private, b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Program:
    """A program whose lines are read as they come."""

    def __init__(self, arguments, env):
        self.process = subprocess.Popen(
            [str(a) for a in arguments], env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.lines = queue.Queue()
        self.seen = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))

    def wait_for(self, text):
        until = time.monotonic() + WAIT
        while True:
            try:
                line = self.lines.get(timeout=max(0.01, until - time.monotonic()))
            except queue.Empty:
                sys.exit("no '%s' within %d s:\n%s" % (text, WAIT, "\n".join(self.seen)))
            self.seen.append(line)
            if text in line:
                return line

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(WAIT)
        except subprocess.TimeoutExpired:
            self.process.kill()


def run(policy, folder, binaries, verified):
    """Sends each mail under this policy; whether each verdict was as it must be."""
    private, record = key_pair()
    mails = folder / policy
    mails.mkdir()
    # Under `force` the simulator must not refuse the sender: what counts is what arrives.
    any_sender = ["--any-sender"] if policy == "force" else []
    office365 = Program(
        [binaries / "office365", "--smtp-port", 0, "--https-port", 0, "--mail-out", mails, *any_sender],
        dict(os.environ),
    )
    variables = {}
    shim = None
    try:
        while "AZURE_AUTHORITY_HOST" not in variables:
            name, value = office365.wait_for("export ").removeprefix("export ").split("=", 1)
            variables[name] = value.strip("'")
        port = free_port()
        variables["MAILSHIM_LISTEN"] = "127.0.0.1:%d" % port
        variables["MAILSHIM_FROM_POLICY"] = policy
        variables["MAILSHIM_FROM"] = "other@contoso.com" if policy == "force" else "app@contoso.com"
        variables["MAILSHIM_LOG_FORMAT"] = "text"
        shim = Program([binaries / "mailshim"], {"PATH": os.environ.get("PATH", ""), **variables})
        shim.wait_for("listening")
        good = True
        for number, (name, mail) in enumerate(MAILS.items(), 1):
            mail = mail.replace(b"%d", str(number).encode())
            for canonicalization in ((b"simple", b"simple"), (b"relaxed", b"relaxed")):
                signature = dkim.sign(
                    mail, b"s1", b"contoso.com", private, canonicalize=canonicalization, include_headers=SIGNED
                )
                before = set(mails.iterdir())
                with smtplib.SMTP("127.0.0.1", port, timeout=WAIT) as app:
                    app.sendmail("app@contoso.com", ["someone@fabrikam.com"], signature + mail, ["BODY=8BITMIME"])
                arrived = arrival(mails, before)
                assert b"\nReceived: from localhost by " in b"\n" + arrived, "the shim was not on the way"
                verdict = dkim.verify(arrived, dnsfunc=lambda *_, **__: record)
                print("%-7s %-11s %-8s %s" % (policy, name, canonicalization[0].decode(), verdict))
                good &= verdict == verified
        return good
    finally:
        if shim:
            shim.stop()
        office365.stop()


def arrival(mails, before):
    """The mail that has come since."""
    until = time.monotonic() + WAIT
    while time.monotonic() < until:
        new = [path for path in set(mails.iterdir()) - before if path.suffix == ".eml"]
        if new:
            return new[0].read_bytes()
        time.sleep(0.02)
    sys.exit("no mail arrived within %d s" % WAIT)


def main():
    binaries = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "target/debug")
    with tempfile.TemporaryDirectory() as folder:
        results = [
            run(policy, pathlib.Path(folder), binaries, verified)
            for policy, verified in (("keep", True), ("repair", True), ("force", False))
        ]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
