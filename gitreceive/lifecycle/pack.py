"""Layers as reproducible tar streams (OCI image spec, "Image Layer Filesystem Changeset").

Sorted as git sorts trees, one owner, one date, no names of people: the same content gives the same bytes on every machine.
"""

import os
import stat
import tarfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from gitreceive.lifecycle.source import FOLDER_MODE, Entry, Readable, SourceTarError, entries

MTIME = 315532801  # 1980-01-01T00:00:01Z

_BLOCK = 512
_PIECE = 256 << 10
_END = bytes(2 * _BLOCK)


class Tar:
    """Makes the pieces of one tar. Owner of everything is ``owner`` (uid, gid); ``left_out`` are names that ``tree`` passes over."""

    def __init__(self, owner: tuple[int, int], left_out: Collection[str] = ()) -> None:
        self._owner = owner
        self._left_out = left_out
        self._buffer = bytearray()
        self._parents: set[str] = set()

    def tree(self, folder: Path, name: str) -> Iterator[bytes]:
        """A folder and all below, as ``name`` (no slash in front). Sockets and other special files are left out."""
        yield from self._parents_of(name)
        yield from self._folder(os.fspath(folder), name)

    def path(self, path: str, name: str) -> Iterator[bytes]:
        """A file, a symbolic link, or a folder and all below, as ``name``."""
        yield from self._parents_of(name)
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            self._header(name, tarfile.SYMTYPE, 0o777, target=os.readlink(path))
        elif stat.S_ISDIR(mode):
            yield from self._folder(path, name)
        elif stat.S_ISREG(mode):
            yield from self._file(path, name)
        yield from self._pieces()

    def entry(self, name: str, entry: Entry) -> Iterator[bytes]:
        """One entry of a source, whose folder is in already."""
        if entry.is_folder:
            self._header(name, tarfile.DIRTYPE, entry.mode)
        elif entry.target:
            self._header(name, tarfile.SYMTYPE, entry.mode, target=entry.target)
        else:
            yield from self._content(name, entry.mode, entry.size, entry.pieces(_PIECE))
        yield from self._pieces()

    def file(self, name: str, content: bytes, mode: int = 0o644) -> Iterator[bytes]:
        yield from self._parents_of(name)
        self._header(name, tarfile.REGTYPE, mode, size=len(content))
        self._buffer += content + bytes(-len(content) % _BLOCK)
        yield from self._pieces()

    def link(self, name: str, target: str) -> Iterator[bytes]:
        yield from self._parents_of(name)
        self._header(name, tarfile.SYMTYPE, 0o777, target=target)
        yield from self._pieces()

    def end(self) -> Iterator[bytes]:
        self._buffer += _END
        yield bytes(self._buffer)
        self._buffer.clear()

    def _folder(self, path: str, name: str) -> Iterator[bytes]:
        self._header(name, tarfile.DIRTYPE, stat.S_IMODE(os.lstat(path).st_mode) & 0o777)
        with os.scandir(path) as listing:
            found = sorted(listing, key=_git_order)
        for entry in found:
            inner = f"{name}/{entry.name}"
            if inner in self._left_out:
                continue
            if entry.is_symlink():
                self._header(inner, tarfile.SYMTYPE, 0o777, target=os.readlink(entry.path))
            elif entry.is_dir(follow_symlinks=False):
                yield from self._folder(entry.path, inner)
            elif entry.is_file(follow_symlinks=False):
                yield from self._file(entry.path, inner)
            yield from self._pieces()

    def _file(self, path: str, name: str) -> Iterator[bytes]:
        with open(path, "rb", buffering=0) as file:
            seen = os.fstat(file.fileno())
            mode = stat.S_IMODE(seen.st_mode) & 0o777
            yield from self._content(name, mode, seen.st_size, _read(file, seen.st_size))

    def _content(self, name: str, mode: int, size: int, pieces: Iterator[bytes]) -> Iterator[bytes]:
        self._header(name, tarfile.REGTYPE, mode, size=size)
        missing = size
        for piece in pieces:
            missing -= len(piece)
            self._buffer += piece
            yield from self._pieces()
        if missing:
            raise OSError(f"{name} became shorter while it was read")
        self._buffer += bytes(-size % _BLOCK)

    def _pieces(self) -> Iterator[bytes]:
        if len(self._buffer) >= _PIECE:
            yield bytes(self._buffer)
            self._buffer.clear()

    def _parents_of(self, name: str) -> Iterator[bytes]:
        parts = name.split("/")[:-1]
        for at in range(len(parts)):
            parent = "/".join(parts[: at + 1])
            if parent not in self._parents:
                self._parents.add(parent)
                self._header(parent, tarfile.DIRTYPE, 0o755)
        yield from self._pieces()

    def _header(self, name: str, kind: bytes, mode: int, *, size: int = 0, target: str = "") -> None:
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.size, info.linkname = kind, mode, size, target
        info.uid, info.gid = self._owner
        info.mtime = MTIME
        self._buffer += info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def tree(folder: Path, name: str, owner: tuple[int, int], left_out: Collection[str] = ()) -> Iterator[bytes]:
    """The tar of one folder, without the paths in it that are ``left_out``."""
    tar = Tar(owner, {f"{name}/{path}" for path in left_out})
    yield from tar.tree(folder, name)
    yield from tar.end()


