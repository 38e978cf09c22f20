"""What the image says of itself: the launcher's metadata, the process links, the labels."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitreceive.lifecycle import classic
from gitreceive.lifecycle.build import Outcome
from gitreceive.lifecycle.folder import Buildpack
from gitreceive.lifecycle.place import Place


@dataclass(frozen=True)
class Config:
    """``links`` are names in the image's tree and where they lead; ``default`` is a process type or empty."""

    metadata: bytes
    links: Mapping[str, str]
    default: str


def config_layer(
    group: Sequence[Buildpack], outcome: Outcome, place: Place, launch_folders: Sequence[str]
) -> Config:
    default = _default(outcome)
    metadata = {
        "app": str(place.app),
        "buildpacks": [{"id": b.id, "version": b.version} for b in group],
        "default": default,
        "layers": list(launch_folders),
        "processes": [outcome.processes[kind] for kind in sorted(outcome.processes)],
    }
    links = {f"cnb/process/{kind}": "/cnb/lifecycle/launcher" for kind in outcome.processes}
    if any(buildpack.classic for buildpack in group):
        links[classic.HOME.strip("/")] = str(place.app)
    return Config(json.dumps(metadata, sort_keys=True).encode(), links, default)


def image_labels(group: Sequence[Buildpack], outcome: Outcome) -> dict[str, str]:
    """``io.buildpacks.build.metadata`` (Platform API) and the labels that buildpacks ask for."""
    document: dict[str, Any] = {
        "buildpacks": [{"id": b.id, "version": b.version} for b in group],
        "processes": [outcome.processes[kind] for kind in sorted(outcome.processes)],
        "launcher": {"version": "0.1.0", "source": {}},
    }
    return {
        **outcome.labels,
        "io.buildpacks.build.metadata": json.dumps(document, sort_keys=True, separators=(",", ":")),
    }


def _default(outcome: Outcome) -> str:
    """``web``, else the last one that its buildpack calls the default, else the only one."""
    kinds = list(outcome.processes)
    if "web" in kinds:
        return "web"
    named = [kind for kind in kinds if outcome.processes[kind].get("default")]
    if named:
        return named[-1]
    return kinds[0] if len(kinds) == 1 else ""
