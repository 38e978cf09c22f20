"""Ask an app through its Service until the new version answers, and when that was; what a process holds in memory."""

import contextlib
import http.client
import threading
import time
import urllib.parse
from pathlib import Path

_PAUSE = 0.03  # seconds between two questions: the resolution of what is measured
# A packet that is lost while kube-proxy writes its rules is sent again after a second: that is not the app's time.
_CONNECT = 0.2
_READ = 2


class FirstAnswer:
    """The moment of the first answer that contains ``text``. Nothing is asked before ``ask``."""

    def __init__(self, text: str) -> None:
        self._text = text.encode()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._moment: float | None = None

    def ask(self, url: str) -> None:
        """Start asking, in the background. A second call changes nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._ask, args=(url,), daemon=True)
            self._thread.start()

    def wait(self, seconds: float = 60) -> float:
        """Its moment on ``time.monotonic``'s clock. Raises TimeoutError where none came."""
        if self._thread is None:
            raise TimeoutError(f"no address was learned at which {self._text.decode()!r} could be asked for")
        self._thread.join(seconds)
        self.give_up()
        if self._moment is None:
            raise TimeoutError(f"no answer with {self._text.decode()!r} within {seconds} s")
        return self._moment

    def give_up(self) -> None:
        self._stop.set()

    def _ask(self, url: str) -> None:
        address = urllib.parse.urlsplit(url)
        while not self._stop.is_set():
            # the app is not there yet, or a pod is just being replaced: that is what is being waited for
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self._text in _body(address):
                    self._moment = time.monotonic()
                    return
            self._stop.wait(_PAUSE)


def _body(address: urllib.parse.SplitResult) -> bytes:
    connection = http.client.HTTPConnection(address.hostname or "", address.port or 80, timeout=_CONNECT)
    try:
        connection.connect()
        connection.sock.settimeout(_READ)
        connection.request("GET", address.path or "/")
        return connection.getresponse().read()
    finally:
        connection.close()


def memory(pid: int) -> float:
    """MB (10⁶ bytes) of RSS that the process and all its descendants hold together."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # the name in parentheses may hold anything; behind it: state, parent
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    family = {pid}
    while grown := {child for child, parent in parents.items() if parent in family} - family:
        family |= grown
    return sum(map(_rss, family)) / 1e6


def _rss(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
