"""What a buildpack left in its layers folder: layers with their flags, processes, labels (Buildpack API, "Data Format")."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gitreceive.lifecycle import toml
from gitreceive.lifecycle.folder import Buildpack, is_inputs

NOT_LAYERS = ("launch", "build", "store")
_COMMAND_IS_LIST = (0, 9)


class ContractError(Exception):
    """A buildpack wrote something that the contract does not know."""


@dataclass(frozen=True)
class LayerFolder:
    """``path`` need not exist: a launch layer without content stands for the one of the previous image."""

    buildpack: str  # its id
    name: str
    path: Path
    launch: bool
    build: bool
    cache: bool

    @property
    def only_cache(self) -> bool:
        """Downloads and the like: of use to its buildpack alone, which must bear whatever state it is in."""
        return self.cache and not (self.launch or self.build)

    @property
    def title(self) -> str:
        return f"{self.buildpack}:{self.name}"


@dataclass(frozen=True)
class Launch:
    """``launch.toml``."""

    processes: tuple[Mapping[str, Any], ...] = ()
    labels: Mapping[str, str] | None = None
    slices: tuple[tuple[str, ...], ...] = ()  # globs in the app's folder


def read_layers(buildpack: Buildpack, folder: Path) -> tuple[LayerFolder, ...]:
    """The layers by name. One whose flags are all false is set aside as ``NAME.ignore``. Raises ContractError."""
    declared = declared_layers(buildpack, folder)
    for layer in declared:
        if not (layer.launch or layer.build or layer.cache) and layer.path.is_dir():
            layer.path.rename(layer.path.with_name(f"{layer.name}.ignore"))
    return tuple(layer for layer in declared if layer.launch or layer.build or layer.cache)


def declared_layers(buildpack: Buildpack, folder: Path) -> tuple[LayerFolder, ...]:
    """Every layer that has metadata, by name, whatever its flags; nothing is changed. Raises ContractError."""
    found: list[LayerFolder] = []
    for file in sorted(folder.glob("*.toml")):
        if file.stem not in NOT_LAYERS:
            types = _table(_read(file), "types", file)
            flags = {name: types.get(name) is True for name in ("launch", "build", "cache")}
            found.append(LayerFolder(buildpack.id, file.stem, folder / file.stem, **flags))
    return tuple(found)


def drop_types(file: Path) -> None:
    """A restored layer's metadata stay, its flags go: a buildpack that wants it again says so again."""
    document = _read(file)
    document.pop("types", None)
    file.write_text(toml.dumps(document), encoding="utf-8")


def read_launch(buildpack: Buildpack, folder: Path) -> Launch:
    """Raises ContractError."""
    file = folder / "launch.toml"
    if not file.is_file():
        return Launch()
    document = _read(file)
    processes = tuple(_process(entry, buildpack, file) for entry in document.get("processes", ()))
    labels = {str(entry["key"]): str(entry["value"]) for entry in document.get("labels", ())}
    return Launch(processes, labels, tuple(_slice(entry, file) for entry in document.get("slices", ())))


def _slice(entry: Any, file: Path) -> tuple[str, ...]:
    paths = entry.get("paths") if isinstance(entry, Mapping) else None
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise ContractError(f"{file.name}: a slice needs paths, an array of globs")
    for path in paths:
        if not path or path.startswith("/") or ".." in path.split("/"):
            raise ContractError(f"{file.name}: the slice {path!r} leads out of the app")
    return tuple(paths)


def store_stamp(folder: Path) -> tuple[int, ...]:
    """Changes with each writing of ``store.toml``."""
    try:
        seen = (folder / "store.toml").lstat()
    except FileNotFoundError:
        return ()
    return (seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)


def read_inputs(buildpack: Buildpack, folder: Path, stamp: tuple[int, ...]) -> tuple[str, ...] | None:
    """Globs of what this build's result depends on: those in ``store.toml``, else the buildpack's own; None: nobody says.

    ``stamp`` is the file's from before the build. A list that was there then speaks of another build, and counts as none.
    Raises ContractError.
    """
    file = folder / "store.toml"
    if not file.is_file():
        return buildpack.inputs
    ours = _table(_table(_read(file), "metadata", file), "gitreceive", file)
    if "inputs" not in ours:
        return buildpack.inputs
    if not is_inputs(ours["inputs"]):
        raise ContractError(f"{file.name}: metadata.gitreceive.inputs must be an array of globs")
    return None if store_stamp(folder) == stamp else tuple(ours["inputs"])


def read_unmet(folder: Path) -> frozenset[str]:
    """Names of plan entries that the buildpack, in ``build.toml``, leaves to a later one."""
    file = folder / "build.toml"
    if not file.is_file():
        return frozenset()
    return frozenset(str(entry.get("name", "")) for entry in _read(file).get("unmet", ()))


def _process(entry: Mapping[str, Any], buildpack: Buildpack, file: Path) -> dict[str, Any]:
    kind, command = entry.get("type"), entry.get("command")
    as_list = buildpack.api >= _COMMAND_IS_LIST
    if not isinstance(kind, str) or not isinstance(command, list if as_list else str) or not command:
        wanted = "an array" if as_list else "a string"
        raise ContractError(f"{file.name}: a process needs a type, and {wanted} as command")
    return {
        "type": kind,
        "command": command if as_list else [command],
        "args": [str(argument) for argument in entry.get("args", ())],
        "direct": as_list or entry.get("direct") is True,
        "default": entry.get("default") is True,
        "working-dir": str(entry.get("working-dir", "")),
        "buildpack": buildpack.id,
    }


def _table(document: Mapping[str, Any], name: str, file: Path) -> Mapping[str, Any]:
    table = document.get(name, {})
    if not isinstance(table, Mapping):
        raise ContractError(f"{file.name}: {name} must be a table")
    return table


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ContractError(f"{file.name} cannot be read: {error}") from error
