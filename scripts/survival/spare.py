"""Servers that start at once: each is forked from a process that has imported all of it.

``python -m scripts.survival.spare`` is that process. It reads a line of JSON for each server to start, and writes one for each that has
started or ended. A server that starts so is the same in all but what comes before its first line.
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from tests.e2e.world import Server, Started

_WHOLE = 6  # of so many starts one is a new process from its beginning


class Spare:
    """The process to fork from. Thread-safe for one who starts servers, and any who wait for them."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "scripts.survival.spare"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._begun: SimpleQueue[int] = SimpleQueue()
        self._known: dict[int, Forked] = {}
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, name="spare", daemon=True)
        self._reader.start()

    def start(self, env: Mapping[str, str], log: Path) -> "Forked":
        assert self._process.stdin
        with self._lock:
            self._process.stdin.write(json.dumps({"env": dict(env), "log": str(log)}) + "\n")
            self._process.stdin.flush()
            return self._known[self._begun.get(timeout=300)]

    def close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(60)
        self._reader.join(60)
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            told = json.loads(line)
            if "code" in told:
                self._known.pop(told["pid"]).end(told["code"])
            else:
                self._known[told["pid"]] = Forked(told["pid"])
                self._begun.put(told["pid"])


@dataclass
class Forked:
    """What ``subprocess.Popen`` is for a child of one's own."""

    pid: int
    returncode: int | None = None
    _ended: threading.Event = field(default_factory=threading.Event, repr=False)

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired(["a forked server"], timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, sent: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, sent)

    def end(self, code: int) -> None:
        self.returncode = code
        self._ended.set()


@dataclass
class QuickServer(Server):
    """``whole``: the one that runs was started from its beginning."""

    spare: Spare | None = None
    whole: bool = True
    _starts: int = 0

    def begin(self) -> Started:
        self.whole = self.spare is None or self._starts % _WHOLE == 0
        self._starts += 1
        if self.whole:
            return super().begin()
        assert self.spare is not None
        return self.spare.start(self.env, self.log)


def main() -> None:
    """Until nobody is left who would ask; its servers end with it."""
    from tests import crash_points

    woken, wakes = os.pipe()
    for end in (woken, wakes):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wakes)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    alive: set[int] = set()
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if woken in ready:
                os.read(woken, 4096)
                _tell_ends(alive)
            if sys.stdin in ready:
                line = sys.stdin.readline()  # whoever asks waits for the answer: there is no second one
                if not line:
                    break
                alive.add(_fork(json.loads(line), crash_points.main))
    for pid in alive:
        os.kill(pid, signal.SIGKILL)


def _tell_ends(alive: set[int]) -> None:
    for pid in tuple(alive):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            alive.discard(pid)
            _tell(pid=pid, code=os.waitstatus_to_exitcode(status))


def _tell(**words: int) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def _fork(asked: Mapping[str, Any], serve: Any) -> int:
    """It is told of before it can end."""
    pid = os.fork()
    if pid:
        _tell(pid=pid)
        return pid
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        log = os.open(asked["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        for number, file in enumerate((os.open(os.devnull, os.O_RDONLY), log, log)):
            os.dup2(file, number)
        os.environ.clear()
        os.environ.update(asked["env"])
        serve()
        os._exit(0)
    except BaseException:  # noqa: BLE001  as the interpreter does at its end
        traceback.print_exc()
        os._exit(1)


if __name__ == "__main__":
    main()
