"""Headless Chromium, asked over a pipe by its DevTools protocol: JSON objects with a NUL behind each."""

import base64
import json
import os
import shutil
import subprocess
import tempfile

# The bound of a wait, in seconds; who reaches it has failed.
PATIENCE = 120


class Browser:
    def __init__(self):
        self.profile = tempfile.mkdtemp(prefix="mailshim-chromium-")
        theirs_in, self.ours_out = os.pipe()
        self.ours_in, theirs_out = os.pipe()
        arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", f"--user-data-dir={self.profile}", "about:blank"]

        def pipes():
            # Not straight to 3 and 4: one of them may be the other's.
            one, two = os.dup(theirs_in), os.dup(theirs_out)
            os.dup2(one, 3)
            os.dup2(two, 4)

        # Silent: it has words about a machine without a bus.
        self.process = subprocess.Popen(
            [os.environ["CHROMIUM"], *arguments], preexec_fn=pipes, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self.rest = b""
        self.number = 0
        self.console = []
        self.requests = []
        self.loaded = 0
        target = next(target for target in self.ask("Target.getTargets")["targetInfos"] if target["type"] == "page")
        self.session = None
        self.session = self.ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Log", "Network", "Security"]:
            self.ask(f"{domain}.enable")

    def _next(self):
        while b"\0" not in self.rest:
            octets = os.read(self.ours_in, 1 << 16)
            assert octets, "Chromium has ended"
            self.rest += octets
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def _hear(self, message):
        method, values = message.get("method"), message.get("params", {})
        if method == "Runtime.consoleAPICalled":
            self.console.append(("console", values["args"]))
        elif method == "Runtime.exceptionThrown":
            self.console.append(("exception", values["exceptionDetails"]["text"]))
        elif method == "Log.entryAdded":
            self.console.append((values["entry"]["level"], values["entry"]["text"]))
        elif method == "Page.javascriptDialogOpening":
            self.console.append(("dialog", values["message"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(values["request"]["url"])
        elif method == "Page.loadEventFired":
            self.loaded += 1

    def ask(self, method, **values):
        self.number += 1
        message = {"id": self.number, "method": method, "params": values}
        if getattr(self, "session", None):
            message["sessionId"] = self.session
        os.write(self.ours_out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
            self._hear(answer)

    def open(self, url):
        """Opens a page and waits until it has all that it wants; what its console said and what was asked for."""
        self.console, self.requests, self.loaded = [], [], 0
        assert "errorText" not in self.ask("Page.navigate", url=url)
        while not self.loaded:
            self._hear(self._next())
        # What the console has to say comes behind.
        self.evaluate("1")
        return self.console, self.requests

    def evaluate(self, expression):
        return self.ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def look(self, width, height, scheme):
        """The window, and the reader's colours."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self):
        return base64.b64decode(self.ask("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def close(self):
        self.session = None
        self.ask("Browser.close")
        self.process.wait(PATIENCE)
        os.close(self.ours_in)
        os.close(self.ours_out)
        shutil.rmtree(self.profile, ignore_errors=True)
