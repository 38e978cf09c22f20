"""A web server on a free loopback port that answers with what it is given."""

import datetime as dt
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass
class Page:
    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Web:
    """``asked`` has the path and the headers of each request."""

    url: str = ""
    pages: dict[str, list[Page]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def put(self, path: str, *pages: Page) -> str:
        """Answer in turn, and then always with the last; the URL."""
        self.pages[path] = list(pages)
        return f"{self.url}{path}"


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[Web]:
    """With a certificate (and its key, in one PEM file) it is ``https://localhost``."""
    web = Web()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"web": web}))
    web.url = f"http://127.0.0.1:{server.server_address[1]}"
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        web.url = f"https://localhost:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def make_certificate(path: Path, name: str = "localhost") -> Path:
    """A certificate for ``name`` that is its own authority, and its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(certificate.public_bytes(pem) + secret)
    return path


class _Handler(BaseHTTPRequestHandler):
    web: Web

    def do_GET(self) -> None:
        self.web.asked.append((self.path, dict(self.headers)))
        pages = self.web.pages.get(self.path, [Page(status=404)])
        page = pages.pop(0) if len(pages) > 1 else pages[0]
        self.send_response(page.status)
        for name, value in {"Content-Length": str(len(page.body)), **page.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(page.body)
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass
