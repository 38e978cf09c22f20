"""Volumes of apps, as named volumes of the Docker engine. No roll-out removes one: what is in it is worth more than what runs."""

from collections.abc import Mapping
from typing import Any

from gitreceive.engines.docker_target.containers import APP, OWNER, VOLUME, volume_name
from gitreceive.engines.docker_target.engine import Engine
from gitreceive.errors import RolloutError
from gitreceive.model import AppName, ProcessType, Release, VolumeStatus, mounted


def make(engine: Engine, release: Release, process: ProcessType, owned_by: str) -> None:
    """Those that the process mounts, where they are not there yet."""
    for name in mounted(release.settings.runtime.volumes, process.name):
        labels = {OWNER: owned_by, APP: str(release.app), VOLUME: name}
        engine.create_volume(volume_name(owned_by, release.app, name), labels)


def hand_over(engine: Engine, container: str, release: Release, process: ProcessType, user: str) -> None:
    """Give volumes that are root's, as new ones are, to whom the container, which has not started, runs as. Nothing is run for it.

    Raises RolloutError where that is a name, which only the image knows.
    """
    for name, volume in mounted(release.settings.runtime.volumes, process.name).items():
        if engine.folder_owner(container, volume.mount) != 0:
            continue
        uid, _, gid = user.partition(":")
        if not uid.isdigit() or not (gid or "0").isdigit():
            raise RolloutError(
                f"volume {name} cannot be given to {user!r}: that is a name, and a number is needed",
                hint="write the number into the Dockerfile: USER 1000",
            )
        engine.make_folder(container, volume.mount, int(uid), int(gid or "0"))


def statuses(engine: Engine, owned_by: str, app: AppName) -> tuple[VolumeStatus, ...]:
    """By name. Nothing limits the size of a named volume."""
    return tuple(
        VolumeStatus(name, "", _used(row), "there")
        for name, row in sorted(_there(engine, owned_by, app).items())
    )


def remove(engine: Engine, owned_by: str, app: AppName, name: str) -> bool:
    """False where there is none. Raises RolloutError where a container has it."""
    row = _there(engine, owned_by, app).get(name)
    if row is not None:
        engine.remove_volume(row["Name"])
    return row is not None


def remove_all(engine: Engine, owned_by: str, app: AppName) -> None:
    for row in _there(engine, owned_by, app).values():
        engine.remove_volume(row["Name"])


def _there(engine: Engine, owned_by: str, app: AppName) -> Mapping[str, Mapping[str, Any]]:
    rows = engine.volumes({OWNER: owned_by, APP: str(app), VOLUME: ""})
    return {row["Labels"][VOLUME]: row for row in rows}


def _used(row: Mapping[str, Any]) -> int | None:
    size = (row.get("UsageData") or {}).get("Size", -1)
    return int(size) if size >= 0 else None  # -1: not known (Engine API, VolumeUsageData)
