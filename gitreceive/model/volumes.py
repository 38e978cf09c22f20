"""Folders that outlive processes and releases, as people ask for them."""

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from gitreceive.errors import UsageError
from gitreceive.model.builds import ProcessType
from gitreceive.model.documents import flag, table, text
from gitreceive.model.formation import Formation

MOST_VOLUMES = 20
_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?", re.ASCII)  # a DNS label, RFC 1123
_SIZE = re.compile(r"([1-9][0-9]{0,8})(Mi|Gi|Ti)", re.ASCII)
_BYTES = {"Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}
_LONGEST_MOUNT = 200
_MOUNT = re.compile(r"/[A-Za-z0-9._/-]+", re.ASCII)
# what an image, or whatever runs it, has there itself: a volume would hide it
_TAKEN = frozenset(
    {"bin", "boot", "cnb", "dev", "etc", "layers", "lib", "lib64", "proc", "run", "sbin", "sys", "usr"}
)
_WHOLE = frozenset({"/", "/home", "/maintenance", "/platform", "/var", "/workspace"})


@dataclass(frozen=True)
class Volume:
    """``mount``: where the processes of these types find it. ``size``: as Kubernetes writes it. ``shared``: any number of processes may have
    it at once; else one process of one type.
    """

    mount: str
    processes: tuple[str, ...] = ("web",)
    size: str = "1Gi"
    shared: bool = False

    @classmethod
    def parse(cls, document: object, where: str) -> Self:
        """Raises UsageError."""
        found = table(document, where, frozenset({"mount", "processes", "size", "shared"}))
        volume = cls(
            _mount(found.get("mount"), where),
            _processes(found.get("processes", ["web"]), where),
            _size(found.get("size", "1Gi"), where),
            flag(found.get("shared", False), f"{where}: shared"),
        )
        if len(volume.processes) > 1 and not volume.shared:
            raise UsageError(
                f"{where}: {' and '.join(volume.processes)} cannot both have a volume that one process has at a time",
                hint="name one process type, or add --shared",
            )
        return volume

    @property
    def size_bytes(self) -> int:
        return size_bytes(self.size)

    def document(self) -> dict[str, Any]:
        return {
            "mount": self.mount,
            "processes": list(self.processes),
            "size": self.size,
            "shared": self.shared,
        }


@dataclass(frozen=True)
class VolumeStatus:
    """What there is of a volume, whether or not anything mounts it. ``size``: how much there is room for, as Kubernetes writes it; empty
    where nothing limits it. ``used``: bytes of it that are taken; None where that is not known. ``state``: in one word, as the target has it.
    """

    name: str
    size: str
    used: int | None
    state: str


def parse_volume_name(name: str) -> str:
    """Raise UsageError unless ``name`` can name a volume."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name[:60]!r} cannot name a volume",
            hint="use a letter, then lower-case letters, digits and hyphens, 40 at most",
        )
    return name


def parse_volumes(document: object) -> dict[str, Volume]:
    """By name. Raises UsageError, also where one would lie in another."""
    found = table(document, "runtime.volumes")
    if len(found) > MOST_VOLUMES:
        raise UsageError(f"an app has {MOST_VOLUMES} volumes at most", hint="keep folders in one volume")
    volumes = {
        parse_volume_name(name): Volume.parse(asked, f"volume {name}") for name, asked in found.items()
    }
    for name, volume in volumes.items():
        for other, there in volumes.items():
            if name != other and set(volume.processes) & set(there.processes) and _lies_in(volume, there):
                raise UsageError(
                    f"{volume.mount} of volume {name} lies in {there.mount} of volume {other}",
                    hint="choose another --mount",
                )
    return volumes


def mounted(volumes: Mapping[str, Volume], process: str) -> dict[str, Volume]:
    """Those of one process type, by name, in order."""
    return {name: volumes[name] for name in sorted(volumes) if process in volumes[name].processes}


def alone(volumes: Mapping[str, Volume], process: str) -> tuple[str, ...]:
    """The volumes because of which one process of the type runs at most, and its successor only when it has ended."""
    return tuple(name for name, volume in mounted(volumes, process).items() if not volume.shared)


def require_single(volumes: Mapping[str, Volume], formation: Formation) -> None:
    """Raise UsageError where more processes would run than may have a volume."""
    for process in sorted({process for volume in volumes.values() for process in volume.processes}):
        names, count = alone(volumes, process), formation.scale.get(process, 1)
        if not names:
            continue
        why = f"volume {names[0]} is mounted by one process at a time"
        hint = f"keep it at one, make a volume with --shared, or: gitreceive volumes remove {names[0]}"
        if process in formation.autoscale:
            raise UsageError(f"{process} cannot be scaled by the cluster: {why}", hint=hint)
        if count > 1:
            raise UsageError(f"{process} cannot be scaled to {count}: {why}", hint=hint)


def size_bytes(size: str) -> int:
    """Raises UsageError where it is no size."""
    found = _SIZE.fullmatch(size)
    if not found:
        raise UsageError(f"{size[:40]!r} is no size of a volume", hint="write 500Mi, 1Gi or 2Ti")
    return int(found[1]) * _BYTES[found[2]]


def _mount(value: object, where: str) -> str:
    path = text(value, f"{where}: --mount", _LONGEST_MOUNT)
    if not _MOUNT.fullmatch(path) or posixpath.normpath(path) != path or path.startswith("//"):
        raise UsageError(f"{where}: {path[:60]!r} is no folder to mount at", hint="write a whole path: /data")
    if path in _WHOLE or path.split("/")[1] in _TAKEN:
        raise UsageError(
            f"{where}: {path} would hide what the image has there",
            hint="choose a folder of its own: /data, or /workspace/uploads in the app's folder",
        )
    return path


def _processes(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise UsageError(f"{where}: no process type is named", hint="add --process web")
    return tuple(sorted({ProcessType.parse_name(text(name, f"{where}: --process")) for name in value}))


def _size(value: object, where: str) -> str:
    size = text(value, f"{where}: --size")
    size_bytes(size)
    return size


def _lies_in(volume: Volume, other: Volume) -> bool:
    return volume.mount == other.mount or volume.mount.startswith(f"{other.mount}/")