def parts(folder: Path, name: str, owner: tuple[int, int], paths: Sequence[str]) -> Iterator[bytes]:
    """The tar of these paths in the folder, and no others."""
    tar = Tar(owner)
    for path in paths:
        yield from tar.path(os.path.join(folder, path), f"{name}/{path}")
    yield from tar.end()


def source(stream: Readable, name: str, owner: tuple[int, int]) -> Iterator[bytes]:
    """The tar of the folder into which a source would be unpacked, byte for byte, made from the source's own tar stream.

    Raises SourceTarError on what could not be unpacked, and on a stream that is not in git's order.
    """
    tar = Tar(owner)
    yield from tar.entry(name, Entry(name, FOLDER_MODE))
    order = _Order()
    for entry in entries(stream):
        order.follow(entry)
        yield from tar.entry(f"{name}/{entry.name}", entry)
    yield from tar.end()


class _Order:
    """Sees that entries come as ``Tar.tree`` would find them: sorted, none twice, none before its folder."""

    def __init__(self) -> None:
        self._last = b""
        self._folders = [b""]

    def follow(self, entry: Entry) -> None:
        path = os.fsencode(entry.name) + (b"/" if entry.is_folder else b"")
        while not path.startswith(self._folders[-1]):
            self._folders.pop()
        below = path[len(self._folders[-1]) :]
        if path <= self._last or b"/" in below.rstrip(b"/"):
            raise SourceTarError(f"{entry.name!r} does not come in git's order")
        self._last = path
        if entry.is_folder:
            self._folders.append(path)


def _git_order(entry: os.DirEntry[str]) -> bytes:
    """Git compares names as bytes, a folder's with a slash behind it."""
    return os.fsencode(entry.name) + (b"/" if entry.is_dir(follow_symlinks=False) else b"")


def _read(file: IO[bytes], size: int) -> Iterator[bytes]:
    while size and (piece := file.read(min(size, _PIECE))):
        size -= len(piece)
        yield piece


def launcher(folder: Path, owner: tuple[int, int]) -> Iterator[bytes]:
    """The tar of the program that starts processes in app images, from where the build image has it."""
    tar = Tar(owner)
    inside = "cnb/lifecycle"
    for name in LAUNCHER_FILES:
        mode = 0o755 if name == "launcher" else 0o644
        yield from tar.file(f"{inside}/{name}", (folder / name).read_bytes(), mode)
    yield from tar.end()


LAUNCHER_FILES = (
    "gitreceive/__init__.py",
    "gitreceive/lifecycle/__init__.py",
    "gitreceive/lifecycle/env.py",
    "gitreceive/lifecycle/launch.py",
    "launcher",
)


def config(metadata: bytes, links: Mapping[str, str], owner: tuple[int, int]) -> Iterator[bytes]:
    """The tar with ``/cnb/process/TYPE`` for each process type and what the launcher must know."""
    tar = Tar(owner)
    for name, target in sorted(links.items()):
        yield from tar.link(name, target)
    yield from tar.file("layers/config/metadata.json", metadata)
    yield from tar.end()
