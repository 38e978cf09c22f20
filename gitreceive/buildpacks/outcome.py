"""What a build made, told for the author of a buildpack: layers, variables, process types. Reads the build's spooled layers."""

import json
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gitreceive.model import Build, Layer

_OWN = {"launcher", "config"}
# a variable that a layer gives to processes (Buildpack API, "Environment"): layers/BUILDPACK/LAYER/env[.launch][/TYPE]/NAME
_VARIABLE = re.compile(r"layers/[^/]+/[^/]+/env(?:\.launch)?/(?:(?P<process>[^/]+)/)?(?P<name>[^/]+)")
_METADATA = "layers/config/metadata.json"
_SUFFIXES = ("append", "default", "delim", "override", "prepend")


@dataclass(frozen=True)
class LayerSize:
    """``size`` is of the files as they are, ``packed`` of what is sent, in bytes."""

    title: str
    files: int
    size: int
    packed: int


@dataclass(frozen=True)
class Variable:
    """``how``: override, default, prepend, append or delim. ``process`` is empty where it is for all."""

    layer: str
    name: str
    how: str
    value: str
    process: str = ""


@dataclass(frozen=True)
class Process:
    """``command`` with its arguments, as it is run."""

    type: str
    command: tuple[str, ...]
    default: bool
    buildpack: str


@dataclass(frozen=True)
class Outcome:
    layers: tuple[LayerSize, ...]
    variables: tuple[Variable, ...]
    processes: tuple[Process, ...]


def outcome_of(build: Build) -> Outcome:
    """Of a build whose layers are all spooled: none is the registry's already."""
    sizes: list[LayerSize] = []
    variables: list[Variable] = []
    processes: tuple[Process, ...] = ()
    for layer in build.layers:
        files = list(_read(layer))
        if layer.title == "config":
            processes = _processes(files)
        if layer.title not in _OWN:
            sizes.append(
                LayerSize(layer.title, len(files), sum(size for _, size, _ in files), layer.blob.size)
            )
            variables += _variables(layer.title, files)
    return Outcome(tuple(sizes), tuple(variables), processes)


_File = tuple[str, int, bytes]


def _read(layer: Layer) -> Iterator[_File]:
    """Name and size of each file, and the content of those that are told of."""
    if layer.path is None:
        return
    with tarfile.open(layer.path, "r:gz") as tar:
        for member in tar:
            if member.isdir():
                continue
            wanted = member.isreg() and (member.name == _METADATA or _VARIABLE.fullmatch(member.name))
            content = tar.extractfile(member) if wanted else None
            yield member.name, member.size, content.read() if content else b""


def _variables(title: str, files: Sequence[_File]) -> Iterator[Variable]:
    for path, _, content in files:
        found = _VARIABLE.fullmatch(path)
        if found:
            name, _, suffix = found["name"].rpartition(".")
            name, how = (name, suffix) if name and suffix in _SUFFIXES else (found["name"], "override")
            yield Variable(title, name, how, content.decode("utf-8", "replace"), found["process"] or "")


def _processes(files: Sequence[_File]) -> tuple[Process, ...]:
    document: dict[str, Any] = next(
        (json.loads(content) for path, _, content in files if path == _METADATA), {}
    )
    return tuple(
        Process(
            type=str(entry["type"]),
            command=(*entry["command"], *entry["args"]),
            default=entry["type"] == document["default"],
            buildpack=str(entry["buildpack"]),
        )
        for entry in document.get("processes", ())
    )
