"""The three renderings of the status, with hostile words in them: see `run`."""

import http.client
import json
import pathlib
import smtplib
import subprocess
import sys
import tempfile
import unicodedata

from browser import Browser
from running import PATIENCE, PROGRAMS, Mailshim, Office365

PICTURES = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else None
# What would run, load or break out, were it not text.
HOSTILE = "<script>alert(1)</script><img src=http://127.0.0.1:1/x onerror=alert(2)>"
SENDER = '"<svg/onload=alert(3)>\'&quot;"@contoso.com'
RECIPIENT = '"</p><script>alert(4)</script>"@fabrikam.com'


class Shim(Mailshim):
    def __init__(self, office365, **variables):
        super().__init__(office365, MAILSHIM_HTTP_LISTEN="127.0.0.1:0", **variables)
        self.probes = json.loads(next(line for line in self.seen if "probes and metrics" in line))["address"]
        self.url = f"http://{self.probes}/"

    def send(self, sender="app@contoso.com", recipient="ann@fabrikam.com"):
        """One mail, said word for word; the code at its end."""
        with smtplib.SMTP(self.host, self.port, timeout=PATIENCE) as app:
            app.ehlo()
            assert app.docmd("MAIL", f"FROM:<{sender}>")[0] == 250
            assert app.docmd("RCPT", f"TO:<{recipient}>")[0] == 250
            return app.data(f"From: <{sender}>\r\nSubject: c4n4ry\r\n\r\nc4n4ry\r\n")[0]

    def status(self, *flags):
        ended = subprocess.run(
            [PROGRAMS / "mailshim", "status", *flags], env={"MAILSHIM_HTTP_LISTEN": self.probes}, capture_output=True, timeout=PATIENCE
        )
        assert ended.returncode == 0, ended
        return ended.stdout.decode()

    def ask(self, **headers):
        connection = http.client.HTTPConnection(self.probes, timeout=PATIENCE)
        connection.request("GET", "/", headers=headers)
        answer = connection.getresponse()
        return answer, answer.read().decode()


def moves_a_terminal(text):
    return [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf")]


def look_at(browser, url, name):
    """The page in both colour schemes, on a desk and in a hand: silent, alone, and no wider than its window."""
    for width, height in [(1000, 800), (360, 740)]:
        backgrounds = set()
        for scheme in ["light", "dark"]:
            browser.look(width, height, scheme)
            console, requests = browser.open(url)
            assert console == [], console
            assert [request for request in requests if not request.startswith("data:")] == [url], requests
            wide = browser.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{name}: {wide} pixels at {width}"
            assert browser.evaluate("document.querySelectorAll('script,img,iframe,object,embed,a,form').length") == 0
            backgrounds.add(browser.evaluate("getComputedStyle(document.body).backgroundColor"))
            if PICTURES:
                (PICTURES / f"{name}-{scheme}-{width}.png").write_bytes(browser.screenshot())
        assert len(backgrounds) == 2, backgrounds
    return browser.evaluate("document.body.innerText")


def the_console_is_heard(browser):
    """What would be missed if nothing were heard."""
    with tempfile.NamedTemporaryFile("w", suffix=".html") as page:
        page.write("<meta http-equiv=content-security-policy content=\"default-src 'none'\"><p style='color:red'>x<script>alert(1)</script>")
        page.flush()
        console, _ = browser.open(f"file://{page.name}")
        assert len(console) >= 2, console


def hostile_words_are_text(browser):
    office365 = Office365("--any-sender", f"--fault=reply-at=dot=554 5.7.0 {HOSTILE} \x1b[2J\x1b]0;x\x07 c1\x9b31m")
    shim = Shim(office365, MAILSHIM_FROM_POLICY="keep")
    for _ in range(25):
        assert shim.send(SENDER, RECIPIENT) // 100 in (4, 5)
    text = look_at(browser, shim.url, "refused")
    for words in [HOSTILE, SENDER, RECIPIENT]:
        assert words in text, f"{words}\n{text}"
    screen = shim.status()
    assert HOSTILE in screen and SENDER in screen and RECIPIENT in screen, screen
    assert not moves_a_terminal(screen), moves_a_terminal(screen)
    values = shim.status("--json")
    assert not moves_a_terminal(values), values
    refusals = json.loads(values)["refusals"]
    assert len(refusals) == 20
    assert HOSTILE in refusals[0]["reason"] and refusals[0]["from"] == SENDER and refusals[0]["to"] == RECIPIENT, refusals[0]
    for rendering in [text, screen, values]:
        assert "c4n4ry" not in rendering
    answer, _ = shim.ask(Host="rebound.example")
    assert answer.status == 421
    answer, _ = shim.ask(Accept="application/json")
    assert answer.headers["Content-Type"] == "application/json" and answer.headers["X-Content-Type-Options"] == "nosniff"
    assert shim.stop() == 0 and office365.stop() == 0


def each_answer_is_on_the_page(browser):
    for name, faults, words in [
        ("sign-in", ["--fault=reply-at=auth=535 5.7.3 Authentication unsuccessful"], ["Mail does not go out", "535 5.7.3", "Run mailshim check", "app@contoso.com"]),
        ("throttled", ["--fault=reply-at=dot=432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded"], ["Mail does not go out for now", "until", "432 4.3.2"]),
        ("fine", [], ["Mail goes out", "2 in the last hour"]),
    ]:
        office365 = Office365(*faults)
        shim = Shim(office365, MAILSHIM_HOLD="1s", MAILSHIM_MESSAGES_PER_MINUTE="28")
        codes = [shim.send() for _ in range(2)]
        assert all(code == 250 for code in codes) == (name == "fine"), codes
        text, screen = look_at(browser, shim.url, name), shim.status()
        for word in words:
            assert word in text and word in screen, f"{name}: {word}\n{text}\n{screen}"
        print(f"{name}: {screen.splitlines()[0]}")
        assert shim.stop() == 0 and office365.stop() == 0


def main():
    browser = Browser()
    try:
        the_console_is_heard(browser)
        hostile_words_are_text(browser)
        each_answer_is_on_the_page(browser)
    finally:
        browser.close()
    print("the status: silent console, text alone, both colour schemes, 360 pixels")


main()
