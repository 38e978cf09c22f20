"""Fetched buildpacks on the disk, by digest: each is there whole, or not at all."""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gitreceive.errors import UnavailableError
from gitreceive.lifecycle import toml
from gitreceive.model import Digest
from gitreceive.ports import FetchedBuildpack

BUILDPACKS = "buildpacks"

_NAME = re.compile(r"[0-9a-f]{64}", re.ASCII)
_ENTRY = "entry.toml"
_NEW = ".new-"
_LEFT_BEHIND = 86400.0  # seconds after which nobody can be at work on it any more


class Kept:
    """Below ``folder``; a Shelf. Several threads and processes may use it. Raises OSError where the disk fails."""

    title = "buildpacks from elsewhere that nothing was built with"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, digest: Digest) -> FetchedBuildpack | None:
        """None where it was not kept yet."""
        place = self._place(digest)
        try:
            entry = toml.read(place / _ENTRY)
        except toml.UnreadableError:
            return None
        try:
            os.utime(place)  # used now
        except FileNotFoundError:  # it went meanwhile: it is fetched again
            return None
        return FetchedBuildpack(str(entry.get("id", "")), str(entry.get("version", "")), place / BUILDPACKS)

    def unused(self, seconds: float) -> dict[str, int]:
        """A Shelf. Raises UnavailableError."""
        with _disk_speaks():
            places = [place for place in self._folder.glob("*") if _NAME.fullmatch(place.name)]
            return {place.name: _size(place) for place in places if _idle(place, seconds)}

    def drop(self, name: str, seconds: float) -> bool:
        """Put aside before it is removed, and back again where somebody has just found it: nobody ever sees half of it."""
        place = self._folder / name
        with _disk_speaks():
            aside = Path(tempfile.mkdtemp(prefix=_NEW, dir=self._folder)) / name
            try:
                place.rename(aside)
            except FileNotFoundError:
                aside.parent.rmdir()
                return False
            if not _idle(aside, seconds):
                aside.rename(place)
                aside.parent.rmdir()
                return False
            shutil.rmtree(aside.parent)
        return True

    def keep(self, digest: Digest, new: Path, identity: str, version: str) -> FetchedBuildpack:
        """``new``, a folder from ``making`` that has BUILDPACKS in it, is kept from now on. Who comes second takes what is there."""
        (new / _ENTRY).write_text(toml.dumps({"id": identity, "version": version}), encoding="utf-8")
        try:
            new.rename(self._place(digest))
        except OSError:
            if self.find(digest) is None:
                raise
        return FetchedBuildpack(identity, version, self._place(digest) / BUILDPACKS)

    @contextmanager
    def making(self) -> Iterator[Path]:
        """A new folder, removed at the end."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._remove_left_behind()
        place = Path(tempfile.mkdtemp(prefix=_NEW, dir=self._folder))
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _place(self, digest: Digest) -> Path:
        return self._folder / digest.removeprefix("sha256:")

    def _remove_left_behind(self) -> None:
        for place in self._folder.glob(f"{_NEW}*"):
            with suppress(OSError):  # another may be removing it
                if time.time() - place.stat().st_mtime > _LEFT_BEHIND:
                    shutil.rmtree(place, ignore_errors=True)


def _idle(place: Path, seconds: float) -> bool:
    return time.time() - place.stat().st_mtime > seconds


def _size(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file())


@contextmanager
def _disk_speaks() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnavailableError(
            f"fetched buildpacks cannot be looked at: {error}", hint="see to the disk of the data folder"
        ) from error
