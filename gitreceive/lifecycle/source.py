"""The source, from a tar stream to the workspace."""

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, cast

FOLDER_MODE = 0o755
_READ = 1 << 15  # tarfile copies what is left of a read with each header


class SourceTarError(Exception):
    """The stream holds what no git commit holds."""


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class Entry:
    """A folder, a file or a symbolic link; ``mode`` is what it has in the workspace. ``content`` and ``size`` are a file's."""

    name: str
    mode: int
    size: int = 0
    target: str = ""  # of a symbolic link
    content: IO[bytes] | None = None

    @property
    def is_folder(self) -> bool:
        return self.content is None and not self.target

    def pieces(self, size: int) -> Iterator[bytes]:
        """Raises SourceTarError where the stream breaks off."""
        try:
            while self.content and (piece := self.content.read(size)):
                yield piece
        except tarfile.TarError as error:
            raise SourceTarError(f"the source cannot be read: {error}") from error


def entries(stream: Readable) -> Iterator[Entry]:
    """What the stream holds, in its order. An entry's content is to be read before the next entry is asked for.

    Raises SourceTarError on what is no tar, or no file, folder or symbolic link inside the source.
    """
    try:
        with tarfile.open(
            fileobj=cast("IO[bytes]", stream),
            mode="r|",
            bufsize=_READ,
            encoding="utf-8",
            errors="surrogateescape",
        ) as tar:
            for member in tar:
                entry = _entry(tar, member)
                if entry.name:
                    yield entry
                tar.members.clear()  # type: ignore[attr-defined]  # else every header stays in memory
    except tarfile.TarError as error:
        raise SourceTarError(f"the source cannot be read: {error}") from error


def unpack(stream: Readable, folder: Path) -> int:
    """Write files, folders and symbolic links below ``folder``; how many. Raises SourceTarError on anything else."""
    count = 0
    for entry in entries(stream):
        _write(entry, os.path.join(folder, entry.name))
        count += 1
    return count


def _entry(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    parts = [part for part in member.name.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise SourceTarError(f"{member.name!r} leads out of the source")
    name = "/".join(parts)
    if member.isdir():
        return Entry(name, FOLDER_MODE)
    if member.issym():
        if not member.linkname:
            raise SourceTarError(f"{member.name!r} is a symbolic link that leads nowhere")
        return Entry(name, 0o777, target=member.linkname)
    content = tar.extractfile(member) if member.isreg() else None
    if content is None or not name:
        raise SourceTarError(f"{member.name!r} is no file, folder or symbolic link")
    return Entry(name, 0o755 if member.mode & 0o100 else 0o644, size=member.size, content=content)


def _write(entry: Entry, path: str) -> None:
    if entry.is_folder:
        os.makedirs(path, exist_ok=True)
    elif entry.target:
        os.symlink(entry.target, path)
    else:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with open(os.open(path, flags, entry.mode), "wb") as file:
            file.writelines(entry.pieces(1 << 20))
