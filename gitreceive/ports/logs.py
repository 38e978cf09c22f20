"""Where what is said goes: the log of a job, and the book that keeps it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from gitreceive.model import JobId


class Log(Protocol):
    """The one voice for output of a job: Heroku's dialect."""

    def step(self, text: str) -> None:
        """``-----> text``."""

    def detail(self, text: str) -> None:
        """Seven spaces and the text."""

    def warn(self, text: str) -> None:
        """`` !     text``."""

    def error(self, text: str, hint: str = "") -> None:
        """`` !     text``, and the hint below it."""

    def write(self, chunk: bytes) -> None:
        """Output of a program as it comes, in any pieces, each line indented by seven spaces."""


class LogBook(Protocol):
    """Append-only logs of jobs, read by byte offset. What was appended is what is read: sanitised once, on the way in."""

    def append(self, job: JobId, chunk: bytes) -> None:
        """Add output. Whole lines reach readers at once, half a line within half a second. Bounded: past the limit the
        middle is left out and says so.
        """

    def close(self, job: JobId) -> None:
        """Nothing more comes; what was held back is written. May be called twice."""

    def read(self, job: JobId, offset: int, limit: int = 65536) -> bytes:
        """At most ``limit`` bytes from ``offset``; empty where there is nothing yet."""

    def size(self, job: JobId) -> int:
        """Bytes readable now."""

    def times(self, job: JobId) -> Sequence[tuple[int, datetime]]:
        """When it was written: from that byte on, at that time or soon after, until the next; in the order of bytes."""

    def all(self) -> Mapping[JobId, int]:
        """The jobs that have a log, and its bytes."""

    def delete(self, job: JobId) -> None:
        """Remove the log; no error where there is none."""
