"""3,000 mails over 20 sessions, then three mails of 34 MB at once; each must be accepted."""

import smtplib
import threading

SESSIONS, EACH, LARGE = 20, 150, 3
lock, accepted, faults = threading.Lock(), [], []


def session(number, mails, octets):
    body = "x" * 76 + "\r\n"
    content = "From: app@contoso.com\r\nSubject: storm %d-%d\r\n\r\n" + body * (octets // len(body))
    try:
        with smtplib.SMTP("127.0.0.1", 25, timeout=120) as app:
            for mail in range(mails):
                # It raises where anything is refused.
                app.sendmail("app@contoso.com", "customer@example.com", content % (number, mail))
                with lock:
                    accepted.append((number, mail))
    except Exception as fault:
        faults.append(f"session {number}: {fault!r}")


def at_once(sessions, mails, octets):
    threads = [threading.Thread(target=session, args=(number, mails, octets)) for number in range(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


at_once(SESSIONS, EACH, 4_000)
small = len(accepted)
at_once(LARGE, 1, 34_000_000)
large = len(accepted) - small
if faults or (small, large) != (SESSIONS * EACH, LARGE):
    raise SystemExit(f"{small} and {large} accepted; {faults[:3]}")
print(f"{small} mails over {SESSIONS} sessions and {large} of 34 MB at once were accepted")
