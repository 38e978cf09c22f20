"""Archives and layers that nobody vouches for, onto the disk: only plain content, and only inside the folder."""

import gzip
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gitreceive.errors import DetectError

_PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
# a tar's headers about headers, which its reader takes into memory whole
_ABOUT = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_MOST_ABOUT = 1 << 20
_LONGEST_TARGET = 4096
_PIECE = 1 << 18
_ZSTD = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True)
class Limits:
    """What may be unpacked of one buildpack, its parts together."""

    bytes: int = 1 << 29
    entries: int = 20_000


@dataclass(frozen=True)
class Item:
    """One member of an archive. ``content`` is a file's; ``target`` is a symbolic link's, ``same`` a hard link's."""

    name: str
    size: int = 0
    executable: bool = False
    content: Callable[[], IO[bytes]] | None = None
    target: str = ""
    same: str = ""

    @property
    def kind(self) -> str:
        if self.target:
            return "link"
        return "file" if self.content or self.same else "folder"


class UnsafeError(DetectError):
    """The archive holds what is not unpacked."""


class Unpacking:
    """Writes into ``folder``, which is new and empty. ``place`` gives a member's path in it from its name, or None for what is
    left out; it raises UnsafeError.

    All raise UnsafeError for what is no file, folder or link inside the folder, for more than the limits, and for what is broken.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder = folder
        self._limits = limits
        self._kinds: dict[str, str] = {}
        self._bytes = 0
        self._entries = 0

    def archive(self, path: Path, check: Callable[[], None]) -> None:
        """A tar, plain or packed by gzip, bzip2 or xz, or a zip, whichever its content is. ``check`` is called often, and may raise."""
        with _readable():
            for item in _zip_items(path) if zipfile.is_zipfile(path) else _tar_items(path):
                check()
                self._add(item, _inside)

    def layer(self, path: Path, top: str, check: Callable[[], None]) -> None:
        """Of an image's layer what lies below ``top``; there may be nothing else."""

        def below(name: str) -> str:
            plain = _inside(name.lstrip("/"))
            if plain == top or top.startswith(f"{plain}/") or not plain:
                return ""
            if not plain.startswith(f"{top}/"):
                raise UnsafeError(f"the layer holds /{plain[:120]}, and a buildpack's lies in /{top}")
            return plain[len(top) + 1 :]

        with _readable():
            for item in _tar_items(path):
                check()
                self._add(item, below)

    def _add(self, item: Item, place: Callable[[str], str]) -> None:
        self._count(item.size)
        name = place(item.name)
        if not name:
            return
        self._claim(name, item.kind)
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if item.content:
            self._write(path, item)
        elif item.target:
            path.symlink_to(_target(name, item.target))
        elif item.same:
            self._copy(path, place(item.same), item)
        else:
            path.mkdir(exist_ok=True)

    def _count(self, size: int, entries: int = 1) -> None:
        self._entries += entries
        self._bytes += size
        most = self._limits
        if self._entries > most.entries or self._bytes > most.bytes:
            what = f"{most.entries} files" if self._entries > most.entries else f"{most.bytes >> 20} MiB"
            raise UnsafeError(f"it comes to more than {what}", hint="leave out what builds do not need")

    def _claim(self, name: str, kind: str) -> None:
        """Nothing is written through a link, and nothing twice."""
        parts = name.split("/")
        for at in range(1, len(parts)):
            above = "/".join(parts[:at])
            if self._kinds.setdefault(above, "folder") != "folder":
                raise UnsafeError(f"{name[:160]!r} lies below {above[:160]!r}, which is no folder")
        if (self._kinds.get(name, kind), kind) != ("folder", "folder") and name in self._kinds:
            raise UnsafeError(f"{name[:160]!r} is there twice")
        self._kinds[name] = kind

    def _write(self, path: Path, item: Item) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        mode = 0o755 if item.executable else 0o644
        assert item.content is not None
        with item.content() as source, open(os.open(path, flags, mode), "wb") as file:
            left = item.size
            while left and (piece := source.read(min(left, _PIECE))):
                left -= len(piece)
                file.write(piece)
        if left:
            raise UnsafeError(f"{item.name[:160]!r} is cut off")
        path.chmod(mode)  # whatever the process's umask is

    def _copy(self, path: Path, same: str, item: Item) -> None:
        if self._kinds.get(same) != "file":
            raise UnsafeError(f"{item.name[:160]!r} is a link to {same[:160]!r}, which is no file before it")
        origin = self._folder / same
        self._count(origin.stat().st_size, 0)
        shutil.copyfile(origin, path, follow_symlinks=False)
        path.chmod(origin.stat().st_mode)


