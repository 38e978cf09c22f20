"""Fetched buildpacks on the disk, by digest: each is there whole, or not at all."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gitreceive.lifecycle import toml
from gitreceive.model import Digest
from gitreceive.ports import FetchedBuildpack

BUILDPACKS = "buildpacks"

_ENTRY = "entry.toml"
_NEW = ".new-"
_LEFT_BEHIND = 86400.0  # seconds after which nobody can be at work on it any more


class Kept:
    """Below ``folder``. Several threads and processes may use it. Raises OSError where the disk fails."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, digest: Digest) -> FetchedBuildpack | None:
        """None where it was not kept yet."""
        place = self._place(digest)
        try:
            entry = toml.read(place / _ENTRY)
        except toml.UnreadableError:
            return None
        return FetchedBuildpack(str(entry.get("id", "")), str(entry.get("version", "")), place / BUILDPACKS)

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
