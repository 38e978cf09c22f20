"""What the server can say of itself at any moment: whether its parts answer, and how much room and time is left."""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from gitreceive.background.readiness import Question, Readiness
from gitreceive.certificates import expiry_of
from gitreceive.config import Settings
from gitreceive.drains.status import DrainStatus, read_status
from gitreceive.model import Check
from gitreceive.ports import Ledger, Platform, Reading

_CERTIFICATES_SECONDS = 300.0  # for which what was read of all apps' settings will do
_HTTP = "http"


def questions(settings: Settings, platform: Platform) -> Mapping[str, Question]:
    """By part, what a push needs."""
    asked: dict[str, Question] = {
        "ledger": platform.ledger.check,
        "disk": lambda: room(settings),
        "docker": platform.builder.check,
        "registry": platform.registry.check,
    }
    if settings.target == "kubernetes":
        asked["cluster"] = platform.target.check
    return asked


def room(settings: Settings) -> Iterator[Check]:
    """Whether the data folder has room for the largest push that is taken."""
    try:
        found = os.statvfs(settings.data_dir)
    except OSError as error:
        yield Check("disk", ok=False, seen=f"{settings.data_dir}: {error.strerror}", fix="mount the disk")
        return
    free, least = found.f_bavail * found.f_frsize, settings.policy.max_push_bytes
    enough = free >= least and (found.f_favail > 0 or not found.f_files)
    seen = f"{free >> 20} MiB and {found.f_favail} files free at {settings.data_dir}"
    fix = "" if enough else f"free some space: a push may bring {least >> 20} MiB (policy.max_push_bytes)"
    yield Check("disk", ok=enough, seen=seen, fix=fix)


def readings(settings: Settings, ledger: Ledger, readiness: Readiness) -> Iterable[Reading]:
    """For Prometheus."""
    disk, drains = _Disk(settings.data_dir), _Drains(settings.data_dir, ledger)
    certificates = _Certificates(settings, ledger)
    return (
        Reading(
            "part_ready",
            "1 where a part that pushes need answers.",
            lambda: {finding.part: float(finding.ok) for finding in readiness.findings()},
            "part",
        ),
        Reading("disk_free_bytes", "Room in the data folder.", disk.free_bytes),
        Reading("disk_size_bytes", "Size of the data folder's file system.", disk.size_bytes),
        Reading("disk_free_files", "Files that can still be made there.", disk.free_files),
        Reading("drains", "Log drains, by state.", drains.states, "state"),
        Reading("drain_lines_waiting", "Lines that wait for their receivers.", drains.waiting),
        Reading("drain_lines_dropped", "Lines that the drains of now have let go.", drains.dropped),
        Reading(
            "certificate_expiry_timestamp_seconds",
            "When a certificate runs out: the HTTP door's, and the first of those that apps brought.",
            certificates.expiries,
            "of",
        ),
    )


class _Disk:
    """The file system that a folder is on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def free_bytes(self) -> Mapping[str, float]:
        found = os.statvfs(self._folder)
        return {"": found.f_bavail * found.f_frsize}

    def size_bytes(self) -> Mapping[str, float]:
        found = os.statvfs(self._folder)
        return {"": found.f_blocks * found.f_frsize}

    def free_files(self) -> Mapping[str, float]:
        """Nothing where they are not counted."""
        found = os.statvfs(self._folder)
        return {"": found.f_favail} if found.f_files else {}


class _Drains:
    def __init__(self, data_dir: Path, ledger: Ledger) -> None:
        self._data_dir = data_dir
        self._ledger = ledger

    def states(self) -> Mapping[str, float]:
        return {"new": 0, "delivering": 0, "retrying": 0, **Counter(each.state for each in self._statuses())}

    def waiting(self) -> Mapping[str, float]:
        return {"": sum(each.waiting for each in self._statuses())}

    def dropped(self) -> Mapping[str, float]:
        return {"": sum(each.dropped for each in self._statuses())}

    def _statuses(self) -> list[DrainStatus]:
        return [read_status(self._data_dir, drain.id) for drain in self._ledger.drains()]


class _Certificates:
    def __init__(
        self, settings: Settings, ledger: Ledger, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._file = settings.http.certificate
        self._ledger = ledger
        self._clock = clock
        self._lock = threading.Lock()
        self._of_apps: datetime | None = None
        self._until = 0.0

    def expiries(self) -> Mapping[str, float]:
        found = {_HTTP: expiry_of(Path(self._file).read_bytes())} if self._file else {}
        with self._lock:
            if self._clock() >= self._until:
                self._of_apps = self._first()
                self._until = self._clock() + _CERTIFICATES_SECONDS
            if self._of_apps:
                found["apps"] = self._of_apps
        return {of: expires.astimezone(UTC).timestamp() for of, expires in found.items()}

    def _first(self) -> datetime | None:
        settings = (self._ledger.settings(app.name) for app in self._ledger.apps())
        brought = (facts.expires for each in settings for facts in each.routing.certificates.values())
        return min(brought, default=None)
