"""The build phase: each ``bin/build`` of the group in turn, with what the layers before it give to its environment."""

import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gitreceive.lifecycle import classic, sbom, slices, toml
from gitreceive.lifecycle.env import BUILD_PATHS, apply_layer
from gitreceive.lifecycle.failed_at import failed_at, watched
from gitreceive.lifecycle.folder import Buildpack, applies, not_run
from gitreceive.lifecycle.launch_toml import read_launch
from gitreceive.lifecycle.layers import (
    ContractError,
    LayerFolder,
    read_inputs,
    read_layers,
    read_unmet,
    store_stamp,
)
from gitreceive.lifecycle.place import Place, Variables
from gitreceive.lifecycle.plan import Entry
from gitreceive.lifecycle.strays import strays
from gitreceive.lifecycle.talk import Talk


class BuildFailedError(Exception):
    """A ``bin/build`` failed, or what it left breaks the contract. ``code`` is its exit code, None where it had none; ``where``
    its script and line, where they are known.
    """

    def __init__(self, buildpack: Buildpack, code: int | None, reason: str, where: str = "") -> None:
        super().__init__(reason)
        self.buildpack = buildpack
        self.code = code
        self.reason = reason
        self.where = where


@dataclass
class Outcome:
    """``processes`` by type: a later buildpack's replaces an earlier one's of the same type. ``inputs`` by buildpack id: globs, or
    None where a buildpack does not say what its result depends on.
    """

    layers: list[LayerFolder] = field(default_factory=list)
    processes: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    slices: list[tuple[str, ...]] = field(default_factory=list)
    inputs: dict[str, tuple[str, ...] | None] = field(default_factory=dict)


def build(
    group: Sequence[Buildpack],
    entries: Sequence[Entry],
    place: Place,
    env: Variables,
    talk: Talk,
    ended: Callable[[str], object] = lambda _identity: None,
) -> Outcome:
    """``ended`` is told the id of each buildpack whose program went well. Raises BuildFailedError at the first that fails; what
    it left lies in the layers as it is.
    """
    outcome = Outcome()
    current = dict(env.given)
    open_entries = list(entries)
    for buildpack in group:
        talk.step(buildpack.name)
        folder = place.layers / buildpack.folder
        folder.mkdir(parents=True, exist_ok=True)
        stamp = store_stamp(folder)
        own = [entry for entry in open_entries if buildpack.name in entry.providers]
        began = time.time()
        _run(buildpack, own, place, env.seen(buildpack.clear_env, current))
        ended(buildpack.id)
        for path in strays(buildpack, place, began):
            talk.warn(
                f"{buildpack.id} wrote to {path}, which is not its own: the next build need not find it so"
            )
        try:
            layers = _collect(buildpack, folder, place, outcome)
            unmet = read_unmet(folder, [entry.name for entry in own])
            outcome.inputs[buildpack.id] = read_inputs(buildpack, folder, stamp)
        except ContractError as error:
            raise BuildFailedError(buildpack, None, str(error)) from error
        open_entries = [e for e in open_entries if e not in own or e.name in unmet]
        for layer in layers:
            if layer.build and applies(layer.exec_env):
                apply_layer(current, str(layer.path), ("env", "env.build"), BUILD_PATHS)
    return outcome


def _collect(buildpack: Buildpack, folder: Path, place: Place, outcome: Outcome) -> tuple[LayerFolder, ...]:
    layers = read_layers(buildpack, folder)
    sbom.check(folder)
    launch = read_launch(buildpack, folder)
    slices.check(launch.slices, place.app)
    outcome.layers.extend(layers)
    if buildpack.classic:
        classic.drop_earlier(outcome.processes)
    for process in launch.processes:
        outcome.processes.pop(process["type"], None)
        outcome.processes[process["type"]] = process
    outcome.labels.update(launch.labels)
    outcome.slices.extend(launch.slices)
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
        program = buildpack.path / "bin" / ("compile" if buildpack.classic else "build")
        if buildpack.classic:
            values["CNB_WORK_DIR"] = work  # for its adapter, which does the same
        else:
            values = watched(program, values, Path(work))
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
            raise BuildFailedError(buildpack, 126, not_run(program, error)) from error
        if code:
            raise BuildFailedError(buildpack, code, "", failed_at(program, Path(work)))


def _plan_entries(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    return [
        {"name": entry.name, "metadata": _metadata(require)}
        for entry in entries
        for require in entry.requires
    ]


def _metadata(require: Mapping[str, Any]) -> dict[str, Any]:
    """``version`` beside it is how older buildpacks say it (Buildpack API, "Deprecations")."""
    older = {"version": require["version"]} if "version" in require else {}
    return {**older, **require.get("metadata", {})}
