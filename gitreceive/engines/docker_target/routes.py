"""The routing of each app, as files in the data folder: containers cannot carry what changes while they go on running."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from gitreceive.errors import UnavailableError, UsageError
from gitreceive.model import AppName, Routing


class Routes:
    """Written by whoever rolls out, seen by the server within a second. No secrets are in them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, app: AppName, routing: Routing) -> None:
        """Raises UnavailableError where it cannot be written."""
        path = self._path(app)
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            new = path.with_suffix(f".{os.getpid()}.new")
            new.write_text(json.dumps(routing.document()), encoding="utf-8")
            new.replace(path)
        except OSError as error:
            raise UnavailableError(
                f"{path} cannot be written: {error.strerror}", hint="see the room on the data folder's disk"
            ) from error

    def drop(self, app: AppName) -> None:
        self._path(app).unlink(missing_ok=True)

    def of(self, app: AppName) -> Routing:
        """As if nothing was set where there is none. Raises UnavailableError where it cannot be understood."""
        return _read(self._path(app)) or Routing()

    def all(self) -> Mapping[AppName, Routing]:
        """Of every app that was rolled out."""
        found = {path: _read(path) for path in sorted(self._folder.glob("*.json"))}
        return {AppName.parse(path.stem): routing for path, routing in found.items() if routing is not None}

    def _path(self, app: AppName) -> Path:
        return self._folder / f"{app}.json"


def _read(path: Path) -> Routing | None:
    try:
        return Routing.parse(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, UsageError) as error:
        raise UnavailableError(
            f"{path} cannot be read: {error}", hint="remove it and redeploy the app"
        ) from error
