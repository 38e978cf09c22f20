"""The client's end of a session that OpenSSH's sshd lets in: bytes between the client and the server, which does the work.

Both ends send frames, as the hooks do (``hook.py``). A request is ``k``, the key that opened the connection (``<algorithm> <base64>``), ``c``
the command, ``p`` GIT_PROTOCOL, ``a`` the address that the client has reached, and its own (``<account> <host> <port> <client>``), and ``s`` for a session or ``l`` to
ask only whether somebody has the key. Then the client's input is ``i``, an empty one its end; the server's are ``1`` and ``2``, output, and ``x``,
the exit code, or for ``l`` whether the key is known (``0``: yes), after which nothing comes.
"""

import os
import select
import socket
import struct
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gitreceive.errors import UnavailableError
from gitreceive.receive.hook import LONGEST_FRAME, frame

_CHUNK = 64 << 10
_LAST = 1.0  # seconds
_LOOK = 10.0  # seconds that looking a key up may take


@dataclass(frozen=True)
class Visitor:
    """Who is there, and what was asked for. ``command`` None: a shell."""

    key: str
    account: str = "git"
    host: str = ""
    port: int = 22
    client: str = ""
    command: str | None = None
    protocol: str | None = None

    @classmethod
    def of(cls, key: str, environment: Mapping[str, str]) -> "Visitor":
        """As sshd describes the session to a forced command (sshd(8), LOGIN PROCESS; ssh(1), ENVIRONMENT)."""
        words = environment.get("SSH_CONNECTION", "").split()
        client, _, host, port = words if len(words) == 4 and words[3].isdecimal() else ("", "", "", "22")
        return cls(
            key,
            environment.get("USER", "git"),
            host,
            int(port),
            client,
            environment.get("SSH_ORIGINAL_COMMAND"),
            environment.get("GIT_PROTOCOL"),
        )

    @property
    def frames(self) -> bytes:
        said = [
            (b"k", self.key),
            (b"a", f"{self.account} {self.host} {self.port} {self.client}"),
            (b"c", self.command),
            (b"p", self.protocol),
        ]
        return b"".join(
            frame(kind, text.encode("utf-8", "surrogateescape")) for kind, text in said if text is not None
        )


def is_known(path: Path, key: str) -> bool:
    """Whether the server knows somebody with this key. Raises UnavailableError where no server answers."""
    with _connected(path) as server, server.makefile("rb") as stream:
        server.settimeout(_LOOK)
        try:
            server.sendall(Visitor(key).frames + frame(b"l", b""))
            kind, content = _frame(stream)
        except OSError as error:
            raise _not_running() from error
    return (kind, content) == (b"x", b"0")


def relay(path: Path, visitor: Visitor) -> int:
    """Be the session's client on descriptors 0, 1 and 2 until it ends; its exit code. It ends too when nobody reads descriptor 1 any more.

    Raises UnavailableError where no server answers, or it goes away.
    """
    with _connected(path) as server, server.makefile("rb") as stream:
        try:
            server.sendall(visitor.frames + frame(b"s", b""))
        except OSError as error:
            raise _not_running() from error
        for work in (_send_input, _watch):
            threading.Thread(target=work, args=(server,), daemon=True).start()
        return _show(stream)


def _show(stream: BinaryIO) -> int:
    while True:
        try:
            kind, content = _frame(stream)
        except OSError:
            kind, content = b"", b""
        if kind == b"x":
            return int(content)
        if kind not in (b"1", b"2"):
            raise UnavailableError(
                "the server went away", hint="a build that had begun goes on when it is back: builds list"
            )
        try:
            _write(int(kind), content)
        except OSError:
            return 255  # the client went away


def _send_input(server: socket.socket) -> None:
    with suppress(OSError):  # the server is not there any more, as is seen where it is listened to
        while chunk := os.read(0, _CHUNK):
            server.sendall(frame(b"i", chunk))
        server.sendall(frame(b"i", b""))


def _watch(server: socket.socket) -> None:
    """When the client has gone, sshd closes its end of our output, and tells us nothing else."""
    watched = select.poll()
    watched.register(1, 0)  # errors and hang-ups are told unasked
    watched.poll()
    time.sleep(_LAST)  # a client that has read all it wants to may go before the session has ended well
    with suppress(OSError):
        server.shutdown(socket.SHUT_RDWR)


def _connected(path: Path) -> socket.socket:
    """By way of the folder's descriptor: the path of a socket may have 107 bytes only (unix(7))."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            connection.connect(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.close(folder)
    except OSError as error:
        connection.close()
        raise _not_running() from error
    return connection


def _not_running() -> UnavailableError:
    return UnavailableError("the gitreceive server is not running", hint="try again in a minute")


def _frame(stream: BinaryIO) -> tuple[bytes, bytes]:
    header = stream.read(5)
    kind, length = struct.unpack(">cI", header) if len(header) == 5 else (b"", 0)
    content = stream.read(length) if length <= LONGEST_FRAME else b""
    return (kind, content) if len(content) == length else (b"", b"")


def _write(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]
