"""``launch.toml``: processes, labels, slices (Buildpack API, "launch.toml")."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gitreceive.lifecycle.folder import Buildpack
from gitreceive.lifecycle.layers import ContractError, read_toml, tables

_COMMAND_IS_LIST = (0, 9)
_TYPE = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Launch:
    """``slices`` are globs in the app's folder, one tuple a slice."""

    processes: tuple[Mapping[str, Any], ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    slices: tuple[tuple[str, ...], ...] = ()


def read_launch(buildpack: Buildpack, folder: Path) -> Launch:
    """Raises ContractError."""
    file = folder / "launch.toml"
    if not file.is_file():
        return Launch()
    document = read_toml(file)
    processes = tuple(_process(entry, buildpack, file) for entry in tables(document, "processes", file))
    _refuse_twice([process["type"] for process in processes], "process type", file)
    defaults = [process["type"] for process in processes if process["default"]]
    if len(defaults) > 1:
        raise ContractError(f"{file.name}: {' and '.join(defaults)} cannot both be the default process")
    return Launch(processes, _labels(document, file), _slices(document, file))


def _process(entry: Mapping[str, Any], buildpack: Buildpack, file: Path) -> dict[str, Any]:
    kind, command = entry.get("type"), entry.get("command")
    as_list = buildpack.api >= _COMMAND_IS_LIST
    if not isinstance(kind, str) or not isinstance(command, list if as_list else str) or not command:
        wanted = "an array" if as_list else "a string"
        raise ContractError(f"{file.name}: a process needs a type, and {wanted} as command")
    if not _TYPE.fullmatch(kind):
        raise ContractError(f"{file.name}: process type {kind!r} may have letters, digits and . _ - only")
    return {
        "type": kind,
        "command": _strings(command, f"command of {kind}", file) if as_list else [command],
        "args": _strings(entry.get("args", []), f"args of {kind}", file),
        "direct": as_list or entry.get("direct") is True,
        "default": entry.get("default") is True,
        "working-dir": str(entry.get("working-dir", "")),
        "exec-env": _strings(entry.get("exec-env", []), f"exec-env of {kind}", file) or ["*"],
        "replaces-args": as_list,
        "buildpack": buildpack.id,
    }


def _labels(document: Mapping[str, Any], file: Path) -> dict[str, str]:
    entries = tables(document, "labels", file)
    if not all(isinstance(e.get("key"), str) and isinstance(e.get("value"), str) for e in entries):
        raise ContractError(f"{file.name}: a label needs a key and a value, both strings")
    _refuse_twice([entry["key"] for entry in entries], "label", file)
    return {entry["key"]: entry["value"] for entry in entries}


def _slices(document: Mapping[str, Any], file: Path) -> tuple[tuple[str, ...], ...]:
    entries = tables(document, "slices", file)
    return tuple(tuple(_strings(entry.get("paths", []), "paths of a slice", file)) for entry in entries)


def _strings(value: Any, what: str, file: Path) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ContractError(f"{file.name}: {what} must be an array of strings")
    return value


def _refuse_twice(names: Sequence[str], what: str, file: Path) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise ContractError(f"{file.name}: {what} {name!r} is there twice")
