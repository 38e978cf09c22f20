"""Room on the server's own disk: who may still begin, what is held back for the ledger, and what a disk says that takes no more."""

import errno
import os
from pathlib import Path

from gitreceive.errors import UnavailableError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
_HELD_PART = 8  # of the reserve lies in a file that is given up when all else is taken
_LEAST = 1 << 16  # bytes that are not worth a half
_HELD_FILES = 64  # that a few builds need to end: their logs, git's locks
_FEW_FILES = 8
_FILES = 1000  # that a push and its build may need, with much to spare


def is_full(error: BaseException) -> bool:
    """Whether a disk refused to write: no room, no room for one more file, or read-only."""
    return isinstance(error, OSError) and error.errno in _FULL


def require_room(folder: Path, reserved: int) -> None:
    """Raises UnavailableError, with what is missing, unless ``folder`` is on a disk that can be written and has ``reserved`` bytes free.

    A file system that counts no files (``f_files`` 0, statvfs(3)) has room for any number.
    """
    try:
        seen = os.statvfs(folder)
    except OSError as error:
        raise UnavailableError(f"the server's disk cannot be looked at: {error}", hint=_HINT) from error
    free = seen.f_bavail * seen.f_frsize
    if seen.f_flag & os.ST_RDONLY:
        raise UnavailableError(
            "the server's disk is read-only, so nothing is taken",
            hint="ask the operator to see to the disk of the data folder, then push again",
        )
    if free < reserved:
        raise UnavailableError(
            f"the server's disk is full: {free / 1e6:.0f} MB are free, and {reserved / 1e6:.0f} MB have to stay free",
            hint=_HINT,
        )
    if seen.f_files and seen.f_favail < _FILES:
        raise UnavailableError(
            f"the server's disk is full: it has room for {seen.f_favail} more files (inodes), and {_FILES} are needed",
            hint=_HINT,
        )


_HINT = "ask the operator to free room in the data folder (gitreceive gc), then push again"


class Reserve:
    """A part of the reserve, in bytes and in files: with it given up, those who ended for want of room can still be told so, and the
    ledger is whole.
    """

    def __init__(self, folder: Path, reserved: int) -> None:
        self._folder = folder
        self._reserved = reserved
        self._bytes = _HeldBytes(folder / "reserve", max(1, reserved // _HELD_PART))
        self._files = _HeldFiles(folder / "reserve-files")

    def see(self) -> None:
        """Give it up where the disk is full, and take it back where there is room again. Call it often. Raises UnavailableError."""
        try:
            seen = os.statvfs(self._folder)
            if seen.f_flag & os.ST_RDONLY:
                return
            self._bytes.see(seen.f_bavail * seen.f_frsize, self._reserved)
            if seen.f_files:
                self._files.see(seen.f_favail, _FILES)
        except OSError as error:
            raise UnavailableError(f"the ledger's reserve in {self._folder}: {error}", hint=_HINT) from error


class _HeldBytes:
    """One file of them. Half is given up at a time: who goes on writing until the disk refuses it would have all of it. Raises OSError."""

    def __init__(self, path: Path, most: int) -> None:
        self._path = path
        self._most = most

    def see(self, free: int, reserved: int) -> None:
        if free < self._most // 2 and self._held() > 0:
            self._give_up_half()
        elif free > reserved + self._most and self._held() < self._most:
            self._hold()

    def _held(self) -> int:
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def _give_up_half(self) -> None:
        left = self._held() // 2
        if left < _LEAST:
            self._path.unlink()
        else:
            os.truncate(self._path, left)

    def _hold(self) -> None:
        descriptor = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, self._most)
        except OSError:
            self._path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)


class _HeldFiles:
    """A folder of empty ones, for file systems that have only so many (inodes). Half is given up at a time. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def see(self, free: int, reserved: int) -> None:
        if free < _FEW_FILES:
            held = self._held()
            for path in held[len(held) // 2 :]:
                path.unlink()
        elif free > reserved + _HELD_FILES and len(self._held()) < _HELD_FILES:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            for number in range(_HELD_FILES):
                (self._folder / str(number)).touch(mode=0o600)

    def _held(self) -> list[Path]:
        try:
            return sorted(self._folder.iterdir())
        except FileNotFoundError:
            return []
