"""The end of a long output, in a file of bounded size."""

import os
from collections.abc import Iterator
from pathlib import Path

_HEADER = b"%020d %020d\n"  # how much was dropped, and where the content goes once that is decided
_HEADER_LENGTH = len(_HEADER % (0, 0))
_LEAST_SLACK = 1 << 20


class Tail:
    """Keeps at least the last ``keep`` bytes of what is appended, and over processes. Raises OSError."""

    def __init__(self, path: Path, keep: int) -> None:
        self._path = path
        self._keep = keep
        self._file = open_private(path)
        header = os.pread(self._file, _HEADER_LENGTH, 0)
        if len(header) < _HEADER_LENGTH:  # new, or cut short before anything was appended
            header = _HEADER % (0, 0)
            _write(self._file, 0, header)
        self._dropped, self._home = (int(number) for number in header.split())
        self._size = os.fstat(self._file).st_size

    @property
    def home(self) -> int:
        """The offset in the log where the content goes; 0 while more may come."""
        return self._home

    @home.setter
    def home(self, offset: int) -> None:
        self._home = offset
        _write(self._file, 0, _HEADER % (self._dropped, offset))
        os.fsync(self._file)

    def append(self, out: bytes) -> None:
        for written in write_at(self._file, self._size, out):
            self._size += written
        if self._size - _HEADER_LENGTH > self._keep + max(self._keep, _LEAST_SLACK):
            self._shorten()

    def content(self) -> tuple[int, bytes]:
        """How many bytes were dropped, and what came behind them: at most ``keep``, from the beginning of a line if it has one."""
        kept = self._last()
        dropped = self._dropped + self._size - _HEADER_LENGTH - len(kept)
        if dropped:
            rest = kept[kept.find(b"\n") + 1 :].lstrip(_CONTINUATION)
            dropped, kept = dropped + len(kept) - len(rest), rest
        return dropped, kept

    def at_line_start(self) -> bool:
        return os.pread(self._file, 1, self._size - 1) == b"\n"  # the header ends a line, too

    def remove(self) -> None:
        self.release()
        self._path.unlink(missing_ok=True)

    def release(self) -> None:
        os.close(self._file)

    def _last(self) -> bytes:
        start = max(_HEADER_LENGTH, self._size - self._keep)
        return os.pread(self._file, self._size - start, start)

    def _shorten(self) -> None:
        kept = self._last()
        dropped = self._dropped + self._size - _HEADER_LENGTH - len(kept)
        draft = self._path.with_suffix(".tail-new")
        draft.unlink(missing_ok=True)
        file = open_private(draft)
        try:
            _write(file, 0, _HEADER % (dropped, 0) + kept)
            draft.replace(self._path)
        except OSError:
            os.close(file)
            draft.unlink(missing_ok=True)
            raise
        os.close(self._file)
        self._file, self._dropped, self._size = file, dropped, _HEADER_LENGTH + len(kept)


_CONTINUATION = bytes(range(0x80, 0xC0))  # bytes that no UTF-8 character begins with


def open_private(path: Path) -> int:
    """For reading and writing, made where new; only its owner may."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def write_at(file: int, offset: int, content: bytes) -> Iterator[int]:
    """Write all of it, telling after each step how many bytes are on their way to the disk."""
    view = memoryview(content)
    while view:
        written = os.pwrite(file, view, offset)
        yield written
        offset, view = offset + written, view[written:]


def _write(file: int, offset: int, content: bytes) -> None:
    for _ in write_at(file, offset, content):
        pass
