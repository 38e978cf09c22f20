"""What runs on the docker target, and what of builds and apps is left in the engine."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import docker

from gitreceive.engines.docker_target.containers import owner
from scripts.survival.invariants import AppFacts, Instance
from tests.e2e.world import Server


def engine_of(server: Server) -> docker.DockerClient:
    """The Docker engine that it works with."""
    host = server.env.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    return docker.DockerClient(base_url=host, timeout=30)


class OnDocker:
    """As it was when this was made."""

    def __init__(self, server: Server) -> None:
        self._owner = owner(server.folder / "data")
        with closing(engine_of(server)) as engine:
            wanted = {"label": f"gitreceive.data={self._owner}"}
            self._containers = engine.api.containers(all=True, filters=wanted)
            self._volumes = [str(volume.name) for volume in engine.volumes.list()]

    def running(self, app: str) -> tuple[Instance, ...]:
        mine = (c for c in self._containers if c["Labels"].get("gitreceive.app") == app and _serves(c))
        return tuple(map(_instance, mine))

    def strays(self, apps: tuple[AppFacts, ...]) -> Iterator[str]:
        yield from self.strays_of_builds()
        yield from _stray_services(self._containers, apps)
        yield from self._stray_volumes([app.name for app in apps])

    def strays_of_builds(self) -> Iterator[str]:
        for container in self._containers:
            labels = container["Labels"]
            if "gitreceive.job" in labels and not _is_kept_network(container):
                yield f"build container {_name(container)}"

    def _stray_volumes(self, names: list[str]) -> Iterator[str]:
        """Caches, and what apps mount, of apps that there are not."""
        known = {f"gitreceive-cache-{name}-{self._owner}" for name in names}
        for volume in self._volumes:
            cache = volume.startswith("gitreceive-cache-") and volume.endswith(f"-{self._owner}")
            mounted = volume.startswith(f"gitreceive.{self._owner}.")
            if (cache and volume not in known) or (mounted and volume.split(".")[2] not in names):
                yield f"volume {volume}"


def _stray_services(containers: list[Any], apps: tuple[AppFacts, ...]) -> Iterator[str]:
    newest = {app.name: max(app.releases, default=0) for app in apps}
    for container in containers:
        labels, state = container["Labels"], container["State"]
        if {"gitreceive.job", "gitreceive.network"} & set(labels):
            continue
        if labels.get("gitreceive.role") != "service":
            yield f"container {_name(container)}"
        elif newest.get(labels["gitreceive.app"]) != int(labels["gitreceive.release"]) or state not in {
            "running",
            "created",
        }:
            yield f"container {_name(container)} ({state})"


def _is_kept_network(container: Mapping[str, Any]) -> bool:
    """Held for the next build, and gone with the server."""
    return "gitreceive.network" in container["Labels"] and container["State"] == "running"


def _name(container: Mapping[str, Any]) -> str:
    """One that is just being removed has none any more."""
    return str(next(iter(container["Names"] or ()), container["Id"][:12])).lstrip("/")


def _serves(container: Mapping[str, Any]) -> bool:
    labels = container["Labels"]
    return bool(labels.get("gitreceive.role") == "service" and container["State"] == "running")


def _instance(container: Mapping[str, Any]) -> Instance:
    labels = container["Labels"]
    digest = labels["gitreceive.image"].partition("@")[2]
    return Instance(labels["gitreceive.process"], int(labels["gitreceive.release"]), digest)
