"""The server's end of the hooks' socket: one thread for each hook that runs, so that the ports may block.

The wire is described in ``hook.py``.
"""

import json
import logging
import select
import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gitreceive.config import Settings
from gitreceive.errors import ConfigError, UsageError
from gitreceive.receive.hook import LONGEST_FRAME

_LONGEST_REQUEST = 1 << 20
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
        ready, _, _ = select.select([self._connection, self._stopped], [], [], seconds)
        if self._connection in ready:
            raise HookGoneError
        if ready:
            raise ServerStoppingError

    def read_request(self) -> Mapping[str, Any]:
        """Raises UsageError unless it is one JSON object on one line of at most 1 MiB."""
        with self._connection.makefile("rb") as stream:
            line = stream.readline(_LONGEST_REQUEST + 1)
        if len(line) > _LONGEST_REQUEST:
            raise UsageError("the push names too many refs", hint="push fewer at once")
        try:
            request = json.loads(line)
        except ValueError:
            request = None
        if not isinstance(request, dict):
            raise UsageError(
                "the hook's request is malformed", hint="restart the server, which writes the hooks"
            )
        return request

    def reply(self, answer: Mapping[str, Any]) -> None:
        """The last word. Raises HookGoneError."""
        self._send(b"r", json.dumps(answer).encode())

    def _send(self, kind: bytes, content: bytes) -> None:
        try:
            self._connection.sendall(struct.pack(">cI", kind, len(content)) + content)
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
            self._folder = tempfile.TemporaryDirectory(prefix="gitreceive-")
            self.path = Path(self._folder.name, "server.sock")

    def start(self) -> None:
        """Raises ConfigError where another server listens already, or where the socket cannot be made."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _remove_stale(self.path)
        try:
            self._listener.bind(str(self.path))
            self.path.chmod(0o600)
            self._listener.listen(256)
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be listened on: {error}") from error
        threading.Thread(target=self._accept, name="hooks", daemon=True).start()

    def close(self, patience: float = 5.0) -> None:
        """Tell every hook that waits, and give them ``patience`` seconds to take their answers."""
        self._stop.close()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            threads = tuple(self._threads)
        for thread in threads:
            thread.join(patience)
        self._stopped.close()
        self.path.unlink(missing_ok=True)
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
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        """The end of the thread's road: a fault of the server's is logged, and the hook, left without an answer, refuses."""
        try:
            with connection:
                hook = HookConnection(connection, self._stopped)
                hook.reply(self._answer(hook))
        except HookGoneError:
            _log.info("a hook ended before its answer")
        except Exception:
            _log.exception("a hook got no answer")
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())


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
