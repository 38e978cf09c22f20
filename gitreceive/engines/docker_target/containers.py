"""Releases as containers: what the Docker engine is asked to create, and what its list says. Pure."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from docker.utils import parse_bytes

from gitreceive.config import DockerSettings
from gitreceive.engines.docker_target.connection import Address
from gitreceive.errors import ConfigError
from gitreceive.model import (
    CRON_PROCESS,
    ONE_OFF_PROCESS,
    WEB_PROCESS,
    AppName,
    HealthCheck,
    Limits,
    LogSource,
    OneOff,
    ProcessType,
    Release,
    as_run,
    mounted,
)
from gitreceive.model.declarations import health_document, health_from

DEFAULT_PORT = 8080  # what $PORT is where the image does not say what it listens on
NOT_ROOT = "1000:1000"

RESERVED = 0

_PIDS = 1024
_LOG_OPTIONS = {"max-size": "10m", "max-file": "3"}
_ONCE = "once"
_SERVICE = "service"
OWNER = "gitreceive.data"
APP = "gitreceive.app"
VOLUME = "gitreceive.volume"  # of a volume: its name in the app
VOLUMES = "gitreceive.volumes"  # of a container: the names of those that it mounts
HEALTH = "gitreceive.health"  # of a container: what it is asked, as JSON
KIND = "gitreceive.kind"  # of a container that runs once and is no release command
NAME = "gitreceive.instance"  # of one that has a name of its own
USER = "gitreceive.user"
LINE = "gitreceive.command"
ONE_OFF = "one-off"
CRON = "cron"
ENTRY = "gitreceive.cron"  # the entry that a run by the clock is of
SOURCE = "gitreceive.source"
_LONGEST_LINE = 200


class Stage(StrEnum):
    """Where a container is on its way. Docker can rename a container but not relabel it, so its name says it: the switch
    from one release to the next outlives the server that made it.
    """

    STARTING = "starting"
    LIVE = "live"
    RETIRING = "retiring"


@dataclass(frozen=True)
class Place:
    """Which of an app's containers it is. Replicas count from 1; where none is to run, a container that is never started keeps the place,
    as ``RESERVED``: which release it is, and at which port it answers, is on record in containers alone.
    """

    release: int
    process: str
    replica: int

    @property
    def reserved(self) -> bool:
        return self.replica == RESERVED


@dataclass(frozen=True)
class Container:
    """A container of ours, as the engine lists it."""

    id: str
    app: AppName
    place: Place
    stage: Stage
    state: str  # created, running, restarting, exited, dead, paused, removing
    once: bool
    image: str
    spec: str  # what it was created from; equal for equal bodies
    host_port: int | None
    address: Address | None
    created: float  # seconds since 1970
    named: str = ""  # of one that somebody runs by hand
    source: str = ""  # what one that runs once is, as LogSource; empty: somebody's command
    entry: str = ""  # of cron, of a run by the clock
    volumes: frozenset[str] = frozenset()
    health: tuple[
        HealthCheck, ...
    ] = ()  # what it is asked for as long as it serves, commands as they are run

    @property
    def instance(self) -> str:
        return self.named or f"{self.place.process}.{self.place.replica}"

    @property
    def running(self) -> bool:
        return self.state == "running"


def places(release: Release) -> tuple[tuple[Place, ProcessType], ...]:
    """The containers that make up a release, web first, so that what people see is told first."""
    services = sorted(release.services, key=lambda process: (process.name != WEB_PROCESS, process.name))
    return tuple(
        (Place(release.number, process.name, replica), process)
        for process in services
        for replica in (range(1, release.replicas(process.name) + 1) or (RESERVED,))
    )


def owner(data_dir: Path) -> str:
    """What tells one server's containers from another's on the same engine."""
    return hashlib.sha256(str(data_dir.expanduser().resolve()).encode()).hexdigest()[:12]


def name(owned_by: str, app: AppName, place: Place, stage: Stage, mark: str = "") -> str:
    """Dots separate: neither an app nor a process type has one. ``mark`` tells apart what would have the same name."""
    suffix = "" if stage is Stage.LIVE else f".{stage}"
    suffix += f".{mark}" if mark else ""
    return f"gitreceive.{owned_by}.{app}.v{place.release}.{place.process}.{place.replica}{suffix}"


def volume_name(owned_by: str, app: AppName, volume: str) -> str:
    return f"gitreceive.{owned_by}.{app}.volume.{volume}"


def service(
    release: Release,
    place: Place,
    process: ProcessType,
    *,
    owned_by: str,
    host_port: int | None,
    user: str,
    settings: DockerSettings,
) -> dict[str, Any]:
    """The body of ``POST /containers/create`` for a process that keeps running. Docker restarts it once it is live."""
    body = _body(release, process, user, settings)
    body["Labels"] = _labels(release, place, owned_by, host_port, _SERVICE)
    if volumes := mounted(release.settings.runtime.volumes, process.name):
        body["Labels"][VOLUMES] = ",".join(volumes)
        body["HostConfig"]["Mounts"] = [
            _mount(volume_name(owned_by, release.app, name), volume.mount) for name, volume in volumes.items()
        ]
    if restarted := release.settings.formation.restarted.get(process.name):
        body["Labels"]["gitreceive.restarted"] = restarted
    if checks := release.checks(process.name).values():
        body["Labels"][HEALTH] = json.dumps(health_document(as_run(check, release.image) for check in checks))
    body["Labels"]["gitreceive.spec"] = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return body


def once(
    release: Release, process: ProcessType, *, owned_by: str, user: str, settings: DockerSettings
) -> dict[str, Any]:
    """The same for a process that runs to its end."""
    body = _body(release, process, user, settings)
    body["Labels"] = _labels(release, Place(release.number, process.name, 1), owned_by, None, _ONCE)
    return body


def one_off(
    release: Release, asked: OneOff, *, owned_by: str, user: str, settings: DockerSettings
) -> dict[str, Any]:
    """The same for what somebody runs by hand, or the clock: nobody's input reaches it, unless it is attached to."""
    process = ProcessType(one_off_process(asked), asked.command)
    body = _body(release, process, user, settings)
    if size := asked.limits.memory_bytes:
        body["HostConfig"] |= {"Memory": size, "MemorySwap": size}
    if part := asked.limits.milli_cpu:
        body["HostConfig"]["NanoCpus"] = part * 10**6
    body["Labels"] = _labels(release, Place(release.number, process.name, 1), owned_by, None, _ONCE) | {
        KIND: CRON if asked.entry else ONE_OFF,
        NAME: asked.name,
        USER: str(asked.user),
        LINE: asked.line[:_LONGEST_LINE],
    }
    if asked.entry:
        body["Labels"] |= {ENTRY: asked.entry, SOURCE: LogSource.CRON.value}
    return body


