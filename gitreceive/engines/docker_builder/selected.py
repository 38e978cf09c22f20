"""A request without what its project.toml leaves out, before a build or anything else looks at it."""

import io
import tarfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import BinaryIO, cast

from gitreceive.buildpacks.selection import Keep, selection
from gitreceive.errors import SourceError
from gitreceive.lifecycle.source import FOLDER_MODE, Entry, SourceTarError, entries
from gitreceive.model import SourceEntry, TreeEntry
from gitreceive.ports import BuildRequest

_PIECE = 1 << 20


def selected(request: BuildRequest) -> BuildRequest:
    """The same where nothing is left out. ``read`` still has all. Raises SourceError for a line that is no pattern."""
    project = request.project
    if not project.include and not project.exclude:
        return request
    keep = selection(project.include, project.exclude)

    def tree() -> Iterator[TreeEntry]:
        return (entry for entry in request.tree() if keep(_text(entry.path)))

    return replace(request, archive=_filtered(request.archive, keep), root=_root(request, tree()), tree=tree)


def _root(request: BuildRequest, tree: Iterator[TreeEntry]) -> tuple[SourceEntry, ...]:
    left = {_text(entry.path.partition(b"/")[0]) for entry in tree}
    return tuple(entry for entry in request.root if entry.name in left)


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


@contextmanager
def _filtered(archive: AbstractContextManager[BinaryIO], keep: Keep) -> Iterator[BinaryIO]:
    with archive as stream:
        yield cast("BinaryIO", io.BufferedReader(_Pieces(_tar(stream, keep)), _PIECE))
        while stream.read(_PIECE):  # git is to come to its end, and so to tell whether all went well
            pass


def _tar(stream: BinaryIO, keep: Keep) -> Iterator[bytes]:
    """Of folders only those that something lies in: git has no others. Raises SourceError."""
    made: set[str] = set()
    try:
        for entry in entries(stream):
            if entry.is_folder or not keep(entry.name):
                continue
            segments = entry.name.split("/")
            for above in ("/".join(segments[:end]) for end in range(1, len(segments))):
                if above not in made:
                    made.add(above)
                    yield _header(Entry(above, FOLDER_MODE))
            yield _header(entry)
            yield from entry.pieces(_PIECE)
            yield b"\0" * (-entry.size % tarfile.BLOCKSIZE)
    except SourceTarError as error:
        raise SourceError(str(error)) from error
    yield b"\0" * (2 * tarfile.BLOCKSIZE)


def _header(entry: Entry) -> bytes:
    info = tarfile.TarInfo(entry.name)
    info.mode, info.size = entry.mode, entry.size
    if entry.is_folder:
        info.type = tarfile.DIRTYPE
    elif entry.target:
        info.type, info.linkname = tarfile.SYMTYPE, entry.target
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


class _Pieces(io.RawIOBase):
    """Bytes as they come, as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
