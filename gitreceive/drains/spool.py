"""What waits for one receiver, in files of bounded size: ``<number>.lines``, a line of JSON each, and a mark of what has been delivered.

It outlives the process. Where more waits than may, the oldest file goes, and how many lines that were is counted and said in the stream.
"""

import json
import os
import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gitreceive.drains.files import read_document, write_whole
from gitreceive.drains.receiving import KEYS, Entry
from gitreceive.errors import UnavailableError

_SEGMENTS = 16  # so many files may wait
_BATCH_LINES = 500
_BATCH_BYTES = 512 << 10


class Mark(NamedTuple):
    """A place between two lines: a file's number, and bytes into it."""

    segment: int
    offset: int


@dataclass(frozen=True)
class Batch:
    """Lines that follow each other. ``ends`` has the place behind each; ``lost``: so many before them are gone for good."""

    entries: Sequence[Entry]
    ends: Sequence[Mark]
    lost: int = 0


class Spool:
    """Thread-safe. Raises UnavailableError where the disk does not do its part."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._size = max(4096, limit // _SEGMENTS)
        self._limit = limit
        self._lock = threading.Lock()
        self._closed = False
        self._lines: dict[int, int] = {}  # by file
        self._lost = 0
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._open()
        except OSError as error:
            raise _failed(folder, error) from error

    @property
    def waiting(self) -> int:
        """Lines that are not known to be delivered."""
        with self._lock:
            return sum(self._lines.values()) - self._delivered_of_first

    @property
    def dropped(self) -> int:
        """Lines that went undelivered, ever."""
        return self._dropped

    def append(self, lines: Sequence[bytes]) -> None:
        """Each with its end. Nothing happens once it is closed."""
        with self._lock:
            if self._closed:
                return
            try:
                for line in lines:
                    if self._last_size + len(line) > self._size and self._last_size:
                        self._begin_segment()
                        self._keep_bound()
                    os.write(self._file, line)
                    self._last_size += len(line)
                    self._lines[self._last] += 1
            except OSError as error:
                self._repair()
                raise _failed(self._folder, error) from error

    def sync(self) -> None:
        """What was appended outlives a loss of power."""
        with self._lock:
            try:
                if not self._closed:
                    os.fsync(self._file)
            except OSError as error:
                raise _failed(self._folder, error) from error

    def read(self, after: Mark) -> Batch:
        """What comes behind ``after``, as far as it fits in one message."""
        with self._lock:
            lost, self._lost = self._lost, 0
            segments = [number for number in sorted(self._lines) if number >= after.segment]
        entries: list[Entry] = []
        ends: list[Mark] = []
        for number in segments:
            start = after.offset if number == after.segment else 0
            for line, end in self._lines_of(number, start):
                entries.append(_entry(line))
                ends.append(Mark(number, end))
                if len(entries) >= _BATCH_LINES or end - start > _BATCH_BYTES:
                    return Batch(entries, ends, lost)
            if entries:
                break
        return Batch(entries, ends, lost)

    @property
    def delivered(self) -> Mark:
        return self._delivered

    def commit(self, mark: Mark) -> None:
        """All before ``mark`` is delivered."""
        with self._lock:
            if mark <= self._delivered:
                return
            try:
                self._advance(mark)
                self._save()
            except OSError as error:
                raise _failed(self._folder, error) from error

    def give_back(self, lost: int) -> None:
        """It could not be said yet that so many lines were lost."""
        with self._lock:
            self._lost += lost

    def close(self) -> None:
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._file)

    def remove(self) -> None:
        """With all that waits."""
        self.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    # --- files --------------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        known = read_document(self._folder / "delivered.json") or {}
        self._delivered = Mark(known.get("segment", 0), known.get("offset", 0))
        self._dropped, self._lost = int(known.get("dropped", 0)), int(known.get("lost", 0))
        numbers = sorted(int(path.stem) for path in self._folder.glob("*.lines"))
        if not numbers:
            numbers = [self._delivered.segment + 1]
        self._lines = dict.fromkeys(numbers, 0)
        self._last = numbers[-1]
        self._file = os.open(
            self._path(self._last), os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        self._repair()
        for number in numbers:
            self._lines[number] = self._path(number).read_bytes().count(b"\n")
        if self._delivered.segment not in self._lines:
            self._delivered = Mark(numbers[0], 0)
        head = self._path(numbers[0]).read_bytes()[: self._delivered.offset]
        self._delivered_of_first = head.count(b"\n") if self._delivered.segment == numbers[0] else 0

    def _repair(self) -> None:
        """Half a line at the end was cut short by a crash, or by a full disk; it was not reckoned as read."""
        content = self._path(self._last).read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.ftruncate(self._file, whole)
        self._last_size = whole
        self._lines[self._last] = content.count(b"\n")

    def _begin_segment(self) -> None:
        os.fsync(self._file)
        new = os.open(self._path(self._last + 1), os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        os.close(self._file)
        self._file, self._last, self._last_size = new, self._last + 1, 0
        self._lines[self._last] = 0

    def _keep_bound(self) -> None:
        if len(self._lines) <= _SEGMENTS:
            return
        oldest = min(self._lines)
        gone = self._lines.pop(oldest) - self._delivered_of_first
        self._dropped += gone
        self._lost += gone
        self._delivered_of_first = 0
        self._delivered = max(self._delivered, Mark(min(self._lines), 0))
        self._save()
        self._path(oldest).unlink(missing_ok=True)

    def _advance(self, mark: Mark) -> None:
        for number in [number for number in self._lines if number < mark.segment]:
            del self._lines[number]
            self._delivered_of_first = 0
            self._path(number).unlink(missing_ok=True)
        start = self._delivered.offset if mark.segment == self._delivered.segment else 0
        with self._path(mark.segment).open("rb") as file:
            file.seek(start)
            self._delivered_of_first += file.read(mark.offset - start).count(b"\n")
        self._delivered = mark

    def _save(self) -> None:
        segment, offset = self._delivered
        document = {"segment": segment, "offset": offset, "dropped": self._dropped, "lost": self._lost}
        write_whole(self._folder / "delivered.json", document)

    def _lines_of(self, number: int, start: int) -> list[tuple[bytes, int]]:
        """(line, place behind it), as much as one message takes; nothing of a file that went meanwhile."""
        try:
            with self._path(number).open("rb") as file:
                file.seek(start)
                content = file.read(2 * _BATCH_BYTES)
                if b"\n" not in content:
                    content += file.readline()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _failed(self._folder, error) from error
        found, at = [], start
        for line in _whole(content):
            at += len(line)
            found.append((line, at))
        return found

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:012}.lines"


def _entry(line: bytes) -> Entry:
    """A disk may err: what cannot be read back must not keep what is behind it."""
    try:
        found: Entry = json.loads(line)
    except ValueError:
        found = {}
    return {**dict.fromkeys(KEYS, "-"), "text": "a line could not be read back from the disk", **found}


def _whole(content: bytes) -> list[bytes]:
    """Lines that have an end; bytes.splitlines knows more ends than one."""
    *lines, _ = content.split(b"\n")
    return [line + b"\n" for line in lines]


def _failed(folder: Path, error: OSError) -> UnavailableError:
    return UnavailableError(
        f"what waits for a log drain cannot be kept in {folder}: {error.strerror}",
        hint="see that its disk has room and its folder belongs to the user who runs the server",
    )
