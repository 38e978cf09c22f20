"""The server's end of the hooks' socket: one thread for each hook that runs, so that the ports may block.

The wire is described in ``hook.py``.
"""

import logging
import select
import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from gitreceive.config import Settings
from gitreceive.errors import ConfigError, UsageError
from gitreceive.receive.hook import LONGEST_FRAME, PASS, frame

_LONGEST_REQUEST = 1 << 20
_ONCE = {b"h": "hook", b"s": "session", b"q": "quarantine"}
_LONGEST_PATH = 100  # bytes; sockaddr_un has room for 108
_log = logging.getLogger(__name__)


class HookGoneError(Exception):
    """The hook has ended, and with it the push; what it began goes on."""


class ServerStoppingError(Exception):
    """The server is about to end, and what waits must be told."""


class HookConnection:
    """One hook that waits for its answer."""

    def __init__(self, connection: socket.socket, stopped: socket.socket) -> None:
        self._connection = connection
        self._stopped = stopped

    def say(self, output: bytes) -> None:
        """Show output to the person who pushes. Raises HookGoneError."""
        for start in range(0, len(output), LONGEST_FRAME):
            self._send(b"o", output[start : start + LONGEST_FRAME])

    def wait(self, seconds: float) -> None:
        """Sleep. Raises HookGoneError as soon as the hook has ended, ServerStoppingError as soon as the server is to end."""
        poll = select.poll()  # not select(2), which knows no descriptor from 1024 on: many may wait
        for awaited in (self._connection, self._stopped):
            poll.register(awaited, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(seconds * 1000)}
        if self._connection.fileno() in ready:
            raise HookGoneError
        if ready:
            raise ServerStoppingError

    def read_request(self) -> Mapping[str, Any]:
        """``hook``, ``session``, ``quarantine``, ``updates`` (ref, old, new), ``options`` and ``atomic``, where there are any. Raises
        UsageError unless these are whole frames of at most 1 MiB together.
        """
        request: dict[str, Any] = {"updates": [], "options": [], "atomic": False}
        with self._connection.makefile("rb") as stream:
            for kind, content in _frames(stream):
                if kind == b"u":
                    request["updates"].append(content.split(" "))
                elif kind == b"p":
                    request["options"].append(content)
                elif kind == b"a":
                    request["atomic"] = True
                elif kind in _ONCE:
                    request[_ONCE[kind]] = content
                else:
                    raise _malformed()
        return request

    def reply(self, answer: Mapping[str, Any]) -> None:
        """The last word: ``refs`` has a verdict and a reason for each update, or ``ok`` whether all may pass. Raises HookGoneError."""
        lines = [f"{verdict} {reason}".rstrip() for verdict, reason in answer.get("refs", ())]
        words = "\n".join(lines) if lines else PASS if answer.get("ok") is True else "ng"
        self._send(b"r", words.encode())

    def _send(self, kind: bytes, content: bytes) -> None:
        try:
            self._connection.sendall(frame(kind, content))
        except OSError as error:
            raise HookGoneError from error


Answer = Callable[[HookConnection], Mapping[str, Any]]


class HookSocket:
    """Listens from ``start`` to ``close``. ``answer`` is called in a thread of its own for each hook; what it returns is sent."""

    def __init__(self, settings: Settings, answer: Answer) -> None:
        self._answer = answer
        self._listener = socket.socket(socket.AF_UNIX)
        self._stop, self._stopped = socket.socketpair()
        self._threads: set[threading.Thread] = set()
        self._lock = threading.Lock()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.path = settings.socket
        if len(bytes(self.path)) > _LONGEST_PATH:
            self._folder = tempfile.TemporaryDirectory(prefix="gitreceive-", dir="/tmp")
            self.path = Path(self._folder.name, "server.sock")

    def start(self) -> None:
        """Raises ConfigError where another server listens already, or where the socket cannot be made."""
        try:
            self._listen()
        except BaseException:
            self._release()
            raise
        threading.Thread(target=self._accept, name="hooks", daemon=True).start()

    def _listen(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _remove_stale(self.path)
        try:
            self._listener.bind(str(self.path))
            self.path.chmod(0o600)
            self._listener.listen(256)
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be listened on: {error}") from error

    def close(self, patience: float = 5.0) -> None:
        """Tell every hook that waits, and give them ``patience`` seconds to take their answers."""
        self._stop.close()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        with self._lock:
            threads = tuple(self._threads)
        for thread in threads:
            thread.join(patience)
        self.path.unlink(missing_ok=True)
        self._release()

    def _release(self) -> None:
        for end in (self._listener, self._stop, self._stopped):
            end.close()
        if self._folder:
            self._folder.cleanup()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), name="hook", daemon=True)
            with self._lock:
                self._threads.add(thread)
                thread.start()  # so that whoever closes waits for none that has not begun

    def _serve(self, connection: socket.socket) -> None:
        """The end of the thread's road: a fault of the server's is logged, and the hook, left without an answer, refuses."""
        try:
            with connection:
                hook = HookConnection(connection, self._stopped)
                hook.reply(self._answer(hook))
        except HookGoneError:
            _log.info("a hook ended before its answer")
        except Exception:  # noqa: BLE001  the end of the thread
            _log.exception("a hook got no answer")
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())


def _frames(stream: BinaryIO) -> Iterator[tuple[bytes, str]]:
    """Up to the last. What is too long is read to its end, so that who sends it hears why. Raises UsageError."""
    left = _LONGEST_REQUEST
    while True:
        header = stream.read(5)
        kind, length = struct.unpack(">cI", header) if len(header) == 5 else (b"", 0)
        if kind == b"e" and left < 0:
            raise UsageError("the push names too many refs", hint="push fewer at once")
        if kind == b"e":
            return
        left -= len(header) + length
        if not kind or length > LONGEST_FRAME:
            raise _malformed()
        content = stream.read(length)
        if len(content) != length:
            raise _malformed()
        if left >= 0:
            yield kind, content.decode("utf-8", "replace")


def _malformed() -> UsageError:
    return UsageError("the hook's request is malformed", hint="restart the server, which writes the hooks")


def _remove_stale(path: Path) -> None:
    if not path.exists():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise ConfigError(
        f"a server is running already on {path.parent}",
        hint="stop it, or set GITRECEIVE_DATA_DIR to another folder",
    )
