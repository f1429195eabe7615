#!/usr/bin/env python3
"""Lets others read the reports in tests/golden/reports: Python's own `email`, and flufl.bounce, which Mailman reads bounces with.

    tests/outside/reports/check.py

Needs flufl.bounce. `.ci/run` has it in its venv.
"""

import email
import email.policy
import pathlib
import sys

from flufl.bounce import all_failures

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "golden" / "reports"

# Who did not get the mail, for each report; everything else in it must not be taken for one who did not.
FAILED = {
    # One by the address that its app had for it, before an alias (ORCPT).
    "mixed_recipients": {b"Nobody+x@fabrikam.com", b"closed@fabrikam.com"},
    "many_recipients": {b"r%d@fabrikam.com" % number for number in range(12)},
    # flufl.bounce knows no RFC 6533, and finds nobody in `utf-8; j\x{F6}rg...`.
    "non_ascii": set(),
}
USUAL = {b"nobody@fabrikam.com"}


def check(path):
    octets = path.read_bytes().replace(b"\n", b"\r\n")
    message = email.message_from_bytes(octets, policy=email.policy.default)
    found = [part for part in message.walk() if part.defects]
    assert not found and not message.defects, [part.defects for part in found]
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert message["Auto-Submitted"] == "auto-replied"
    assert not message["Bcc"], message["Bcc"]
    for name in ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version"]:
        assert len(message.get_all(name)) == 1, name
    assert message["Date"].datetime, message["Date"]
    parts = list(message.iter_parts())
    kinds = [part.get_content_type() for part in parts]
    wanted = ["text/plain", "message/delivery-status", "text/rfc822-headers"]
    assert kinds == (wanted[:2] if path.stem == "merged" else wanted), kinds
    text = parts[0].get_content()
    beginning = text.split("\n\n")[0]
    assert beginning.index("not delivered") < beginning.index("Why: ") < beginning.index("What to do: "), text
    first, *groups = parts[1].get_payload()
    assert first["Reporting-MTA"] == "dns; contoso.com"
    for group in groups:
        assert group["Action"] == "failed" and group["Final-Recipient"] and group["Diagnostic-Code"], str(group)
        assert group["Status"][0] in "45" and group["Status"].count(".") == 2, group["Status"]
    temporary, permanent = all_failures(email.message_from_bytes(octets))
    assert not temporary, temporary
    assert permanent == FAILED.get(path.stem, USUAL), (path.stem, permanent)
    return len(groups)


def main():
    paths = sorted(GOLDEN.glob("*.eml"))
    assert len(paths) >= 10, paths
    groups = sum(check(path) for path in paths)
    print(f"{len(paths)} reports about {groups} recipients were read by email and flufl.bounce")


if __name__ == "__main__":
    sys.exit(main())
