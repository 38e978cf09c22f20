"""What lies in archives of Java: Maven's properties in each, and in the archives within."""

import io
import re
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO

from gitreceive.supplychain.package import Package, made

_POM = re.compile(r"META-INF/maven/[^/]+/[^/]+/pom\.properties")
_FILE = re.compile(r"(?P<name>.+?)-(?P<version>\d[\w.+-]*)")
_MOST_ARCHIVE = 512 << 20
_MOST_INNER = 128 << 20  # one archive in another
_MOST_ENTRIES = 100_000
_MOST_PROPERTIES = 1 << 16
_MOST_ALL = 2 << 30  # of all archives within one
_SPOOLED = 32 << 20  # kept in memory, more goes to disk


def packages_in(stream: IO[bytes], path: str) -> tuple[list[Package], bool]:
    """And whether all of it could be read."""
    with tempfile.SpooledTemporaryFile(_SPOOLED) as file:
        left = _MOST_ARCHIVE
        while left > 0 and (piece := stream.read(1 << 20)):
            file.write(piece)
            left -= len(piece)
        try:
            found = list(_read(file, PurePosixPath(path).stem, [_MOST_ALL], inner=True))
        except _UNREADABLE:
            return _by_name(PurePosixPath(path).stem), False
        return [package for package in found if package is not None], None not in found and left > 0


_UNREADABLE = (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError, EOFError)


def _read(file: IO[bytes], stem: str, left: list[int], *, inner: bool) -> Iterator[Package | None]:
    """None stands for what is left out."""
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if len(entries) > _MOST_ENTRIES:
            yield None
        named = [e for e in entries[:_MOST_ENTRIES] if _POM.fullmatch(e.filename)]
        for entry in named:
            yield _of_properties(archive, entry)
        if not named:
            yield from _by_name(stem)
        within = (e for e in entries[:_MOST_ENTRIES] if inner and e.filename.endswith(".jar"))
        for entry in within:
            yield from _within(archive, entry, left)


def _within(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, left: list[int]) -> Iterator[Package | None]:
    left[0] -= entry.file_size
    stem = PurePosixPath(entry.filename).stem
    if entry.file_size > _MOST_INNER or left[0] < 0:
        yield None
        return
    try:
        with archive.open(entry) as stream:
            content = stream.read(_MOST_INNER + 1)
        yield from _read(io.BytesIO(content), stem, left, inner=False)
    except _UNREADABLE:
        yield None


def _of_properties(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Package | None:
    with archive.open(entry) as stream:
        text = stream.read(_MOST_PROPERTIES).decode("utf-8", "replace")
    fields = dict(line.strip().split("=", 1) for line in text.splitlines() if "=" in line)
    try:
        return made("maven", fields["artifactId"], fields["version"], group=fields["groupId"])
    except (KeyError, ValueError):
        return None


def _by_name(stem: str) -> list[Package]:
    """Of an archive that Maven did not make its file's name is all there is: the group is not known."""
    match = _FILE.fullmatch(stem)
    return [made("generic", match["name"], match["version"])] if match else []
