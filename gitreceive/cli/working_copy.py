"""A folder on this machine, looked at as the source that a push of it would send."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from gitreceive.buildpacks.selection import selection
from gitreceive.errors import SourceError, UsageError
from gitreceive.model import BuildpackRef, Project
from gitreceive.ports import FetchedBuildpack


def read(folder: Path, path: str, limit: int) -> bytes | None:
    """A file's first ``limit`` bytes; None where there is none, or it is a symbolic link."""
    file = folder / path
    if file.is_symlink() or not file.is_file():
        return None
    with file.open("rb") as opened:
        return opened.read(limit)


def copy_folder(folder: Path, path: str, target: Path) -> None:
    """What lies below ``path``; nothing where there is no such folder. Raises SourceError for a symbolic link."""
    for name in _names(folder / path):
        file = folder / path / name
        if file.is_symlink():
            raise SourceError(
                f"buildpack ./{path}: {name} is no plain file",
                hint="a buildpack in the source has no links and no submodules",
            )
        _place(file, target / name)


def selected(folder: Path, project: Project, place: Path) -> Path:
    """The folder; or in ``place`` what project.toml leaves of it. Raises SourceError."""
    if not project.include and not project.exclude:
        return folder
    keep = selection(project.include, project.exclude)
    place.mkdir()
    for name in _names(folder):
        if keep(name):
            _place(folder / name, place / name)
    return place


def not_fetched(ref: BuildpackRef) -> FetchedBuildpack:
    """Raise UsageError: what lies elsewhere is not looked into without a server."""
    raise UsageError(f"{ref} is not looked into: this asks nobody", hint="a push fetches it")


def _names(folder: Path) -> Iterator[str]:
    """Of files and links below, but for git's own folder."""
    for current, folders, files in os.walk(folder):
        folders[:] = sorted(one for one in folders if one != ".git")
        links = [one for one in folders if Path(current, one).is_symlink()]
        for name in (*links, *sorted(files)):
            yield Path(current, name).relative_to(folder).as_posix()


def _place(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(file, target, follow_symlinks=False)