def one_off_process(asked: OneOff) -> str:
    """The process type that it counts as."""
    return CRON_PROCESS if asked.entry else ONE_OFF_PROCESS


def attached(body: Mapping[str, Any], *, terminal: str) -> dict[str, Any]:
    """The body of a container that somebody attaches to; in a terminal of that name, where it is not empty."""
    made = dict(body) | {"OpenStdin": True, "StdinOnce": True, "Tty": bool(terminal)}
    made |= {"AttachStdin": True, "AttachStdout": True, "AttachStderr": True}
    if terminal:
        made["Env"] = [*made["Env"], f"TERM={terminal}"]
    return made


def listed(owned_by: str, rows: Iterable[Mapping[str, Any]]) -> tuple[Container, ...]:
    """The containers of ``owned_by`` in the answer to ``GET /containers/json``, oldest release first.

    The same server's build containers carry its mark too, but no role.
    """
    ours = (row for row in rows if row["Labels"].get(OWNER) == owned_by)
    found = [_container(row) for row in ours if "gitreceive.role" in row["Labels"]]
    return tuple(sorted(found, key=lambda c: (c.place.release, c.place.process, c.place.replica)))


def current(containers: Iterable[Container]) -> int | None:
    """The release that serves, of one app's containers: the newest that has been switched to."""
    live = [c.place.release for c in containers if c.stage is Stage.LIVE and not c.once]
    return max(live, default=None)


