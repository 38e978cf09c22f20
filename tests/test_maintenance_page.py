"""The page of maintenance, as a visitor gets it. No socket: a handler between two buffers."""

import io

from gitreceive.manifests.maintenance_page import make_handler


class _Wire:
    """What a handler takes for a connection."""

    def __init__(self, request: bytes) -> None:
        self.heard = io.BytesIO(request)
        self.said = bytearray()

    def makefile(self, *_words: object) -> io.BytesIO:
        return self.heard

    def sendall(self, piece: bytes) -> None:
        self.said += piece

    def settimeout(self, _seconds: float) -> None: ...


def answered(request: bytes) -> tuple[str, dict[str, str], bytes]:
    wire = _Wire(request)
    make_handler(b"<p>soon", 60)(wire, ("127.0.0.1", 1), None)  # type: ignore[arg-type]
    head, _, body = bytes(wire.said).partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return status, dict(line.split(": ", 1) for line in lines), body


def test_every_request_is_answered_503_with_when_to_come_again() -> None:
    for request in (b"GET /any HTTP/1.1\r\n\r\n", b"PATCH / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"):
        status, headers, body = answered(request)
        assert status == "HTTP/1.1 503 Service Unavailable"
        assert (headers["Retry-After"], headers["Cache-Control"], headers["Connection"]) == (
            "60",
            "no-store",
            "close",
        )
        assert (headers["Content-Length"], body) == ("7", b"<p>soon")


def test_a_head_has_no_body() -> None:
    status, headers, body = answered(b"HEAD / HTTP/1.1\r\n\r\n")
    assert (status[9:12], headers["Content-Length"], body) == ("503", "7", b"")
