"""What a buildpack wrote where it has no business: into others' layers, and into what the platform gave."""

import os
from collections.abc import Iterator
from pathlib import Path

from gitreceive.lifecycle import record
from gitreceive.lifecycle.folder import Buildpack
from gitreceive.lifecycle.place import Place

_PLATFORM = ("env", "secrets", "ca")


def strays(buildpack: Buildpack, place: Place, since: float) -> Iterator[Path]:
    """One path of each other folder in which something came, went or was replaced while the buildpack's program ran.

    ``since`` is when that began, in seconds since the epoch. Folders alone are looked at, as layers have many files; so
    a file that was changed in its place is not seen.
    """
    own = {buildpack.folder, record.FOLDER}
    others = [folder for folder in sorted(place.layers.iterdir()) if folder.name not in own]
    for folder in (*others, *(place.platform / name for name in _PLATFORM)):
        if folder.is_dir() and not folder.is_symlink():
            yield from _first(folder, since)


def _first(top: Path, since: float) -> Iterator[Path]:
    for current, _, files in os.walk(top):
        if os.lstat(current).st_ctime > since:
            fresh = (Path(current, name) for name in sorted(files))
            yield next((file for file in fresh if file.lstat().st_ctime > since), Path(current))
            return
