"""Mail and tokens through real egress proxies, and what the app hears where one does not let them pass."""

import pathlib
import shutil
import smtplib
import socket
import tempfile
import time
import unittest

from running import MAILBOX, PATIENCE, Mailshim, Office365, Program

USERNAME, PASSWORD = "egress", "p4ss-c4n4ry"

LETTER = f"From: <{MAILBOX}>\r\nTo: ann@fabrikam.com\r\nSubject: by proxy\r\n\r\n.a dot\r\nthe last line\r\n".encode()

# The simulator's, for a sign-in without a token.
MAILBOX_PASSWORD = "correct horse battery staple"
BY_PASSWORD = {
    "MAILSHIM_AUTH": "password",
    "MAILSHIM_PASSWORD": MAILBOX_PASSWORD,
    "MAILSHIM_CLIENT_SECRET": "",
}


def free_port():
    """A port on which nobody listens: whoever connects is refused."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


class Proxy(Program):
    """A proxy that listens, and whose log is read once it has stopped."""

    def __init__(self, name, arguments, stream, port):
        self.address = f"127.0.0.1:{port}"
        super().__init__(shutil.which(name), arguments, {}, stream)
        until = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), PATIENCE).close()
                return
            except ConnectionRefusedError:
                if self.process.poll() is not None or time.monotonic() > until:
                    raise AssertionError(f"{name} does not listen")
                time.sleep(0.02)


class Tinyproxy(Proxy):
    scheme = "http"

    def __init__(self, login=False):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="mailshim-proxies-"))
        port = free_port()
        lines = [f"Port {port}", "Listen 127.0.0.1", "Allow 127.0.0.1", "LogLevel Connect", "Timeout 600"]
        if login:
            lines.append(f"BasicAuth {USERNAME} {PASSWORD}")
        configuration = self.directory / "tinyproxy.conf"
        configuration.write_text("\n".join(lines) + "\n")
        super().__init__("tinyproxy", ["-d", "-c", configuration], "stdout", port)

    def stop(self):
        code = super().stop()
        shutil.rmtree(self.directory, ignore_errors=True)
        return code

    def targets(self):
        """What was asked for, as the proxy's log has it."""
        return [line.split(": CONNECT ", 1)[1].split()[0] for line in self.seen if ": CONNECT " in line]


class Microsocks(Proxy):
    scheme = "socks5h"

    def __init__(self, login=False):
        port = free_port()
        arguments = ["-i", "127.0.0.1", "-p", str(port), *(["-u", USERNAME, "-P", PASSWORD] if login else [])]
        super().__init__("microsocks", arguments, "stderr", port)

    def targets(self):
        return [line.rsplit(": connected to ", 1)[1] for line in self.seen if ": connected to " in line]


class Case(unittest.TestCase):
    """A simulator for each test. It listens on [::1], too: microsocks tries the first address of a name alone."""

    def setUp(self):
        self.office365 = Office365("--ipv6")
        self.addCleanup(self.office365.stop)
        environment = self.office365.environment()
        self.upstream = environment["MAILSHIM_UPSTREAM"]
        self.authority = environment["AZURE_AUTHORITY_HOST"].removeprefix("https://")
        self.assertTrue(self.upstream.startswith("localhost:"))

    def send(self, proxy, login="", **variables):
        """One mail by a shim that is told of the proxy; the reply, and the shim with all that it logged."""
        address = proxy if isinstance(proxy, str) else f"{proxy.scheme}://{login}{proxy.address}"
        shim = Mailshim(self.office365, MAILSHIM_EGRESS_PROXY=address, **variables)
        try:
            with smtplib.SMTP(shim.host, shim.port, timeout=PATIENCE) as app:
                app.ehlo()
                app.mail(MAILBOX)
                app.rcpt("ann@fabrikam.com")
                code, text = app.data(LETTER)
        finally:
            shim.stop()
        return f"{code} {text.decode()}", shim

    def passes(self, proxy, login="", **variables):
        reply, shim = self.send(proxy, login, **variables)
        self.assertTrue(reply.startswith("250 "), reply)
        mail, recipients, content = self.office365.next_mail()
        self.assertTrue(content.endswith(b"\r\n\r\n.a dot\r\nthe last line\r\n"), content)
        self.assertEqual(self.office365.violations(), [])
        return shim

    def fails(self, words, proxy, login="", **variables):
        """The app hears these words with a 4xx, soon: whoever can mend it is an operator."""
        reply, shim = self.send(proxy, login, MAILSHIM_HOLD="1s", **variables)
        self.assertRegex(reply, r"^45[14] 4\.")
        for word in words:
            self.assertIn(word, reply)
        self.assertNotIn(PASSWORD, reply + "".join(shim.seen))


