"""Layers as reproducible tar streams (OCI image spec, "Image Layer Filesystem Changeset").

Sorted, one owner, one date, no names of people: the same content gives the same bytes on every machine.
"""

import os
import stat
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

MTIME = 315532801  # 1980-01-01T00:00:01Z

_BLOCK = 512
_PIECE = 256 << 10
_END = bytes(2 * _BLOCK)


class Tar:
    """Makes the pieces of one tar. Owner of everything is ``owner`` (uid, gid)."""

    def __init__(self, owner: tuple[int, int]) -> None:
        self._owner = owner
        self._buffer = bytearray()
        self._parents: set[str] = set()

    def tree(self, folder: Path, name: str) -> Iterator[bytes]:
        """A folder and all below, as ``name`` (no slash in front). Sockets and other special files are left out."""
        yield from self._parents_of(name)
        yield from self._folder(os.fspath(folder), name)

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
        self._header(f"{name}/", tarfile.DIRTYPE, stat.S_IMODE(os.lstat(path).st_mode) & 0o777)
        with os.scandir(path) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
        for entry in entries:
            inner = f"{name}/{entry.name}"
            if entry.is_symlink():
                self._header(inner, tarfile.SYMTYPE, 0o777, target=os.readlink(entry.path))
            elif entry.is_dir(follow_symlinks=False):
                yield from self._folder(entry.path, inner)
            elif entry.is_file(follow_symlinks=False):
                yield from self._content(entry.path, inner)
            yield from self._pieces()

    def _content(self, path: str, name: str) -> Iterator[bytes]:
        with open(path, "rb", buffering=0) as file:
            seen = os.fstat(file.fileno())
            self._header(name, tarfile.REGTYPE, stat.S_IMODE(seen.st_mode) & 0o777, size=seen.st_size)
            missing = seen.st_size
            while missing:
                piece = file.read(min(missing, _PIECE))
                if not piece:
                    raise OSError(f"{path} became shorter while it was read")
                missing -= len(piece)
                self._buffer += piece
                yield from self._pieces()
        self._buffer += bytes(-seen.st_size % _BLOCK)

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
                self._header(f"{parent}/", tarfile.DIRTYPE, 0o755)
        yield from self._pieces()

    def _header(self, name: str, kind: bytes, mode: int, *, size: int = 0, target: str = "") -> None:
        info = tarfile.TarInfo(name.removesuffix("/"))
        info.type, info.mode, info.size, info.linkname = kind, mode, size, target
        info.uid, info.gid = self._owner
        info.mtime = MTIME
        self._buffer += info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def tree(folder: Path, name: str, owner: tuple[int, int]) -> Iterator[bytes]:
    """The tar of one folder."""
    tar = Tar(owner)
    yield from tar.tree(folder, name)
    yield from tar.end()


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
