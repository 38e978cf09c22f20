"""Logs of jobs as files: ``<folder>/<job>.log``, written by the server, read by offset by whoever may."""

import contextlib
import os
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from gitreceive.engines.file_logbook.times import Times
from gitreceive.engines.file_logbook.writer import Writer
from gitreceive.errors import UnavailableError
from gitreceive.model import JobId


class FileLogBook:
    """The port ``LogBook``. One process appends to a job's log at a time; any number of others read it meanwhile."""

    def __init__(self, folder: Path, limit: int) -> None:
        """``limit``: bytes that one log may have; see ``Writer``. Raises UnavailableError."""
        self._folder = folder
        self._limit = limit
        self._writers: dict[JobId, Writer] = {}
        self._clocks: dict[JobId, Times] = {}
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise _unavailable(folder, error) from error

    def append(self, job: JobId, chunk: bytes) -> None:
        """Raises UnavailableError where it cannot be written: the disk is full, say."""
        try:
            size = self.size(job)
            self._writer(job).append(chunk)
            self._clock(job).tick(size)
        except OSError as error:
            raise _unavailable(self._path(job), error) from error

    def close(self, job: JobId) -> None:
        """Then it is on the disk for good. Raises UnavailableError."""
        try:
            if self._path(job).exists():
                self._writer(job).close()
        except OSError as error:
            raise _unavailable(self._path(job), error) from error
        finally:
            self._forget(job)

    def read(self, job: JobId, offset: int, limit: int = 65536) -> bytes:
        """Raises UnavailableError where the file cannot be read."""
        try:
            with self._path(job).open("rb", buffering=0) as file:
                return os.pread(file.fileno(), limit, offset)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise _unavailable(self._path(job), error) from error

    def size(self, job: JobId) -> int:
        """Raises UnavailableError where the file cannot be looked at."""
        try:
            return self._path(job).stat().st_size
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise _unavailable(self._path(job), error) from error

    def times(self, job: JobId) -> Sequence[tuple[int, datetime]]:
        """Raises UnavailableError where they cannot be read."""
        try:
            return Times.read(self._path(job))
        except OSError as error:
            raise _unavailable(self._path(job), error) from error

    def all(self) -> dict[JobId, int]:
        """Raises UnavailableError where the folder cannot be looked at."""
        found: dict[JobId, int] = {}
        try:
            for file in self._folder.glob("*.log"):
                with contextlib.suppress(FileNotFoundError):  # another removes it
                    if file.stem.isascii() and file.stem.isdigit():
                        found[JobId(int(file.stem))] = file.stat().st_size
        except OSError as error:
            raise _unavailable(self._folder, error) from error
        return found

    def delete(self, job: JobId) -> None:
        """Raises UnavailableError where it cannot be removed."""
        self._forget(job)
        try:
            Writer.remove(self._path(job))
            Times.remove(self._path(job))
        except OSError as error:
            raise _unavailable(self._path(job), error) from error

    def _path(self, job: JobId) -> Path:
        return self._folder / f"{int(job)}.log"

    def _writer(self, job: JobId) -> Writer:
        with self._lock:
            if job not in self._writers:
                self._writers[job] = Writer(self._path(job), self._limit)
            return self._writers[job]

    def _clock(self, job: JobId) -> Times:
        with self._lock:
            return self._clocks.setdefault(job, Times(self._path(job)))

    def _forget(self, job: JobId) -> None:
        with self._lock:
            writer = self._writers.pop(job, None)
            self._clocks.pop(job, None)
        if writer:
            writer.release()


def _unavailable(path: Path, error: OSError) -> UnavailableError:
    return UnavailableError(
        f"the log {path} cannot be used: {error.strerror}",
        hint="see that its disk has room and its folder belongs to the user who runs the server",
    )