class Through:
    """What holds for both protocols; `proxy` makes one."""

    def started(self, **options):
        proxy = self.proxy(**options)
        # Asked at the end of the test, too: stopping twice does no harm.
        self.addCleanup(lambda: proxy.process.poll() is None and proxy.stop())
        return proxy

    def both_went_by_name(self, proxy):
        proxy.stop()
        targets = set(proxy.targets())
        # By name, so that a proxy that filters by name can, and no name server is needed here.
        self.assertEqual(targets, {self.upstream, self.authority}, "\n".join(proxy.seen))

    def test_mail_and_token(self):
        proxy = self.started()
        self.passes(proxy)
        self.both_went_by_name(proxy)

    def test_mail_and_token_with_a_login(self):
        proxy = self.started(login=True)
        shim = self.passes(proxy, f"{USERNAME}:{PASSWORD}@")
        self.assertNotIn(PASSWORD, "".join(shim.seen))
        self.both_went_by_name(proxy)

    def test_tls_is_verified_end_to_end(self):
        proxy = self.started()
        words = ["certificate", "localhost", "MAILSHIM_CA_FILE"]
        # The token service's certificate, and the one behind STARTTLS.
        self.fails(words, proxy, MAILSHIM_CA_FILE="")
        self.fails(words, proxy, MAILSHIM_CA_FILE="", **BY_PASSWORD)
        proxy.stop()
        self.assertEqual(set(proxy.targets()), {self.upstream, self.authority})

    def test_a_login_that_is_missing_or_wrong(self):
        proxy = self.started(login=True)
        self.fails([*self.wants_login, proxy.address], proxy)
        self.fails([*self.refuses_login, proxy.address], proxy, f"{USERNAME}:wrong-{PASSWORD}@")

    def test_what_the_proxy_cannot_reach(self):
        proxy = self.started()
        closed = f"localhost:{free_port()}"
        words = [proxy.address, closed, *self.cannot_reach]
        self.fails(words, proxy, MAILSHIM_UPSTREAM=closed, **BY_PASSWORD)
        self.fails(words, proxy, AZURE_AUTHORITY_HOST=f"https://{closed}")

    def test_a_proxy_that_is_not_there(self):
        address = f"127.0.0.1:{free_port()}"
        words = [f"the egress proxy {address}: it is not reached", "Check the address in MAILSHIM_EGRESS_PROXY"]
        self.fails(words, f"{self.proxy.scheme}://{address}")

    def test_no_proxy(self):
        # Nobody listens at the proxy's address: what passes has not asked it.
        nowhere = f"{self.proxy.scheme}://127.0.0.1:{free_port()}"
        self.passes(nowhere, NO_PROXY="fabrikam.com,localhost")
        self.fails(["refused"], nowhere, NO_PROXY="fabrikam.com")


class Connect(Through, Case):
    proxy = Tinyproxy
    # tinyproxy's own answer to a wrong login is 401.
    wants_login = ["407: it wants a user name and a password", "MAILSHIM_EGRESS_PROXY"]
    refuses_login = ["401: it wants a user name and a password", "MAILSHIM_EGRESS_PROXY"]
    cannot_reach = ["500: it did not reach"]


class Socks5(Through, Case):
    proxy = Microsocks
    wants_login = ["MAILSHIM_EGRESS_PROXY"]
    refuses_login = ["MAILSHIM_EGRESS_PROXY"]
    cannot_reach = ["refused"]


if __name__ == "__main__":
    unittest.main()
