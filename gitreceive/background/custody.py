"""Who answers for the processes that people run by hand, so that none outlives its reason.

Each has a file in the data folder, there before the process is and gone after it. Whoever is attached holds the file locked: the kernel lets go
of the lock when the holder dies, however it dies. One that was left to itself has in its file when its time is up, and when its log goes.
"""

import fcntl
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from gitreceive.errors import UnavailableError, UsageError
from gitreceive.model import AppName, OneOff
from gitreceive.ports import OneOffs

KEPT_SECONDS = 24 * 3600.0  # that the log of one stays which was left to itself
# a target may still be making what its owner asked for in the moment of death
_LINGER_SECONDS = 60.0

_logger = logging.getLogger(__name__)


@contextmanager
def held(data_dir: Path, app: AppName, name: str) -> Iterator[None]:
    """While inside, somebody is attached. Raises UnavailableError where the data folder cannot be written."""
    with _written(data_dir, app, name, None):
        yield
        release(data_dir, name)  # where it failed, the sweeper sees to what may be left


def entrust(data_dir: Path, app: AppName, asked: OneOff) -> None:
    """It is left to itself from now on."""
    _written(data_dir, app, asked.name, time.time() + asked.seconds).close()


def release(data_dir: Path, name: str) -> None:
    """It is gone, or was never there."""
    (_folder(data_dir) / name).unlink(missing_ok=True)


def sweep(data_dir: Path, target: OneOffs, now: float) -> None:
    """End and remove each whose time has come. Nothing is asked of the target where all are answered for."""
    folder = _folder(data_dir)
    for path in sorted(folder.glob("run-*")):
        record = _read(path)
        if record is None or _is_held(path):
            continue
        if record.ends is None:
            target.remove_one_off(record.app, path.name)
            if now - path.stat().st_mtime > _LINGER_SECONDS:
                release(data_dir, path.name)
        elif now >= record.ends + KEPT_SECONDS:
            target.remove_one_off(record.app, path.name)
            release(data_dir, path.name)
        elif now >= record.ends and not record.over:
            target.end_one_off(record.app, path.name)
            _written(data_dir, record.app, path.name, record.ends, over=True).close()


@dataclass(frozen=True)
class _Record:
    app: AppName
    ends: float | None  # seconds since 1970; None: with whoever is attached
    over: bool  # it has been told to end


def _read(path: Path) -> _Record | None:
    """None where it is not whole (yet), or has gone."""
    try:
        found = json.loads(path.read_text("utf-8"))
        ends = found["ends"]
        return _Record(AppName.parse(found["app"]), None if ends is None else float(ends), found["over"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, UsageError):
        _logger.warning("%s cannot be read", path)
        return None


def _is_held(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError):
        return True
    return False


def _written(data_dir: Path, app: AppName, name: str, ends: float | None, *, over: bool = False) -> TextIO:
    """Whole and locked at once, as the sweeper may look at any moment; the lock is gone when it is closed."""
    folder = _folder(data_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = (folder / f".{name}").open("w", encoding="utf-8")
        fcntl.flock(file, fcntl.LOCK_EX)
        json.dump({"app": app, "ends": ends, "over": over}, file)
        file.flush()
        (folder / f".{name}").replace(folder / name)
    except OSError as error:
        raise UnavailableError(
            f"{folder} cannot be written: {error.strerror}",
            hint="it must be writable for whoever runs a process",
        ) from error
    return file


def _folder(data_dir: Path) -> Path:
    return data_dir / "one-offs"
