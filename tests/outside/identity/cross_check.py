#!/usr/bin/env python3
"""Cross-check by implementations that nobody here wrote: PyJWT and cryptography judge the client assertion.

    python3 -m venv .venv && .venv/bin/pip install 'PyJWT[crypto]'
    cargo build && .venv/bin/python tests/outside/identity/cross_check.py target/debug/mailshim

A token service in this script takes the request that mailshim makes at its start. Exit code 0: each form of the
certificate file gave an assertion that holds. Needs the openssl command.
"""

import base64
import hashlib
import http.server
import json
import os
import queue
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import uuid

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

TENANT = "5f0e2a6b-4c1d-4f3e-9a7b-2d8c6e1f0a9b"
CLIENT = "8c1f6f3e-0b5d-4d0a-9a43-7f2b1c9e5d60"
WITHIN = 20


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def token_service(directory):
    """An HTTPS server on a free port, and the queue of (path, form) that it sees."""
    key, certificate = f"{directory}/tls.key", f"{directory}/tls.pem"
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
            "-addext", "basicConstraints=critical,CA:FALSE")
    seen = queue.Queue()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"])).decode("ascii")
            answer = json.dumps({"token_type": "Bearer", "expires_in": 3599, "access_token": "x"}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
            seen.put((self.path, dict(urllib.parse.parse_qsl(body, strict_parsing=True))))

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("localhost", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1], certificate, seen


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def first_request(program, seen, variables):
    """What mailshim asks at its start."""
    shim = subprocess.Popen([program, "run"], env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        return seen.get(timeout=WITHIN)
    except queue.Empty:
        shim.kill()
        sys.exit(f"no token request within {WITHIN} s; mailshim says:\n{shim.stderr.read().decode()}")
    finally:
        shim.send_signal(signal.SIGTERM)
        try:
            shim.wait(WITHIN)
        except subprocess.TimeoutExpired:
            shim.kill()


def judge(form, path, audience, certificate):
    assert path == f"/{TENANT}/oauth2/v2.0/token", path
    assert form["grant_type"] == "client_credentials" and form["client_id"] == CLIENT, sorted(form)
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert "client_secret" not in form
    assertion = form["client_assertion"]
    header = jwt.get_unverified_header(assertion)
    der = certificate.public_bytes(Encoding.DER)
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
    assert header == {"alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint}, header
    required = ["exp", "nbf", "iat", "jti", "iss", "sub", "aud"]
    claims = jwt.decode(assertion, certificate.public_key(), algorithms=["PS256"], audience=audience, issuer=CLIENT,
                        options={"require": required}, leeway=2)
    assert claims["sub"] == CLIENT and claims["exp"] - claims["nbf"] <= 600, claims
    assert abs(claims["iat"] - time.time()) < 60, claims
    uuid.UUID(claims["jti"])
    # And the check itself must be able to fail.
    other = assertion[:-8] + ("A" * 8 if not assertion.endswith("A" * 8) else "B" * 8)
    try:
        jwt.decode(other, certificate.public_key(), algorithms=["PS256"], audience=audience)
    except jwt.InvalidSignatureError:
        return claims["jti"]
    sys.exit("PyJWT took a broken signature: this check proves nothing")


def main():
    program = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "target/debug/mailshim")
    with tempfile.TemporaryDirectory() as directory:
        port, roots, seen = token_service(directory)
        key, pem = f"{directory}/app.key", f"{directory}/app.pem"
        openssl("req", "-x509", "-newkey", "rsa:3072", "-nodes", "-keyout", key, "-out", pem, "-days", "90",
                "-subj", "/CN=mailshim")
        both, encrypted, pkcs12 = (f"{directory}/{name}" for name in ("both.pem", "encrypted.pem", "app.pfx"))
        openssl("pkcs8", "-topk8", "-in", key, "-out", f"{directory}/encrypted.key", "-passout", "pass:x y")
        openssl("pkcs12", "-export", "-inkey", key, "-in", pem, "-out", pkcs12, "-passout", "pass:x y")
        for name, parts in ((both, (key, pem)), (encrypted, (f"{directory}/encrypted.key", pem))):
            with open(name, "w") as file:
                file.write("".join(open(part).read() for part in parts))
        certificate = x509.load_pem_x509_certificate(open(pem, "rb").read())
        audience = f"https://localhost:{port}/{TENANT}/oauth2/v2.0/token"
        numbers = set()
        for file, password in ((both, None), (encrypted, "x y"), (pkcs12, "x y")):
            variables = {
                "MAILSHIM_LISTEN": f"127.0.0.1:{free_port()}",
                "MAILSHIM_MAILBOX": "app@contoso.com",
                "MAILSHIM_TENANT_ID": TENANT,
                "MAILSHIM_CLIENT_ID": CLIENT,
                "MAILSHIM_CLIENT_CERTIFICATE_PATH": file,
                "AZURE_AUTHORITY_HOST": f"https://localhost:{port}",
                "MAILSHIM_CA_FILE": roots,
                "MAILSHIM_UPSTREAM": "127.0.0.1:9",
            }
            if password:
                variables["MAILSHIM_CLIENT_CERTIFICATE_PASSWORD"] = password
            path, form = first_request(program, seen, variables)
            numbers.add(judge(form, path, audience, certificate))
            print(f"ok: {os.path.basename(file)}")
        assert len(numbers) == 3, "a jti was used twice"


if __name__ == "__main__":
    main()
