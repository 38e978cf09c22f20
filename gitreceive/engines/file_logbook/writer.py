"""One log that is being written: sanitised, and bounded by keeping its beginning and its end.

Up to three quarters of the limit go straight to the file, so that readers see them at once. What comes behind goes to a side
file that keeps the last quarter; ``close`` adds it to the log, below a line that says how much was left out. The log only ever
grows: an offset that was read stays what it was. Both files outlive the process, and the next one goes on where they end.
"""

import os
import threading
from pathlib import Path

from gitreceive.engines.file_logbook.tail import Tail, open_private, write_at
from gitreceive.sanitise import Sanitiser

_MARK = " !     "
_MARKS = 256  # bytes set aside for the two lines that tell of the limit


class Writer:
    """Thread-safe. Raises OSError."""

    def __init__(self, path: Path, limit: int) -> None:
        self._limit, self._keep = limit, limit // 4
        self._lock = threading.Lock()
        self._sanitiser = Sanitiser()
        self._tail_path = _tail_path(path)
        self._log = open_private(path)
        self._size = os.fstat(self._log).st_size
        self._tail = Tail(self._tail_path, self._keep) if self._tail_path.exists() else None
        if self._tail and self._tail.home:
            self._bring_home(self._tail)  # a close was cut short
        self._goes_on = self._size > 0

    def append(self, chunk: bytes) -> None:
        with self._lock:
            if self._goes_on:
                self._goes_on = False
                if not self._at_line_start():  # it was cut short, and its rest never comes
                    self._put(b"\n")
            try:
                self._put(self._sanitiser.feed(chunk))
            except OSError:
                self._goes_on = True  # a line may be cut short: what is said of it, once there is room, has one of its own
                raise

    def close(self) -> None:
        """Write what was held back, and wait until the disk has all of it."""
        with self._lock:
            self._put(self._sanitiser.finish())
            if self._tail:
                self._bring_home(self._tail)
            os.fsync(self._log)

    def release(self) -> None:
        """Let go of the files, whatever was written."""
        with self._lock:
            os.close(self._log)
            self._log = -1
            if self._tail:
                self._tail.release()

    @staticmethod
    def remove(path: Path) -> None:
        """The log and what belongs to it; no error where there is none."""
        path.unlink(missing_ok=True)
        _tail_path(path).unlink(missing_ok=True)

    def _put(self, out: bytes) -> None:
        if self._tail is None:
            room = max(0, self._limit - self._keep - _MARKS - self._size)
            cut = len(out) if len(out) <= room else out.rfind(b"\n", 0, room) + 1
            self._write(out[:cut])
            out = out[cut:]
        if out:
            self._tail = self._tail or self._overflow()
            self._tail.append(out)

    def _overflow(self) -> Tail:
        """From here on the tail takes it. The log says so to those who follow it."""
        start = "" if self._at_line_start() else "\n"
        said = f"[log limit of {_size(self._limit)} reached; the last {_size(self._keep)} follow at the end]"
        tail = Tail(self._tail_path, self._keep)
        self._write(f"{start}{_MARK}{said}\n".encode())
        return tail

    def _bring_home(self, tail: Tail) -> None:
        """Add the tail to the log. Killed in the midst of it, the next one writes the same bytes to the same place."""
        dropped, kept = tail.content()
        tail.home = tail.home or self._size
        self._size = tail.home
        self._write((f"{_MARK}[{_size(dropped)} left out]\n".encode() if dropped else b"") + kept)
        os.fsync(self._log)
        tail.remove()
        self._tail = None

    def _at_line_start(self) -> bool:
        if self._tail:
            return self._tail.at_line_start()
        return self._size == 0 or os.pread(self._log, 1, self._size - 1) == b"\n"

    def _write(self, out: bytes) -> None:
        for written in write_at(self._log, self._size, out):
            self._size += written


def _tail_path(path: Path) -> Path:
    return path.with_suffix(".tail")


def _size(count: int) -> str:
    for unit, name in ((1 << 20, "MB"), (1 << 10, "KB")):
        if count >= unit:
            return f"{count / unit:.1f}".removesuffix(".0") + f" {name}"
    return f"{count} bytes"
