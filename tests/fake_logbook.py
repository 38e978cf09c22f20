"""Logs in memory, held to the same contract as the files."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from gitreceive.model import JobId
from gitreceive.sanitise import Sanitiser


@dataclass
class _Log:
    sanitiser: Sanitiser = field(default_factory=Sanitiser)
    content: bytes = b""
    rest: bytes | None = None  # what came behind the limit
    times: list[tuple[int, datetime]] = field(default_factory=list)


class FakeLogBook:
    """The real sanitiser, and the bound told in fewer words."""

    def __init__(self, limit: int = 1 << 20) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._logs: dict[JobId, _Log] = {}

    def append(self, job: JobId, chunk: bytes) -> None:
        with self._lock:
            log = self._logs.setdefault(job, _Log())
            log.times.append((len(log.content), datetime.now(UTC)))
            self._put(log, log.sanitiser.feed(chunk))

    def close(self, job: JobId) -> None:
        with self._lock:
            if job not in self._logs:
                return
            log = self._logs[job]
            self._put(log, log.sanitiser.finish())
            if log.rest is not None:
                kept = log.rest[-(self._limit // 4) :]
                if len(kept) < len(log.rest):
                    kept = kept[kept.find(b"\n") + 1 :]
                    log.content += b" !     [%d bytes left out]\n" % (len(log.rest) - len(kept))
                log.content += kept
            log.rest = None

    def read(self, job: JobId, offset: int, limit: int = 65536) -> bytes:
        with self._lock:
            log = self._logs.get(job)
            return log.content[offset : offset + limit] if log else b""

    def size(self, job: JobId) -> int:
        with self._lock:
            return len(self._logs[job].content) if job in self._logs else 0

    def times(self, job: JobId) -> Sequence[tuple[int, datetime]]:
        with self._lock:
            return list(self._logs[job].times) if job in self._logs else []

    def all(self) -> dict[JobId, int]:
        with self._lock:
            return {job: len(log.content) for job, log in self._logs.items()}

    def delete(self, job: JobId) -> None:
        with self._lock:
            self._logs.pop(job, None)

    def _put(self, log: _Log, out: bytes) -> None:
        if log.rest is None:
            room = self._limit - self._limit // 4 - 256 - len(log.content)
            cut = len(out) if len(out) <= room else out.rfind(b"\n", 0, max(0, room)) + 1
            log.content, out = log.content + out[:cut], out[cut:]
        if out:
            if log.rest is None:
                log.rest = b""
                start = b"" if log.content.endswith(b"\n") or not log.content else b"\n"
                log.content += start + b" !     [log limit reached; the end follows]\n"
            log.rest += out
