"""Real HTTP servers whose answers a test writes.

with serving(answering(500), answering(content=b"{}")) as server:
    call(server.url)
assert server.calls == ["GET /x", "GET /x"]
"""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

JOIN_SECONDS = 60


class Server:
    """Answers calls in turn by functions of the handler; the last one goes on."""

    def __init__(self, *answers):
        self.answers = answers
        self.calls = []
        self.bodies = []
        self.connections = set()


@contextlib.contextmanager
def serving(*answers, certificate=None):
    """Serve on loopback; with a certificate and its key in a PEM file, by TLS."""
    server = Server(*answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do(self):
            server.bodies.append(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
            answer = server.answers[min(len(server.calls), len(server.answers) - 1)]
            server.calls.append(f"{self.command} {self.path}")
            server.connections.add(self.client_address)
            with contextlib.suppress(OSError):
                answer(self)

        do_GET = do_POST = do  # noqa: N815 - the base class's names

        def end_headers(self):
            # As servers do that close a connection.
            if self.headers.get("Connection") == "close":
                self.send_header("Connection", "close")
            super().end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            listening.socket = context.wrap_socket(listening.socket, server_side=True)
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        scheme = "http" if certificate is None else "https"
        server.url = f"{scheme}://127.0.0.1:{listening.server_port}"
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join(JOIN_SECONDS)


def answering(status=200, content=b"{}", **headers):
    def answer(handler):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def in_chunks(*chunks, **headers):
    def answer(handler):
        handler.send_response(200)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for chunk in (*chunks, b""):
            handler.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")

    return answer


def dripping(start=b"HTTP/1.1 200 OK\r\nX-Long: ", drop=b"x"):
    """A start, then bytes one by one for ever."""

    def answer(handler):
        handler.wfile.write(start)
        while True:
            handler.wfile.write(drop)
            # Not by time.sleep: a test may have the program wait for nothing, and a flood is no drip.
            threading.Event().wait(0.05)

    return answer


def make_certificate(path):
    """A certificate of 127.0.0.1 with its key, as a PEM file that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path
