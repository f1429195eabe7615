"""Three properties of every mail in some folders: `sendmail -t` loses no address in silence, no Bcc of the header block
leaves, and the body's octets stay. Python's email package is the judge of what a header says."""

import email
import email.utils
import pathlib
import re
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "clients"))
from running import PROGRAMS, Mailshim, Office365  # noqa: E402

HIDDEN = b"hidden@fabrikam.com"
BCC = b"Bcc: " + HIDDEN + b"\r\n"
LOCAL = "local@contoso.com"
REPAIRS = {"leading_noise_dropped", "continuation_indented", "blank_line_added"}


def mails(folders):
    for folder in folders:
        for path in sorted(pathlib.Path(folder).rglob("*")):
            if path.is_file() and path.suffix not in (".json", ".md") and path.name != "COPYING":
                content = path.read_bytes()
                # Pictures and sounds lie beside Python's mails.
                if re.search(rb"(?im)^(from|to|subject|received|content-type)[ \t]*:", content[:65536]):
                    yield path, content
                    # None of them has a Bcc.
                    yield path, BCC + content


def canonical(content):
    text = re.sub(rb"\r*\n|\r", b"\r\n", content)
    return text if text.endswith(b"\r\n") else text + b"\r\n"


def block_and_body(content):
    """Up to the first blank line, and behind it."""
    if content.startswith(b"\r\n"):
        return b"", content[2:]
    block, _, body = content.partition(b"\r\n\r\n")
    return block, body


def bcc_fields(block):
    return [line for line in block.split(b"\r\n") if re.match(rb"(?i)(resent-)?bcc[ \t]*:", line)]


def known(address):
    local, _, domain = address.rpartition("@")
    try:
        domain = domain.encode("idna").decode()
    except UnicodeError:
        pass
    # What Office 365 could never know.
    return LOCAL if domain.endswith(".local") else f"{local}@{domain}".lower()


def expected(content):
    """The addresses that Python finds in To, Cc and Bcc, or in their Resent- forms."""
    message = email.message_from_bytes(content)
    resent = [name for name in ("Resent-To", "Resent-Cc", "Resent-Bcc") if name in message]
    fields = [str(value) for name in resent or ("To", "Cc", "Bcc") for value in message.get_all(name, [])]
    fields = [re.sub(r"[\r\n]", " ", field) for field in fields]
    try:
        # Newer versions give nothing at all for a field that they do not like.
        found = email.utils.getaddresses(fields, strict=False)
    except TypeError:
        found = email.utils.getaddresses(fields)
    return {known(address) for _, address in found if re.fullmatch(r"[!-?A-~]+@[A-Za-z0-9.-]+\.[A-Za-z0-9-]+", address)}


def submit(shim, content):
    """Over SMTP, as an app does; the last reply's code."""
    with socket.create_connection((shim.host, shim.port), 60) as connection:
        stream = connection.makefile("rwb")

        def reply():
            while True:
                line = stream.readline()
                if line[3:4] != b"-":
                    return int(line[:3])

        def command(text):
            stream.write(text + b"\r\n")
            stream.flush()
            return reply()

        assert reply() == 220
        assert command(b"EHLO corpora") == 250
        assert command(b"MAIL FROM:<app@contoso.com>") == 250
        assert command(b"RCPT TO:<someone@fabrikam.com>") == 250
        assert command(b"DATA") == 354
        stream.write(re.sub(rb"(?m)^\.", b"..", content) + b".\r\n")
        stream.flush()
        code = reply()
        command(b"QUIT")
        return code


def main():
    office365 = Office365()
    # `To: Someone` is a recipient that no world has.
    shim = Mailshim(office365, MAILSHIM_FROM_POLICY="force", MAILSHIM_LOCAL_TO=LOCAL)
    problems, counts = [], {}

    def count(what):
        counts[what] = counts.get(what, 0) + 1

    for path, content in mails(sys.argv[1:]):
        sent = canonical(content)
        code = submit(shim, sent)
        count(f"SMTP {code}")
        line = shim.next_line(lambda line: '"outcome"' in line)
        if code == 250:
            _, _, got = office365.next_mail()
            head, body = block_and_body(got)
            if bcc_fields(head) or HIDDEN in head:
                problems.append(f"{path}: a Bcc leaves")
            before, behind = block_and_body(sent)
            if not any(word in line for word in REPAIRS) and body != behind:
                problems.append(f"{path}: another body, and no repair is noted")
            elif not body.endswith(behind) and not sent.startswith(b"\r\n") and "leading_noise" not in line:
                problems.append(f"{path}: another body")
            count("with a Bcc" if bcc_fields(before) else "without")
        elif code != 554 and code != 552:
            problems.append(f"{path}: {code}")
        wanted = expected(sent)
        ended = subprocess.run(
            [PROGRAMS / "mailshim", "sendmail", "-t", "-i", "-f", "app@contoso.com"],
            input=content, capture_output=True, env={"MAILSHIM_LISTEN": f"127.0.0.1:{shim.port}"}, timeout=60, check=False,
        )
        count(f"sendmail {ended.returncode}")
        if ended.returncode == 0:
            _, recipients, got = office365.next_mail()
            shim.next_line(lambda line: '"outcome"' in line)
            to = {known(recipient.split(" ")[0][3:].strip("<>")) for recipient in recipients}
            for address in wanted - to:
                problems.append(f"{path}: {address} is lost, of {sorted(to)}")
            if bcc_fields(block_and_body(got)[0]) or HIDDEN in block_and_body(got)[0]:
                problems.append(f"{path}: sendmail lets a Bcc leave")
        elif ended.returncode == 65 and b"no recipients in" in ended.stderr:
            problems += [f"{path}: {address} is lost" for address in wanted]
        elif ended.returncode == 65:
            print(f"{path.name}: {ended.stderr.decode(errors='replace').strip()[:200]}")
        else:
            problems.append(f"{path}: sendmail {ended.returncode}: {ended.stderr[:300]}")
    shim.stop()
    office365.stop()
    print("\n".join(problems + office365.violations()))
    print(", ".join(f"{what}: {times}" for what, times in sorted(counts.items())))
    sys.exit(bool(problems) or counts.get("with a Bcc", 0) < 100)


main()
