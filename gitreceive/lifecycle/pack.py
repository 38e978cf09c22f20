"""Layers as reproducible tar streams (OCI image spec, "Image Layer Filesystem Changeset").

Sorted as git sorts trees, one owner, one date, no names of people: the same content gives the same bytes on every machine.
"""

import os
import stat
import tarfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from gitreceive.lifecycle.sbom import image_name
from gitreceive.lifecycle.source import FOLDER_MODE, Entry, Readable, SourceTarError, entries

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

    def tree(self, folder: Path, name: str, holds: Callable[[str], bool] = lambda _: True) -> Iterator[bytes]:
        """A folder and all below that ``holds``, by its name in the tar, as ``name`` (no slash in front). Sockets and other
        special files are left out.
        """
        yield from self._parents_of(name)
        yield from self._folder(os.fspath(folder), name, holds)

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

    def _folder(self, path: str, name: str, holds: Callable[[str], bool]) -> Iterator[bytes]:
        self._header(name, tarfile.DIRTYPE, stat.S_IMODE(os.lstat(path).st_mode) & 0o777)
        with os.scandir(path) as listing:
            found = sorted(listing, key=_git_order)
        for entry in found:
            inner = f"{name}/{entry.name}"
            if not holds(inner):
                continue
            if entry.is_symlink():
                self._header(inner, tarfile.SYMTYPE, 0o777, target=os.readlink(entry.path))
            elif entry.is_dir(follow_symlinks=False):
                yield from self._folder(entry.path, inner, holds)
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


def tree(folder: Path, name: str, owner: tuple[int, int]) -> Iterator[bytes]:
    """The tar of one folder."""
    tar = Tar(owner)
    yield from tar.tree(folder, name)
    yield from tar.end()


def part(folder: Path, name: str, owner: tuple[int, int], paths: Collection[str]) -> Iterator[bytes]:
    """The tar of those paths of a folder, and of the folders on the way to them."""
    wanted = {f"{name}/{path}" for path in paths}
    for path in list(wanted):
        while (path := path.rpartition("/")[0]) not in wanted and path != name:
            wanted.add(path)
    tar = Tar(owner)
    yield from tar.tree(folder, name, wanted.__contains__)
    yield from tar.end()


def rest(
    folder: Path, name: str, owner: tuple[int, int], taken: Iterable[Collection[str]]
) -> Iterator[bytes]:
    """The tar of a folder without those paths, and without the folders that hold nothing else."""
    paths = {path for part in taken for path in part}
    gone = {f"{name}/{path}" for path in paths | _emptied(folder, paths)}
    tar = Tar(owner)
    yield from tar.tree(folder, name, lambda path: path not in gone)
    yield from tar.end()


def _emptied(folder: Path, gone: Collection[str]) -> set[str]:
    """The folders that are left with nothing once these paths are gone."""
    found: set[str] = set()
    above = {
        "/".join(parts[:at]) for parts in (path.split("/") for path in gone) for at in range(1, len(parts))
    }
    for inside in sorted(above, key=lambda path: path.count("/"), reverse=True):
        names = (f"{inside}/{name}" for name in os.listdir(folder / inside))
        if all(name in gone or name in found for name in names):
            found.add(inside)
    return found


def sboms(found: Mapping[str, Sequence[Path]], owner: tuple[int, int]) -> Iterator[bytes]:
    """The tar with each of these files below ``layers/sbom/launch`` (Platform API, "Exporter")."""
    tar = Tar(owner)
    for name, files in found.items():
        for file in files:
            yield from tar.file(f"layers/sbom/launch/{name}/{image_name(file)}", file.read_bytes())
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


def config(files: Mapping[str, bytes], links: Mapping[str, str], owner: tuple[int, int]) -> Iterator[bytes]:
    """The tar with ``/cnb/process/TYPE`` for each process type and, in ``/layers/config``, what the launcher must know."""
    tar = Tar(owner)
    for name, target in sorted(links.items()):
        yield from tar.link(name, target)
    for name, content in sorted(files.items()):
        yield from tar.file(f"layers/config/{name}", content)
    yield from tar.end()
