"""What was found of processes that are asked how they are: a file in the data folder, as who asks and who shows it are two processes."""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finding:
    unready: str = ""  # what was said last, of one that no request is led to
    restarts: int = 0  # how often it was started anew, since the server runs
    last: str = ""  # what was said before the last time


class Findings:
    """By the id of a container."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: dict[str, Finding] = {}

    def keep(self, found: Mapping[str, Finding]) -> None:
        """What differs from a process that is well. Where it cannot be written, that is logged: who is led requests does not depend on it."""
        wanted = {container: finding for container, finding in found.items() if finding != Finding()}
        if wanted == self._kept and (wanted or not self._path.exists()):
            return
        try:
            if not wanted:
                self._path.unlink(missing_ok=True)
            else:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                new = self._path.with_suffix(f".{os.getpid()}.new")
                new.write_text(json.dumps({c: asdict(f) for c, f in wanted.items()}), encoding="utf-8")
                new.replace(self._path)
        except OSError as error:
            _log.warning("%s cannot be written: %s", self._path, error.strerror)
            return
        self._kept = wanted

    def all(self) -> Mapping[str, Finding]:
        """Empty where nothing was found, or it cannot be read."""
        try:
            document = json.loads(self._path.read_text(encoding="utf-8"))
            return {container: Finding(**finding) for container, finding in document.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError) as error:
            _log.warning("%s cannot be read: %s", self._path, error)
            return {}