def refuse_links_out(folder: Path) -> None:
    """Raise UnsafeError for a link that leads, over all links on its way, out of ``folder``."""
    top = folder.resolve()
    for current, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(current, name)
            if not path.is_symlink():
                continue
            try:
                inside = path.resolve().is_relative_to(top)
            except (RuntimeError, OSError):  # it goes round
                inside = False
            if not inside:
                raise UnsafeError(
                    f"the link {path.relative_to(folder).as_posix()[:160]!r} leads out of the buildpack",
                    hint="let it lead to a file inside",
                )


def _inside(name: str) -> str:
    if name.startswith("/") or "\0" in name or "\\" in name:
        raise UnsafeError(f"{name[:160]!r} is no path inside the archive")
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise UnsafeError(f"{name[:160]!r} leads out of the archive")
    return "/".join(parts)


def _target(name: str, target: str) -> str:
    if target.startswith("/") or "\0" in target or len(target) > _LONGEST_TARGET:
        raise UnsafeError(
            f"the link {name[:160]!r} leads to {target[:160]!r}", hint="let it lead to a file inside"
        )
    return target


class _Info(tarfile.TarInfo):
    """A member whose headers are of a sane size."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _ABOUT and self.size > _MOST_ABOUT:
            raise UnsafeError("a header of it is larger than 1 MiB")
        member: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return member


def _tar_items(path: Path) -> Iterator[Item]:
    with path.open("rb") as file:
        if file.read(4) == _ZSTD:
            raise UnsafeError("it is packed with zstd, which is not read here", hint="pack it with gzip")
    with tarfile.open(path, "r|*", tarinfo=_Info, encoding="utf-8", errors="surrogateescape") as tar:
        for member in tar:
            yield _tar_item(tar, member)
            tar.members.clear()  # type: ignore[attr-defined]  # else every header stays in memory


def _tar_item(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Item:
    if member.isdir():
        return Item(member.name)
    if member.issym() and member.linkname:
        return Item(member.name, target=member.linkname)
    if member.islnk() and member.linkname:
        return Item(member.name, same=member.linkname)
    content = tar.extractfile(member) if member.type in _PLAIN and not member.issparse() else None
    if content is None:
        raise UnsafeError(f"{member.name[:160]!r} is no file, folder or link")
    return Item(member.name, member.size, bool(member.mode & 0o100), content=lambda: content)


def _zip_items(path: Path) -> Iterator[Item]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            yield _zip_item(archive, info)


def _zip_item(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Item:
    if info.flag_bits & 1:
        raise UnsafeError(f"{info.filename[:160]!r} is encrypted")
    mode = info.external_attr >> 16  # as Unix tools write it; 0 where none has
    if info.is_dir():
        return Item(info.filename)
    if stat.S_ISLNK(mode):
        if info.file_size > _LONGEST_TARGET:
            raise UnsafeError(f"the link {info.filename[:160]!r} is too long")
        return Item(info.filename, target=os.fsdecode(archive.read(info)))
    if stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
        raise UnsafeError(f"{info.filename[:160]!r} is no file, folder or link")
    return Item(info.filename, info.file_size, bool(mode & 0o100), content=lambda: archive.open(info))


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        gzip.BadGzipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
    ) as error:
        raise UnsafeError(
            f"it cannot be unpacked: {error}", hint="a tar (plain, gzip, bzip2, xz) or a zip is expected"
        ) from error
    except (NotImplementedError, UnicodeError, ValueError, RuntimeError) as error:
        raise UnsafeError(f"it cannot be unpacked: {error}", hint="a tar or a zip is expected") from error
