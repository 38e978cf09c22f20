"""Secret values in the layers: looked for before anything leaves the container or stays in the cache."""

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gitreceive.lifecycle import secrets

_CLOCK_SLACK = 2.0  # seconds that a file system's clock may be behind


@dataclass(frozen=True)
class Leak:
    secret: str  # the secret's name
    file: str


class Leaks:
    """Looks only into files that changed since it was made: those before went through it in an earlier build."""

    def __init__(self, values: Mapping[str, bytes]) -> None:
        self._patterns = {
            name: secrets.patterns([value.strip()]) for name, value in values.items() if value.strip()
        }
        self._since = time.time() - _CLOCK_SLACK

    def find(self, folder: Path) -> Leak | None:
        """The first file below ``folder`` with a secret in its content, its name, or where it links to."""
        if not self._patterns or not folder.is_dir():
            return None
        return next(self._all(folder), None)

    def _all(self, folder: Path) -> Iterator[Leak]:
        for current, folders, files in os.walk(folder):
            for name in files + folders:
                path = os.path.join(current, name)
                seen = os.lstat(path)
                if seen.st_ctime >= self._since:
                    secret = self._secret_in(path, name)
                    if secret:
                        yield Leak(secret, os.path.relpath(path, folder))

    def _secret_in(self, path: str, name: str) -> str | None:
        target = os.readlink(path) if os.path.islink(path) else ""
        for text in (name, target):
            for secret, wanted in self._patterns.items():
                if secrets.Finder(wanted).feed(os.fsencode(text)) is not None:
                    return secret
        return self._secret_in_content(path) if os.path.isfile(path) and not target else None

    def _secret_in_content(self, path: str) -> str | None:
        finders = {name: secrets.Finder(wanted) for name, wanted in self._patterns.items()}
        with open(path, "rb") as file:
            while piece := file.read(1 << 20):
                for name, finder in finders.items():
                    if finder.feed(piece) is not None:
                        return name
        return None
