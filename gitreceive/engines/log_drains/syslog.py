"""Syslog messages (RFC 5424) over TLS (RFC 5425) or TCP (RFC 6587), each behind its length."""

import fcntl
import re
import select
import socket
import ssl
import struct
import termios
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gitreceive.errors import UnavailableError, cause

LONGEST_TEXT = 8 << 10  # bytes; what is longer goes in several messages, as receivers cut it otherwise

_PRIORITY = 14  # facility user, severity informational (RFC 5424, 6.2.1)
_NOT_PRINTED = re.compile(r"[^!-~]")


class SyslogReceiver:
    """A ``Receiver``. The protocol has no receipt, so what was sent is reckoned to have arrived when the other side's machine has
    acknowledged every byte and the connection still stands a while later.
    """

    def __init__(self, dial: Callable[[], socket.socket], shown: str, settle_seconds: float = 2.0) -> None:
        self.settle_seconds = settle_seconds
        self._dial = dial
        self._shown = shown
        self._socket: socket.socket | None = None

    def send(self, entries: Sequence[Mapping[str, Any]]) -> int:
        self._socket = self._socket or self._dial()
        try:
            self._socket.sendall(b"".join(frame for entry in entries for frame in frames(entry)))
        except OSError as error:
            raise self._lost(cause(error)) from error
        return len(entries)

    def check(self) -> bool:
        if self._socket is None:
            return True
        try:
            self._expect_nothing(self._socket)
            queued = fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, bytes(4))  # tcp(7), SIOCOUTQ
        except OSError as error:
            raise self._lost(cause(error)) from error
        return struct.unpack("i", queued) == (0,)

    def probe(self) -> None:
        self._socket = self._socket or self._dial()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _expect_nothing(self, connected: socket.socket) -> None:
        """A receiver says nothing: where there is something to read, it is the end. Or a TLS session ticket, which is read over."""
        while _is_readable(connected):
            connected.setblocking(False)
            try:
                if not connected.recv(4096):
                    raise ConnectionResetError("the receiver closed the connection")
            except (ssl.SSLWantReadError, BlockingIOError):
                return
            finally:
                connected.settimeout(20.0)

    def _lost(self, why: str) -> UnavailableError:
        return UnavailableError(f"the log drain {self._shown} broke off: {why}")


def frames(entry: Mapping[str, Any]) -> list[bytes]:
    """MSG-LEN SP SYSLOG-MSG for a line (RFC 5425, 4.3): HOSTNAME is the app, APP-NAME the process, PROCID the instance, MSGID the source."""
    head = " ".join(
        (
            f"<{_PRIORITY}>1",
            entry["time"],
            _word(entry["app"], 255),
            _word(entry["process"], 48),
            _word(entry["instance"], 128),
            _word(entry["source"], 32),
            "-",
        )
    ).encode("ascii")
    messages = [head + b" " + piece for piece in _pieces(entry["text"].encode("utf-8", "replace"))]
    return [b"%d %s" % (len(message), message) for message in messages]


def _is_readable(connected: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connected, select.POLLIN)
    return bool(poll.poll(0))


def _word(text: str, longest: int) -> str:
    return _NOT_PRINTED.sub("_", text)[:longest] or "-"


def _pieces(text: bytes) -> list[bytes]:
    """Cut within no character."""
    pieces = []
    while len(text) > LONGEST_TEXT:
        cut = LONGEST_TEXT
        while text[cut] & 0xC0 == 0x80:
            cut -= 1
        pieces.append(text[:cut])
        text = text[cut:]
    return [*pieces, text]
