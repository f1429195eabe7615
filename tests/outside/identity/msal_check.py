#!/usr/bin/env python3
"""Cross-check of the simulated Entra by Microsoft's own client: what the tests hold mailshim to, MSAL must pass as well.

    python3 -m venv .venv && .venv/bin/pip install msal
    cargo build --package office365 && .venv/bin/python tests/outside/identity/msal_check.py target/debug/office365

MSAL finds the endpoint by discovery and gets a token by a client secret and by a certificate; with each, AUTH XOAUTH2
succeeds at the simulated SMTP side. A wrong secret and a certificate that is not registered are refused as Entra refuses
them. Exit code 0: all of that held. Needs the openssl command.
"""

import os
import queue
import smtplib
import ssl
import subprocess
import sys
import tempfile
import threading

import msal

WITHIN = 60
SCOPE = "https://outlook.office365.com/.default"


def certificate(directory, name):
    """Paths of a new key and its certificate."""
    key, pem = f"{directory}/{name}.key", f"{directory}/{name}.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", pem, "-days", "2",
         "-subj", f"/CN={name}"],
        check=True, capture_output=True,
    )
    return key, pem


def started(program, directory, *arguments):
    """The simulator, and the variables that it prints once it listens."""
    env = f"{directory}/env"
    office365 = subprocess.Popen(
        [program, "--smtp-port", "0", "--https-port", "0", "--env-out", env, *arguments], stdout=subprocess.PIPE, text=True
    )
    lines = queue.Queue()
    threading.Thread(target=lambda: [lines.put(line) for line in office365.stdout], daemon=True).start()
    while not lines.get(timeout=WITHIN).startswith("# simulated Office 365"):
        pass
    with open(env) as file:
        return office365, lines, dict(line.rstrip("\n").split("=", 1) for line in file)


def signs_in(variables, token):
    """Whether AUTH XOAUTH2 with this token is accepted."""
    host, port = variables["MAILSHIM_UPSTREAM"].split(":")
    with smtplib.SMTP(host, int(port), timeout=WITHIN) as smtp:
        smtp.ehlo("client.contoso.com")
        smtp.starttls(context=ssl.create_default_context(cafile=variables["MAILSHIM_CA_FILE"]))
        smtp.ehlo("client.contoso.com")
        answer = f"user={variables['MAILSHIM_MAILBOX']}\x01auth=Bearer {token}\x01\x01"
        try:
            return smtp.auth("XOAUTH2", lambda _=None: answer)[0] == 235
        except smtplib.SMTPAuthenticationError:
            return False


def main():
    program = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "target/debug/office365")
    with tempfile.TemporaryDirectory() as directory:
        files = {name: certificate(directory, name) for name in ("registered", "another")}
        office365, lines, variables = started(program, directory, "--certificate", files["registered"][1])
        # Where it is set, requests takes it before `verify`.
        os.environ["REQUESTS_CA_BUNDLE"] = variables["MAILSHIM_CA_FILE"]
        try:

            def ask(credential):
                application = msal.ConfidentialClientApplication(
                    variables["MAILSHIM_CLIENT_ID"],
                    authority=f"{variables['AZURE_AUTHORITY_HOST']}/{variables['MAILSHIM_TENANT_ID']}",
                    client_credential=credential,
                    instance_discovery=False,
                    verify=variables["MAILSHIM_CA_FILE"],
                )
                return application.acquire_token_for_client([SCOPE])

            def by(name):
                key, pem = files[name]
                return {"private_key": open(key).read(), "public_certificate": open(pem).read()}

            for what, credential in (("secret", variables["MAILSHIM_CLIENT_SECRET"]), ("certificate", by("registered"))):
                answer = ask(credential)
                assert "access_token" in answer, (what, answer)
                assert answer["token_type"] == "Bearer" and answer["expires_in"] > 3000, what
                assert signs_in(variables, answer["access_token"]), what
                print(f"{what}: MSAL got a token, and it signs in")
            assert not signs_in(variables, "not-" + answer["access_token"]), "any token signs in: this check proves nothing"
            for what, credential, code in (("secret", "wrong", 7000215), ("certificate", by("another"), 700027)):
                answer = ask(credential)
                assert answer.get("error") == "invalid_client" and answer["error_codes"] == [code], (what, answer)
                print(f"a wrong {what}: {answer['error_description'][:60]}")
        finally:
            office365.terminate()
            office365.wait(WITHIN)
        violations = [line for line in lines.queue if line.startswith("VIOLATION")]
        assert not violations, violations


if __name__ == "__main__":
    main()
