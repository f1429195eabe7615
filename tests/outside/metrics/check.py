#!/usr/bin/env python3
"""/metrics judged by Prometheus' own parser, while mail flows.

    python3 -m venv .venv && .venv/bin/pip install prometheus_client
    cargo build --workspace && .venv/bin/python tests/outside/metrics/check.py target/debug

The argument is the directory of the programs mailshim and office365. Exit code 0: every scrape was OpenMetrics, nothing
went backwards, names end in the conventional units, and the labels are bounded.
"""

import http.client
import json
import os
import pathlib
import smtplib
import sys
import threading
import time

os.environ["PROGRAMS"] = str(pathlib.Path(sys.argv[1]).resolve())
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "clients"))
sys.dont_write_bytecode = True

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
from running import PATIENCE, Mailshim, Office365

MAILS = 60
# Distinct enhanced codes that Office 365 is made to refuse with: more than have a series of their own.
CODES = 90
MOST_SERIES_OF_A_COUNTER = 64 * 5 + 5

# The base units of prometheus.io/docs/practices/naming that occur here.
UNITS = {"seconds", "bytes"}
LABELS = {"level", "outcome", "code", "stage", "phase", "ending", "result", "version", "le"}


class Shim(Mailshim):
    """Reads where its probes are, which is told before the app's port."""

    def __init__(self, office365, **variables):
        super().__init__(office365, MAILSHIM_HTTP_LISTEN="127.0.0.1:0", **variables)
        line = next(line for line in self.seen if "probes and metrics" in line)
        self.probes = json.loads(line)["address"]

    def scrape(self):
        connection = http.client.HTTPConnection(self.probes, timeout=PATIENCE)
        connection.request("GET", "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        assert answer.status == 200, answer.status
        kind = answer.getheader("Content-Type")
        assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8", kind
        return text


def samples(text):
    """Every sample by name and labels; the parser raises on anything that is not OpenMetrics."""
    found = {}
    for family in parse(text):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, f"twice: {key}"
            found[key] = (family, sample.value)
    return found


def check_names(found):
    for (name, labels), (family, value) in found.items():
        assert name.startswith("mailshim_"), name
        assert family.documentation, f"{name} has no help"
        assert {label for label, _ in labels} <= LABELS, (name, labels)
        if family.type == "counter":
            assert name.endswith("_total"), name
        if family.type == "histogram":
            assert family.name.endswith("_seconds"), family.name
        if family.unit:
            assert family.unit in UNITS and family.name.endswith(f"_{family.unit}"), family.name
        for wrong in ("_ms", "_milliseconds", "_minutes", "_kb", "_percent", "_count_total"):
            assert not family.name.endswith(wrong), family.name
        for _, label in labels:
            assert "@" not in label and len(label) < 32, (name, label)


def check_order(before, after):
    """A counter never falls."""
    for key, (family, value) in before.items():
        if family.type in ("counter", "histogram") and not key[0].endswith("_created"):
            assert key in after, f"{key} is gone"
            assert after[key][1] >= value, f"{key} fell from {value} to {after[key][1]}"


def value(found, name, **labels):
    return found[(name, tuple(sorted(labels.items())))][1]


def send(shim, count, expect_refusal=False):
    for number in range(count):
        with smtplib.SMTP(shim.host, shim.port, timeout=PATIENCE) as app:
            mail = f"From: app@contoso.com\r\nTo: ann@fabrikam.com\r\nSubject: {number}\r\n\r\nbody\r\n"
            try:
                app.sendmail("app@contoso.com", ["ann@fabrikam.com"], mail)
                assert not expect_refusal
            except smtplib.SMTPException:
                assert expect_refusal


def scrape_while(shim, work):
    """Scrapes until the work is done; the last scrape comes after it."""
    trouble = []

    def guarded():
        try:
            work()
        except BaseException as error:
            trouble.append(error)

    worker = threading.Thread(target=guarded)
    worker.start()
    scrapes, before = 0, {}
    while True:
        alive = worker.is_alive()
        after = samples(shim.scrape())
        check_names(after)
        check_order(before, after)
        before, scrapes = after, scrapes + 1
        if not alive:
            break
        time.sleep(0.01)
    if trouble:
        raise trouble[0]
    return scrapes, before


def main():
    office365 = Office365("--quiet")
    shim = Shim(office365, MAILSHIM_MESSAGES_PER_MINUTE="0")
    scrapes, found = scrape_while(shim, lambda: send(shim, MAILS))
    assert value(found, "mailshim_messages_total", outcome="accepted", code="2.0.0") == MAILS
    assert value(found, "mailshim_message_recipients_total") == MAILS
    assert value(found, "mailshim_message_phase_seconds_count", phase="send") == MAILS
    assert value(found, "mailshim_app_sessions_ended_total", ending="quit") == MAILS
    assert value(found, "mailshim_ready") == 1
    assert value(found, "mailshim_token_expiry_timestamp_seconds") > time.time()
    print(f"{scrapes} scrapes while {MAILS} mails flowed: {len(found)} series, all OpenMetrics")
    assert shim.stop() == 0
    log = "\n".join(shim.seen)
    assert "metrics HTTP" not in log and "GET" not in log, "a scrape left a log line"
    assert office365.stop() == 0
    assert not office365.violations(), office365.violations()

    # Whatever codes Office 365 thinks of: the list of series has an end.
    # After the dot: refused recipients are remembered, and not asked about again.
    faults = [f"--fault=once*reply-at=dot=554 5.6.{number} refused" for number in range(100, 100 + CODES)]
    office365 = Office365("--quiet", *faults)
    shim = Shim(office365, MAILSHIM_MESSAGES_PER_MINUTE="0")
    scrapes, found = scrape_while(shim, lambda: send(shim, CODES, expect_refusal=True))
    codes = {dict(labels)["code"] for name, labels in found if name == "mailshim_messages_total"}
    assert len(codes - {""}) == 65 and "other" in codes, sorted(codes)
    of_each = {}
    for name, _ in found:
        of_each[name] = of_each.get(name, 0) + 1
    assert max(of_each.values()) <= MOST_SERIES_OF_A_COUNTER, of_each
    print(f"{CODES} distinct codes: {len(codes)} label values, {len(found)} series")
    assert shim.stop() == 0
    assert office365.stop() == 0


main()
