"""Receivers of log drains on loopback, with a certificate of their own authority; they can be killed, and come back at the same port."""

import json
import socket
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class SyslogServer:
    """Octet-counted frames over TLS or TCP; ``messages`` is what has been read."""

    certificate: Path | None
    port: int = 0
    messages: list[str] = field(default_factory=list)
    listening: socket.socket | None = None
    connections: list[socket.socket] = field(default_factory=list)
    reads: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        self.reads.set()
        self.listening = socket.create_server(("127.0.0.1", self.port))
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.listening,), daemon=True).start()

    def kill(self) -> None:
        """As a process that is killed: what its machine took in and it did not read is lost."""
        assert self.listening
        connections, self.connections = self.connections, []
        for one in (self.listening, *connections):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    @property
    def texts(self) -> list[str]:
        return [message.split(" ", 7)[7] for message in self.messages]

    def _accept(self, listening: socket.socket) -> None:
        context = None
        if self.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate)
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=self._serve, args=(connection, context), daemon=True).start()

    def _serve(self, connection: socket.socket, context: ssl.SSLContext | None) -> None:
        with suppress(OSError, ValueError):
            if context:
                connection = context.wrap_socket(connection, server_side=True)
            self.connections.append(connection)
            with connection.makefile("rb") as stream:
                while True:
                    message = _frame(stream)
                    self.reads.wait()
                    if connection not in self.connections:
                        return  # killed
                    self.messages.append(message)


def _frame(stream: Any) -> str:
    """Raises ValueError at the end."""
    length = b""
    while (digit := stream.read(1)) != b" ":
        if not digit:
            raise ValueError("the end")
        length += digit
    content = stream.read(int(length))
    if len(content) != int(length):
        raise ValueError("the end")
    return str(content.decode())


@dataclass
class HttpsServer:
    """``lines`` is what was answered by 200; ``answers`` are given first, one a request."""

    certificate: Path
    port: int = 0
    lines: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    most: int = 10**9  # lines in a request
    longest: int = 10**9  # bytes of a request
    server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                owner.headers.append({"path": self.path, **dict(self.headers.items())})
                lines = [json.loads(line) for line in body.splitlines()]
                code, headers = owner.answers.pop(0) if owner.answers else (200, {})
                code = 413 if len(lines) > owner.most or len(body) > owner.longest else code
                if code == 200:
                    owner.lines += lines
                self.send_response(code)
                for name, value in {"Content-Length": "0", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                """Be quiet."""

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        self.server = _QuietServer(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        self.server.socket = context.wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False
        )
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def kill(self) -> None:
        assert self.server
        self.server.shutdown()
        self.server.server_close()

    @property
    def texts(self) -> list[str]:
        return [line["text"] for line in self.lines]


class _QuietServer(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was cut off is no news."""


def wait_for(seen: Any, shown: Any, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < end, shown()
        time.sleep(0.02)
