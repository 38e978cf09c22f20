"""What is kept of each app's last build, for a push that needs no new one. No value of a secret is among it."""

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gitreceive.model import AppName

_FORMAT = 1
_KEY_LENGTH = 32


@dataclass(frozen=True)
class LastBuild:
    """``settings`` seals all that the build was given but its source; ``seen`` is the fingerprint of what it looked at there.

    ``layers`` are title and diff_id, in order, without the app's own; ``done`` is the lifecycle's last event.
    """

    settings: str
    seen: str
    layers: tuple[tuple[str, str], ...]
    done: Mapping[str, Any]


class LastBuilds:
    """One file an app. What cannot be read, or was written by anybody else, counts as not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, app: AppName) -> LastBuild | None:
        try:
            document = json.loads(self._path(app).read_text(encoding="utf-8"))
            kept, seal = document["kept"], document["seal"]
            if document["format"] != _FORMAT or not hmac.compare_digest(seal, self.seal(kept)):
                return None
            layers = tuple((title, diff_id) for title, diff_id in kept["layers"])
            return LastBuild(kept["settings"], kept["seen"], layers, kept["done"])
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write(self, app: AppName, last: LastBuild) -> None:
        """In one piece. Raises OSError."""
        kept = asdict(last)
        text = json.dumps({"format": _FORMAT, "seal": self.seal(kept), "kept": kept})
        _write(self._path(app), text.encode())

    def forget(self, app: AppName) -> None:
        """No error where there is nothing. Raises OSError."""
        self._path(app).unlink(missing_ok=True)

    def seal(self, value: Any) -> str:
        """A keyed hash of what can be written as JSON: it tells nothing of the value to who has not this folder's key."""
        text = json.dumps(value, sort_keys=True).encode()
        return hmac.new(self._key(), text, hashlib.sha256).hexdigest()

    def _key(self) -> bytes:
        path = self._folder / "key"
        for _ in range(2):
            with contextlib.suppress(FileNotFoundError):
                key = path.read_bytes()
                if len(key) == _KEY_LENGTH:
                    return key
            _write(path, secrets.token_bytes(_KEY_LENGTH))
        return path.read_bytes()

    def _path(self, app: AppName) -> Path:
        return self._folder / f"{app}.json"


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).rename(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