def container_port(release: Release) -> int:
    return release.image.port or DEFAULT_PORT


def memory_bytes(settings: DockerSettings) -> int:
    """Raises ConfigError where the setting is not a size."""
    try:
        return int(parse_bytes(settings.memory))
    except Exception as error:
        raise ConfigError(
            f"docker.memory is {settings.memory!r}", hint="write bytes, or a number with k, m or g: 512m"
        ) from error


def _body(release: Release, process: ProcessType, user: str, settings: DockerSettings) -> dict[str, Any]:
    port = container_port(release)
    environment = {key: secret.reveal() for key, secret in sorted(release.config.items())}
    environment |= {
        "PORT": str(port),
        "GITRECEIVE_RELEASE": release.label,
        "GITRECEIVE_COMMIT": release.commit,
    }
    limits = release.settings.runtime.limits.get(process.name, Limits())
    memory = limits.memory_bytes or memory_bytes(settings)
    body: dict[str, Any] = {
        "Image": str(release.image.ref),
        "Env": [f"{key}={value}" for key, value in environment.items()],
        "User": user,
        "HostConfig": {
            "NetworkMode": "bridge",
            "Init": True,
            "Memory": memory,
            "MemorySwap": memory,
            "PidsLimit": _PIDS,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "RestartPolicy": {"Name": "no"},
            "LogConfig": {"Type": "json-file", "Config": dict(_LOG_OPTIONS)},
        },
    }
    if settings.runtime:
        body["HostConfig"]["Runtime"] = settings.runtime
    if limits.milli_cpu:
        # one host has no scheduler that would keep its CPUs free for whom they were promised
        body["HostConfig"]["NanoCpus"] = limits.milli_cpu * 1_000_000
    if process.command:
        body["Entrypoint"], body["Cmd"] = list(process.command), []
    return body


def _mount(volume: str, folder: str) -> dict[str, Any]:
    """It begins empty, as everywhere, also where the image has something in that folder."""
    return {"Type": "volume", "Source": volume, "Target": folder, "VolumeOptions": {"NoCopy": True}}


def _labels(
    release: Release, place: Place, owned_by: str, host_port: int | None, role: str
) -> dict[str, str]:
    labels = {
        OWNER: owned_by,
        APP: str(release.app),
        "gitreceive.release": str(place.release),
        "gitreceive.process": place.process,
        "gitreceive.replica": str(place.replica),
        "gitreceive.role": role,
        "gitreceive.commit": str(release.commit),
        "gitreceive.image": str(release.image.ref),
        "gitreceive.listens": str(container_port(release)),
    }
    if host_port is not None:
        labels["gitreceive.port"] = str(host_port)
    return labels


def _container(row: Mapping[str, Any]) -> Container:
    labels: Mapping[str, str] = row["Labels"]
    words = row["Names"][0].split(".") if row.get("Names") else []
    networks = (row.get("NetworkSettings") or {}).get("Networks") or {}
    ip = next((network["IPAddress"] for network in networks.values() if network.get("IPAddress")), "")
    port = labels.get("gitreceive.port")
    return Container(
        id=row["Id"],
        app=AppName.parse(labels[APP]),
        place=Place(
            int(labels["gitreceive.release"]), labels["gitreceive.process"], int(labels["gitreceive.replica"])
        ),
        stage=Stage(words[6]) if words[6:] and words[6] in set(Stage) else Stage.LIVE,
        state=row["State"],
        once=labels["gitreceive.role"] == _ONCE,
        image=labels["gitreceive.image"],
        spec=labels.get("gitreceive.spec", ""),
        host_port=int(port) if port else None,
        address=(ip, int(labels["gitreceive.listens"])) if ip else None,
        created=float(row["Created"]),
        named=labels.get(NAME, ""),
        source=labels.get(SOURCE, ""),
        entry=labels.get(ENTRY, ""),
        volumes=frozenset(filter(None, labels.get(VOLUMES, "").split(","))),
        health=health_from(json.loads(labels.get(HEALTH, "[]"))),
    )
