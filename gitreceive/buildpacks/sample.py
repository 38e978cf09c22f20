"""A folder of files as a source, as a push of it would bring it. Reads the folder; pure but for that."""

import hashlib
import io
import os
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gitreceive.errors import SourceError
from gitreceive.model import SourceEntry, TreeEntry

_GIT = ".git"
_FOLDER, _FILE, _PROGRAM, _LINK = 0o755, 0o100644, 0o100755, 0o120000


class Sample:
    """The folder's files and symbolic links, without git's own folder; folders that are empty do not count, as in git."""

    def __init__(self, folder: Path) -> None:
        """Raises SourceError for what git does not hold, such as a pipe."""
        self._folder = folder
        self._modes = dict(sorted(_modes(folder)))

    @property
    def root(self) -> tuple[SourceEntry, ...]:
        kinds: dict[str, str] = {}
        for path, mode in self._modes.items():
            name, below, _ = path.partition(b"/")
            kinds[os.fsdecode(name)] = "directory" if below else _KINDS[mode]
        return tuple(SourceEntry(name, kind) for name, kind in sorted(kinds.items()))

    def tree(self) -> Iterator[TreeEntry]:
        for path, mode in self._modes.items():
            yield TreeEntry(path, mode, hashlib.sha256(self._content(path, mode)).hexdigest())

    @contextmanager
    def archive(self) -> Iterator[BinaryIO]:
        """A tar as ``git archive`` makes it."""
        with tempfile.TemporaryFile() as file:
            with tarfile.open(fileobj=file, mode="w", encoding="utf-8", errors="surrogateescape") as tar:
                folders: set[bytes] = set()
                for path, mode in self._modes.items():
                    _add_folders(tar, path, folders)
                    _add(tar, path, mode, self._content(path, mode))
            file.seek(0)
            yield file

    def _content(self, path: bytes, mode: int) -> bytes:
        file = self._folder / os.fsdecode(path)
        return os.fsencode(file.readlink()) if mode == _LINK else file.read_bytes()


_KINDS = {_FILE: "file", _PROGRAM: "executable", _LINK: "symlink"}


def _modes(folder: Path) -> Iterator[tuple[bytes, int]]:
    for current, folders, files in os.walk(folder):
        here = Path(current)
        links = [name for name in folders if (here / name).is_symlink()]
        folders[:] = [name for name in folders if name != _GIT and name not in links]
        for name in (*files, *links):
            path = (here / name).relative_to(folder)
            if str(path) != _GIT:  # in a work tree of git it is a file
                yield os.fsencode(path), _mode(here / name, path)


def _mode(file: Path, path: Path) -> int:
    seen = file.lstat().st_mode
    if stat.S_ISLNK(seen):
        return _LINK
    if not stat.S_ISREG(seen):
        raise SourceError(f"{path} is no file, folder or symbolic link", hint="git holds nothing else")
    return _PROGRAM if seen & 0o100 else _FILE


def _add_folders(tar: tarfile.TarFile, path: bytes, done: set[bytes]) -> None:
    parts = path.split(b"/")[:-1]
    for end in range(1, len(parts) + 1):
        above = b"/".join(parts[:end])
        if above not in done:
            done.add(above)
            info = tarfile.TarInfo(os.fsdecode(above))
            info.type, info.mode = tarfile.DIRTYPE, _FOLDER
            tar.addfile(info)


def _add(tar: tarfile.TarFile, path: bytes, mode: int, content: bytes) -> None:
    info = tarfile.TarInfo(os.fsdecode(path))
    info.mode = mode & 0o777
    if mode == _LINK:
        info.type, info.linkname = tarfile.SYMTYPE, os.fsdecode(content)
        tar.addfile(info)
    else:
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
