"""Ask an app through its Service until the new version answers, and when that was; what a process holds in memory."""

import contextlib
import http.client
import threading
import time
import urllib.parse
from pathlib import Path

_ASKERS = 6  # side by side: kube-proxy may take a connection that it never serves, while it writes its rules
_PAUSE = 0.15  # seconds between two questions of one asker; all together ask about 40 times a second
_TIMEOUT = 2.0


class FirstAnswer:
    """The moment of the first answer that contains ``text``. Nothing is asked before ``ask``."""

    def __init__(self, text: str) -> None:
        self._text = text.encode()
        self._begun = False
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._moment: float | None = None

    def ask(self, url: str) -> None:
        """Start asking, in the background. A second call changes nothing."""
        if self._begun:
            return
        self._begun = True
        address = urllib.parse.urlsplit(url)
        for number in range(_ASKERS):
            delay = _PAUSE * number / _ASKERS
            threading.Thread(target=self._ask, args=(address, delay), daemon=True).start()

    def wait(self, seconds: float = 60) -> float:
        """Its moment on ``time.monotonic``'s clock. Raises TimeoutError where none came."""
        if not self._begun:
            raise TimeoutError(f"no address was learned at which {self._text.decode()!r} could be asked for")
        self._stop.wait(seconds)
        self.give_up()
        with self._lock:
            if self._moment is None:
                raise TimeoutError(f"no answer with {self._text.decode()!r} within {seconds} s")
            return self._moment

    def give_up(self) -> None:
        self._stop.set()

    def _ask(self, address: urllib.parse.SplitResult, delay: float) -> None:
        while not self._stop.wait(delay):
            delay = _PAUSE
            # the app is not there yet, or a pod is just being replaced: that is what is being waited for
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self._text in _body(address):
                    self._seen(time.monotonic())

    def _seen(self, moment: float) -> None:
        with self._lock:
            self._moment = self._moment or moment
        self._stop.set()


def _body(address: urllib.parse.SplitResult) -> bytes:
    connection = http.client.HTTPConnection(address.hostname or "", address.port or 80, timeout=_TIMEOUT)
    try:
        connection.request("GET", address.path or "/")
        return connection.getresponse().read()
    finally:
        connection.close()


def memory(pid: int) -> float:
    """MB (10⁶ bytes): RSS of the process, and what all its descendants hold."""
    return _status(pid, "VmRSS") / 1e6 + descendants_memory(pid)


def descendants_memory(pid: int) -> float:
    """MB that all processes below this one hold together: PSS, in which a page that several of them share counts once (proc(5),
    smaps_rollup). In RSS it would count for each child of a fork server.
    """
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # the name in parentheses may hold anything; behind it: state, parent
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    family = {pid}
    while grown := {child for child, parent in parents.items() if parent in family} - family:
        family |= grown
    return sum(_field(member, "smaps_rollup", "Pss") for member in family - {pid}) / 1e6


def peak(pid: int) -> float:
    """The most MB of RSS that the process held since it was last forgotten."""
    return _status(pid, "VmHWM") / 1e6


def forget_peak(pid: int) -> None:
    """Begin anew with what it holds now (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _status(pid: int, name: str) -> int:
    return _field(pid, "status", name)


def _field(pid: int, file: str, name: str) -> int:
    """Bytes; 0 for a process that has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0
