"""Whether a release finds room: memory and replicas of its app, its owner's apps and those of its owner's teams, against their quotas."""

from typing import Protocol

from gitreceive.model import Release, Use, require_within_quota
from gitreceive.ports import QuotaLedger, ReleaseLedger


class Room(QuotaLedger, ReleaseLedger, Protocol):
    """What has to be known. The ledger knows."""


def require_room(wanted: Release, ledger: Room, default_memory: int) -> None:
    """Raise ConflictError where ``wanted`` would take more than a quota allows, and more than its app has now.

    ``default_memory``: bytes of a process for which no limit was set.
    """
    quotas = ledger.quotas_of(wanted.app)
    if not quotas:
        return
    live = ledger.current_release(wanted.app)
    before = use_of(live, default_memory) if live else Use()
    with_others = [
        (quota, _total([ledger.current_release(app) for app in apps if app != wanted.app], default_memory))
        for quota, apps in quotas
    ]
    require_within_quota(use_of(wanted, default_memory), before, with_others)


def use_of(release: Release, default_memory: int) -> Use:
    """All its processes together; where an autoscaler decides, at its most."""
    total = Use()
    for process in release.services:
        limits = release.settings.runtime.limits.get(process.name)
        memory = (limits.memory_bytes if limits else None) or default_memory
        count = _most(release, process.name)
        total += Use(count * memory, count)
    return total


def _most(release: Release, process: str) -> int:
    formation = release.settings.formation
    autoscale = formation.autoscale.get(process)
    return autoscale.most if autoscale and not formation.stopped else formation.replicas(process)


def _total(releases: list[Release | None], default_memory: int) -> Use:
    total = Use()
    for release in releases:
        total += use_of(release, default_memory) if release else Use()
    return total
