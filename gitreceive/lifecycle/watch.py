"""Which files of a source the programs of a build open and change, as the kernel tells (inotify(7)).

What is only looked for (``[ -f NAME ]``) and what a folder's listing shows is not seen: neither opens a file.
"""

import ctypes
import os
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from select import POLLIN, poll
from typing import Any

_MODIFY, _ATTRIB, _MOVED, _CREATE, _DELETE, _OPEN = 0x2, 0x4, 0xC0, 0x100, 0x200, 0x20
_CHANGED = _MODIFY | _ATTRIB | _MOVED | _CREATE | _DELETE
_OVERFLOW, _IS_FOLDER = 0x4000, 0x40000000
_HEADER = struct.Struct("iIII")
_READ = 1 << 16


@dataclass(frozen=True)
class Seen:
    """Paths in the folder: files that were there and were opened, and names that came, went or were changed.

    ``whole`` is false where more happened at once than the kernel keeps.
    """

    read: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    whole: bool = True

    def as_json(self) -> dict[str, Any]:
        return {"read": list(self.read), "changed": list(self.changed), "whole": self.whole}


class Watch:
    """Begins at once. ``lap`` says what was seen since the last call; a program's opens are all there once it has ended."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError where the system does not let it be watched."""
        self._libc = _libc()
        self._descriptor = _checked(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self._folders: dict[int, str] = {}
        self._files: set[str] = set()
        self._read: set[str] = set()
        self._changed: set[str] = set()
        self._whole = True
        self._lock = threading.Lock()
        try:
            self._add_all(os.fsencode(folder))
        except OSError:
            os.close(self._descriptor)
            raise
        self._wake, self._end = os.pipe()
        self._thread = threading.Thread(target=self._follow, name="watch", daemon=True)
        self._thread.start()

    def lap(self) -> Seen:
        with self._lock:
            self._drain()
            changed = self._changed
            # a file that was made or written anew says nothing of the source by being opened
            seen = Seen(tuple(sorted(self._read - changed)), tuple(sorted(changed)), self._whole)
            self._files -= changed
            self._read, self._changed, self._whole = set(), set(), True
            return seen

    def close(self) -> None:
        os.close(self._end)
        self._thread.join()
        os.close(self._wake)
        os.close(self._descriptor)

    def _add_all(self, top: bytes) -> None:
        for current, _, files in os.walk(top, onerror=_raised):
            inside = os.path.relpath(current, top)
            number = _checked(
                self._libc.inotify_add_watch(self._descriptor, current, ctypes.c_uint32(_OPEN | _CHANGED))
            )
            self._folders[number] = "" if inside == b"." else os.fsdecode(inside) + "/"
            self._files |= {self._folders[number] + os.fsdecode(name) for name in files}

    def _follow(self) -> None:
        """Keep the kernel's queue short."""
        waiting = poll()
        waiting.register(self._descriptor, POLLIN)
        waiting.register(self._wake, POLLIN)
        while not any(number == self._wake for number, _ in waiting.poll()):
            with self._lock:
                self._drain()

    def _drain(self) -> None:
        while True:
            try:
                content = os.read(self._descriptor, _READ)
            except BlockingIOError:
                return
            for number, mask, name in _events(content):
                self._note(number, mask, name)

    def _note(self, number: int, mask: int, name: str) -> None:
        if mask & _OVERFLOW:
            self._whole = False
        if number not in self._folders or not name:
            return  # of a folder itself
        path = self._folders[number] + name
        if mask & _CHANGED:
            self._changed.add(path)
        elif mask & _OPEN and not mask & _IS_FOLDER and path in self._files:
            self._read.add(path)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _raised(error: OSError) -> None:
    raise error


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _events(content: bytes) -> Iterator[tuple[int, int, str]]:
    at = 0
    while at < len(content):
        number, mask, _, size = _HEADER.unpack_from(content, at)
        at += _HEADER.size
        name = content[at : at + size].rstrip(b"\0")
        at += size
        yield number, mask, os.fsdecode(name)
