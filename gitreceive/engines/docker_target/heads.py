"""What a proxy changes in the heads of messages (RFC 9110, 7.6), and no more."""

from collections.abc import Iterable
from typing import TypeVar

import h11

_Answer = TypeVar("_Answer", h11.Response, h11.InformationalResponse)
_Headers = list[tuple[bytes, bytes]]

# of one connection, not of the message; Transfer-Encoding is, too, and h11 sees to it on either side
_HOPS = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"te", b"upgrade"})
_OURS = frozenset(
    {b"host", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-port"}
)


def request_headers(request: h11.Request, peer: str, host: str, *, secure: bool) -> _Headers:
    """Who asked, and how, is said anew: nobody at this door is known, so nobody is believed."""
    upgrade = _upgrade(request.headers)
    _, colon, port = host.partition(":")
    said = port if colon else "443" if secure else "80"
    ours = {
        b"host": host.encode("ascii"),
        b"x-forwarded-for": peer.encode("ascii"),
        b"x-forwarded-host": host.encode("ascii"),
        b"x-forwarded-proto": b"https" if secure else b"http",
        b"x-forwarded-port": said.encode("ascii"),
    }
    ending: _Headers = [(b"connection", b"close")]
    if upgrade:
        ending = [(b"connection", b"upgrade"), (b"upgrade", upgrade)]
    return [*ours.items(), *_message(request.headers, _OURS), *ending]


def answer_headers(answer: _Answer) -> _Answer:
    upgrade = _upgrade(answer.headers) if answer.status_code == 101 else b""
    ending: _Headers = [(b"connection", b"upgrade"), (b"upgrade", upgrade)] if upgrade else []
    return type(answer)(
        status_code=answer.status_code,
        reason=answer.reason,
        headers=[*_message(answer.headers, frozenset()), *ending],
    )


def _message(headers: Iterable[tuple[bytes, bytes]], without: frozenset[bytes]) -> _Headers:
    gone = _HOPS | without | _named(headers)
    return [(name, value) for name, value in headers if name not in gone]


def _named(headers: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
    """By ``Connection``; what frames the message is never taken away so."""
    words = (word for name, value in headers if name == b"connection" for word in value.split(b","))
    return {word.strip().lower() for word in words} - {b"content-length", b"transfer-encoding", b"host"}


def _upgrade(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    if b"upgrade" not in _named(headers):
        return b""
    return next((value for name, value in headers if name == b"upgrade"), b"")
