"""The build phase: each ``bin/build`` of the group in turn, with what the layers before it give to its environment."""

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gitreceive.lifecycle import classic, toml
from gitreceive.lifecycle.env import BUILD_PATHS, apply_layer
from gitreceive.lifecycle.folder import Buildpack
from gitreceive.lifecycle.layers import (
    ContractError,
    LayerFolder,
    read_inputs,
    read_launch,
    read_layers,
    read_unmet,
    store_stamp,
)
from gitreceive.lifecycle.place import Place
from gitreceive.lifecycle.plan import Entry
from gitreceive.lifecycle.talk import Talk


class BuildFailedError(Exception):
    """A ``bin/build`` failed, or what it left breaks the contract. ``code`` is its exit code, None where it had none."""

    def __init__(self, buildpack: Buildpack, code: int | None, reason: str) -> None:
        super().__init__(reason)
        self.buildpack = buildpack
        self.code = code
        self.reason = reason


@dataclass
class Outcome:
    """``processes`` by type: a later buildpack's replaces an earlier one's of the same type. ``inputs`` by buildpack id: globs, or
    None where a buildpack does not say what its result depends on.
    """

    layers: list[LayerFolder] = field(default_factory=list)
    processes: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, tuple[str, ...] | None] = field(default_factory=dict)
    slices: list[tuple[str, ...]] = field(default_factory=list)  # globs of what gets an app layer of its own


def build(
    group: Sequence[Buildpack], entries: Sequence[Entry], place: Place, env: Mapping[str, str], talk: Talk
) -> Outcome:
    """Raises BuildFailedError at the first buildpack that fails; what it left lies in the layers as it is."""
    outcome = Outcome()
    current = dict(env)
    open_entries = list(entries)
    for buildpack in group:
        talk.step(buildpack.name)
        folder = place.layers / buildpack.folder
        folder.mkdir(parents=True, exist_ok=True)
        stamp = store_stamp(folder)
        own = [entry for entry in open_entries if buildpack.name in entry.providers]
        _run(buildpack, own, place, {**env} if buildpack.clear_env else current)
        try:
            layers = _collect(buildpack, folder, outcome)
            unmet = read_unmet(folder)
            outcome.inputs[buildpack.id] = read_inputs(buildpack, folder, stamp)
        except ContractError as error:
            raise BuildFailedError(buildpack, None, str(error)) from error
        open_entries = [e for e in open_entries if e not in own or e.name in unmet]
        for layer in layers:
            if layer.build:
                apply_layer(current, str(layer.path), ("env", "env.build"), BUILD_PATHS)
        current.update({k: v for k, v in env.items() if k not in _JOINED})
    return outcome


# what layers add to is joined, everything else that the operator set wins over layers
_JOINED = {variable for _, variables in BUILD_PATHS for variable in variables}


def _collect(buildpack: Buildpack, folder: Path, outcome: Outcome) -> tuple[LayerFolder, ...]:
    layers = read_layers(buildpack, folder)
    launch = read_launch(buildpack, folder)
    outcome.layers.extend(layers)
    outcome.slices.extend(launch.slices)
    if buildpack.classic:
        classic.drop_earlier(outcome.processes)
    for process in launch.processes:
        outcome.processes.pop(process["type"], None)
        outcome.processes[process["type"]] = process
    outcome.labels.update(launch.labels or {})
    return layers


def _run(buildpack: Buildpack, entries: Sequence[Entry], place: Place, env: Mapping[str, str]) -> None:
    folder = place.layers / buildpack.folder
    # these speak of the last build, and would be taken for this one's
    for name in ("launch.toml", "build.toml"):
        (folder / name).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="build-") as work:
        plan = Path(work, "plan.toml")
        plan.write_text(toml.dumps({"entries": _plan_entries(entries)}), encoding="utf-8")
        values = {
            **env,
            "CNB_BUILDPACK_DIR": str(buildpack.path),
            "CNB_LAYERS_DIR": str(folder),
            "CNB_PLATFORM_DIR": str(place.platform),
            "CNB_BP_PLAN_PATH": str(plan),
        }
        try:
            # both streams of a build are its log
            code = subprocess.run(
                [*buildpack.command("build"), str(folder), str(place.platform), str(plan)],
                cwd=place.app,
                env=values,
                stdin=subprocess.DEVNULL,
                stdout=2,
                check=False,
            ).returncode
        except OSError as error:
            raise BuildFailedError(buildpack, 126, f"bin/build cannot be run: {error}") from error
    if code:
        raise BuildFailedError(buildpack, code, "")


def _plan_entries(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    return [
        {"name": entry.name, "metadata": dict(require.get("metadata", {}))}
        for entry in entries
        for require in entry.requires
    ]
