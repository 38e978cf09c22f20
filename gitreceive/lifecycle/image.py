"""What the image says of itself: the launcher's metadata, the process links, the labels (Platform API, "Labels")."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitreceive.lifecycle import classic, toml
from gitreceive.lifecycle.build import Outcome
from gitreceive.lifecycle.folder import Buildpack
from gitreceive.lifecycle.layers import LayerFolder
from gitreceive.lifecycle.place import Place


@dataclass(frozen=True)
class Config:
    """``files`` are those of the folder ``layers/config``; ``links`` are names in the image's tree and where they lead;
    ``default`` is a process type or empty.
    """

    files: Mapping[str, bytes]
    links: Mapping[str, str]
    default: str


def config_layer(
    group: Sequence[Buildpack], outcome: Outcome, place: Place, launch: Sequence[LayerFolder]
) -> Config:
    """``metadata.json`` is for the launcher, which starts with every container; ``metadata.toml`` says the same to others."""
    default = _default(outcome)
    metadata = {
        "app": str(place.app),
        "buildpacks": [_of(b) for b in group],
        "default": default,
        "layers": [str(layer.path) for layer in launch],
        "only-in": {str(layer.path): list(layer.exec_env) for layer in launch if layer.exec_env},
        "processes": [outcome.processes[kind] for kind in sorted(outcome.processes)],
    }
    files = {
        "metadata.json": json.dumps(metadata, sort_keys=True).encode(),
        "metadata.toml": toml.dumps(_for_others(group, outcome, default)).encode(),
    }
    links = {f"cnb/process/{kind}": "/cnb/lifecycle/launcher" for kind in outcome.processes}
    if any(buildpack.classic for buildpack in group):
        links[classic.HOME.strip("/")] = str(place.app)
    return Config(files, links, default)


def image_labels(group: Sequence[Buildpack], outcome: Outcome) -> dict[str, str]:
    """``io.buildpacks.build.metadata`` and the labels that buildpacks ask for."""
    document: dict[str, Any] = {
        "buildpacks": [_of(b) | ({"homepage": b.homepage} if b.homepage else {}) for b in group],
        "processes": [
            _process(outcome.processes[kind]) | {"buildpackID": outcome.processes[kind]["buildpack"]}
            for kind in sorted(outcome.processes)
        ],
        "launcher": {"version": "0.1.0", "source": {}},
    }
    return {**outcome.labels, "io.buildpacks.build.metadata": _encode(document)}


def contents(group: Sequence[Buildpack], layers: Iterable[LayerFolder]) -> list[dict[str, Any]]:
    """Each buildpack's launch layers with their flags and metadata; values that JSON does not know are strings."""
    made: dict[str, dict[str, Any]] = {b.id: {} for b in group}
    for layer in layers:
        if layer.launch:
            flags = {"build": layer.build, "launch": layer.launch, "cache": layer.cache}
            made[layer.buildpack][layer.name] = {"data": dict(layer.metadata), **flags}
    document = [{"key": b.id, "version": b.version, "layers": made[b.id]} for b in group]
    plain: list[dict[str, Any]] = json.loads(json.dumps(document, default=str))
    return plain


def lifecycle_label(made: Sequence[Mapping[str, Any]], layers: Iterable[tuple[str, str]]) -> str:
    """The value of ``io.buildpacks.lifecycle.metadata``, but for the run image. ``made`` is what ``contents`` gave;
    ``layers`` are all of the image, as title and diff_id.
    """
    ids = list(layers)
    by_title = dict(ids)
    document: dict[str, Any] = {
        "app": [{"sha": sha} for title, sha in ids if title == "app" or title.startswith("slice ")],
        "buildpacks": [
            {
                **entry,
                "layers": {
                    name: {**layer, "sha": by_title[f"{entry['key']}:{name}"]}
                    for name, layer in entry["layers"].items()
                },
            }
            for entry in made
        ],
    }
    for title in ("config", "launcher", "sbom"):
        if title in by_title:
            document[title] = {"sha": by_title[title]}
    return _encode(document)


def _for_others(group: Sequence[Buildpack], outcome: Outcome, default: str) -> dict[str, Any]:
    """Platform API, "metadata.toml"."""
    return {
        **({"buildpack-default-process-type": default} if default else {}),
        "buildpacks": [_of(b) for b in group],
        "processes": [_process(outcome.processes[kind]) for kind in sorted(outcome.processes)],
        "slices": [{"paths": list(globs)} for globs in outcome.slices],
    }


def _of(buildpack: Buildpack) -> dict[str, str]:
    api = f"{buildpack.api[0]}.{buildpack.api[1]}"
    return {"id": buildpack.id, "version": buildpack.version, "api": api}


def _process(process: Mapping[str, Any]) -> dict[str, Any]:
    names = ("type", "command", "args", "direct", "working-dir", "exec-env")
    return {name: process[name] for name in names if process[name] != ""}


def _encode(document: Mapping[str, Any]) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def _default(outcome: Outcome) -> str:
    """``web``, else the last one that its buildpack calls the default, else the only one."""
    kinds = list(outcome.processes)
    if "web" in kinds:
        return "web"
    named = [kind for kind in kinds if outcome.processes[kind].get("default")]
    if named:
        return named[-1]
    return kinds[0] if len(kinds) == 1 else ""
