"""Looks at what a build has on disk, from a container of its own that shares the build's process numbers, or its cache alone: the build can
neither stop it nor outlive it.

One file, standard library only; nothing of gitreceive is in there. ``sys.argv[1]`` is JSON:

    user      the number of the build's user, who owns all that it writes
    bytes     the most that it may have
    files     the most files and folders
    reserve   bytes that must stay free on the disk
    root      where the build's files are; empty: only its cache is looked at, in /layers
    tells     whether what was seen is printed, too

It prints one line of JSON, {"kind": "bytes" | "files" | "deep" | "reserve" | "inodes", "seen": N}, once one of them is passed, and ends.
With ``tells``, each look before that is a line {"kind": "look", "seen": BYTES}.
"""

import contextlib
import errno
import json
import os
import stat
import sys
import time
from collections.abc import Iterator
from typing import Any

_CACHE = "layers"
# what is no disk: the kernel's own, and memory
_ELSEWHERE = frozenset({"proc", "sys", "dev", "platform", _CACHE})
_DEEPEST = 400  # folders in folders: past what any tool can still remove by a path (PATH_MAX, limits.h)
_SHORTEST, _SHARE = 1.0, 4.0  # seconds between two looks, and by how much longer than a look that is
_FEW_INODES = 20_000
_MOST_DESCRIPTORS = 200_000


class Passed(Exception):
    """A limit is passed."""

    def __init__(self, kind: str, seen: int) -> None:
        super().__init__(kind)
        self.kind, self.seen = kind, seen


def main(asked: dict[str, Any]) -> int:
    while True:
        began = time.monotonic()
        try:
            seen, _ = look(asked)
        except Passed as passed:
            _say(passed.kind, passed.seen)
            return 0
        if asked["tells"]:
            _say("look", seen)
        time.sleep(max(_SHORTEST, _SHARE * (time.monotonic() - began)))


def _say(kind: str, seen: int) -> None:
    sys.stdout.write(json.dumps({"kind": kind, "seen": seen}) + "\n")
    sys.stdout.flush()


def look(asked: dict[str, Any]) -> tuple[int, int]:
    """Bytes and files that there are. Raises Passed."""
    root, cache = asked["root"], f"{asked['root']}/{_CACHE}"
    _look_at_reserve(cache, asked["reserve"])
    count = Count(asked["user"], asked["bytes"], asked["files"])
    if root:
        count.tree(root, _ELSEWHERE)
    count.tree(cache, frozenset())
    for descriptor in open_files():
        with contextlib.suppress(OSError):
            count.removed(os.stat(descriptor))
    return count.bytes, count.files


class Count:
    """What is the user's, each file once however many names it has."""

    def __init__(self, user: int, most_bytes: int, most_files: int) -> None:
        self.bytes = self.files = 0
        self._user, self._most_bytes, self._most_files = user, most_bytes, most_files
        self._linked: set[tuple[int, int]] = set()
        self._devices: set[int] = set()

    def tree(self, folder: str, without: frozenset[str]) -> None:
        """All below the folder on its own file system. No link is followed, and what goes while it is looked at does not count."""
        here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            device = os.fstat(here).st_dev
            self._devices.add(device)
            self._folder(here, device, 0, without)
        finally:
            os.close(here)

    def removed(self, seen: os.stat_result) -> None:
        """A file that is open and has no name any more still takes its place."""
        if stat.S_ISREG(seen.st_mode) and seen.st_nlink == 0 and seen.st_dev in self._devices:
            self._add(seen)

    def _folder(self, here: int, device: int, depth: int, without: frozenset[str] = frozenset()) -> None:
        if depth > _DEEPEST:
            raise Passed("deep", depth)
        below = []
        for name, seen in _entries(here):
            if name not in without:
                self._add(seen)
                if stat.S_ISDIR(seen.st_mode) and seen.st_dev == device:
                    below.append(name)
        for name in below:
            inner = _open_folder(name, here)
            if inner is not None:
                try:
                    self._folder(inner, device, depth + 1)
                finally:
                    os.close(inner)

    def _add(self, seen: os.stat_result) -> None:
        if seen.st_uid != self._user:
            return
        if not stat.S_ISDIR(seen.st_mode) and seen.st_nlink != 1:
            known = (seen.st_dev, seen.st_ino)
            if known in self._linked:
                return
            self._linked.add(known)
        self.files += 1
        self.bytes += seen.st_blocks * 512  # stat(2): blocks are counted in 512 bytes
        if self.files > self._most_files:
            raise Passed("files", self.files)
        if self.bytes > self._most_bytes:
            raise Passed("bytes", self.bytes)


def _entries(folder: int) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                yield entry.name, os.stat(entry.name, dir_fd=folder, follow_symlinks=False)


def _open_folder(name: str, parent: int) -> int | None:
    """None where it is none any more. Raises OSError for anything else: what cannot be looked into is not nothing."""
    try:
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
            return None
        raise


def open_files() -> Iterator[str]:
    """What processes have open (proc(5), fd)."""
    left = _MOST_DESCRIPTORS
    for process in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            for descriptor in os.listdir(f"/proc/{process}/fd"):
                left -= 1
                if left < 0:
                    return
                yield f"/proc/{process}/fd/{descriptor}"


def _look_at_reserve(place: str, reserve: int) -> None:
    disk = os.statvfs(place)
    free = disk.f_bavail * disk.f_frsize
    if free < reserve:
        raise Passed("reserve", free)
    if disk.f_files and disk.f_favail < _FEW_INODES:
        raise Passed("inodes", disk.f_favail)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
