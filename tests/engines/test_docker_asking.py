"""Health checks on the docker target, between real sockets on the loopback address."""

import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from gitreceive.engines.docker_target.asking import ask
from gitreceive.engines.docker_target.connection import Address
from gitreceive.model import CheckKind, Digest, HealthCheck, Image, ImageRef, as_run

BUILT = Image(ImageRef("r/shop", Digest(f"sha256:{'1' * 64}")), (), None, ("gitreceive/python@1",))


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response({"/sick": 503, "/moved": 301}.get(self.path, 200))
        self.end_headers()
        self.wfile.write(f"host {self.headers['Host']}\nx {self.headers['X-Check']}".encode())

    def log_message(self, *words: object) -> None: ...


@pytest.fixture
def address() -> Iterator[Address]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield "127.0.0.1", server.server_address[1]
        server.shutdown()


def said(address: Address, **check: object) -> str:
    return ask(HealthCheck(CheckKind.READINESS, **check), address, lambda _words, _seconds: (0, ""))  # type: ignore[arg-type]


def test_200_to_399_passes_and_else_the_answer_is_told(address: Address) -> None:
    assert said(address, path="/") == said(address, path="/moved") == ""
    told = said(address, path="/sick", headers=(("X-Check", "1"), ("Host", "shop.example")))
    assert told == "GET /sick was answered 503: host shop.example x 1"


def test_whether_it_listens(address: Address) -> None:
    assert said(address, listening=True) == ""
    with socket.create_server(("127.0.0.1", 0)) as door:
        free = door.getsockname()[1]
    assert said(address, port=free) == f"port {free}: Connection refused"
    assert "Connection refused" in said(("127.0.0.1", free), path="/")


def test_one_that_says_nothing_is_too_late() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        told = said(door.getsockname(), path="/up", timeout=1)
    assert told == "GET /up was not answered within 1 s"


def test_a_command_is_run_with_what_buildpacks_gave() -> None:
    asked: list[tuple[str, ...]] = []

    def run(words: tuple[str, ...], _seconds: float) -> tuple[int, str]:
        asked.append(words)
        return 3, "no queue"

    check = HealthCheck(CheckKind.STARTUP, command=("check", "it"))
    assert ask(as_run(check, BUILT), ("127.0.0.1", 1), run) == "exit 3 (no queue)"
    assert asked == [("/cnb/lifecycle/launcher", "--", "check", "it")]
