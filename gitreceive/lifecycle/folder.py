"""A folder of buildpacks as values: ``order.toml`` and each ``buildpack.toml`` (Buildpack API)."""

import itertools
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gitreceive.lifecycle.place import EXEC_ENV
from gitreceive.lifecycle.target import Target, read_targets

OLDEST_API, NEWEST_API = (0, 7), (0, 12)

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_WAYS_LIMIT = 1000
_RESERVED = {"app", "config", "launcher", "sbom", "generated"}


class FolderError(Exception):
    """A folder of buildpacks that cannot be used. ``exit_code`` 12: an API that is not known (Platform API)."""

    def __init__(self, message: str, exit_code: int = 11) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Member:
    """One place in a group."""

    id: str
    version: str
    optional: bool = False
    exec_env: tuple[str, ...] = ()  # none: whatever the app is to run as


Group = tuple[Member, ...]


@dataclass(frozen=True)
class Buildpack:
    """``detects`` are globs of what its detection looks for, ``inputs`` of what its result depends on; None: it does not say."""

    id: str
    version: str
    api: tuple[int, int]
    path: Path
    order: tuple[Group, ...] = ()  # of a composite: it has no programs of its own
    clear_env: bool = False
    detects: tuple[str, ...] = ()
    inputs: tuple[str, ...] | None = None
    homepage: str = ""
    targets: tuple[Target, ...] = ()  # none: any Linux
    exec_env: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.id} {self.version}"

    @property
    def folder(self) -> str:
        """Its folder's name under the layers."""
        return self.id.replace("/", "_")


@dataclass(frozen=True)
class Folder:
    buildpacks: Mapping[str, tuple[Buildpack, ...]] = field(default_factory=dict)  # by id
    order: tuple[Group, ...] = ()

    def find(self, member: Member) -> Buildpack:
        """Raises FolderError. A member without version takes the only one that there is."""
        there = self.buildpacks.get(member.id, ())
        found = [b for b in there if member.version in {"", b.version}]
        if len(found) != 1:
            known = ", ".join(b.name for b in there) or ", ".join(sorted(self.buildpacks)) or "none"
            raise FolderError(
                f"buildpack {member.id} {member.version} is in the order, but what there is: {known}"
            )
        return found[0]

    def expand(self, order: Iterable[Group] | None = None) -> Iterator[Group]:
        """The groups with each composite buildpack replaced by its own, in the order in which they are tried. Members
        that are for other execution environments are left out.
        """
        for group in self.order if order is None else order:
            for choice in self._expand_group(group, ()):
                if choice:
                    yield choice

    def _expand_group(self, group: Group, seen: tuple[str, ...]) -> Iterator[Group]:
        """Depth first, from left to right (Buildpack API, "Order Resolution"); an optional composite may be left out, last."""
        ways = [self._ways(member, seen) for member in group if applies(member.exec_env)]
        for parts in itertools.product(*ways):
            yield tuple(member for part in parts for member in part)

    def _ways(self, member: Member, seen: tuple[str, ...]) -> list[Group]:
        inner = self.find(member)
        if not inner.order:
            return [(member,)]
        if inner.id in seen:
            raise FolderError(f"buildpack {inner.id} contains itself")
        every = (way for group in inner.order for way in self._expand_group(group, (*seen, inner.id)))
        found = list(itertools.islice(every, _WAYS_LIMIT + 1))
        if len(found) > _WAYS_LIMIT:
            raise FolderError(f"buildpack {inner.id} stands for more than {_WAYS_LIMIT} groups")
        return [*found, ()] if member.optional else found


def applies(exec_env: Sequence[str]) -> bool:
    """Whether what is for these execution environments is for apps that run here; an empty list is for all."""
    return not exec_env or EXEC_ENV in exec_env or "*" in exec_env


def load(path: Path) -> Folder:
    """Read ``order.toml`` and the buildpacks in ``*/`` and ``*/*/``. Raises FolderError naming the file and what is wrong."""
    path = path.resolve()  # its programs are run from the app's folder
    found: dict[str, tuple[Buildpack, ...]] = {}
    files = sorted([*path.glob("*/buildpack.toml"), *path.glob("*/*/buildpack.toml")])
    for file in files:
        buildpack = _buildpack(file)
        found[buildpack.id] = (*found.get(buildpack.id, ()), buildpack)
    document = _read(path / "order.toml")
    folder = Folder(found, _order(document, path / "order.toml"))
    if not folder.order:
        raise FolderError(f"{path / 'order.toml'} has no [[order]]")
    for group in folder.order:
        for member in group:
            folder.find(member)
            next(folder.expand([(member,)]), None)  # a composite's own order is looked at too
    return folder


def _buildpack(file: Path) -> Buildpack:
    document = _read(file)
    head = document.get("buildpack", {})
    identity, version = str(head.get("id", "")), str(head.get("version", ""))
    if not _ID.fullmatch(identity) or identity in _RESERVED:
        raise FolderError(f"{file}: {identity!r} cannot be a buildpack's id")
    if not version:
        raise FolderError(f"{file}: [buildpack] has no version")
    ours = document.get("metadata", {}).get("gitreceive", {})
    buildpack = Buildpack(
        id=identity,
        version=version,
        api=_api(document.get("api"), file),
        path=file.parent,
        order=_order(document, file),
        clear_env=head.get("clear-env") is True,
        detects=tuple(str(name) for name in ours.get("detects", ())),
        inputs=_inputs(ours.get("inputs"), file),
        homepage=str(head.get("homepage", "")),
        targets=read_targets(document, file),
        exec_env=tuple(str(entry.get("name", "")) for entry in head.get("exec-env", ())),
    )
    if not buildpack.order:
        for program in ("bin/detect", "bin/build"):
            if not (file.parent / program).is_file():
                raise FolderError(f"{file.parent} has no {program}")
    return buildpack


def _inputs(value: Any, file: Path) -> tuple[str, ...] | None:
    if not is_inputs(value):
        raise FolderError(f"{file}: metadata.gitreceive.inputs must be an array of globs")
    return None if value is None else tuple(value)


def is_inputs(value: Any) -> bool:
    """Whether this can be the value of ``[metadata.gitreceive] inputs``; None where there is none."""
    return value is None or (isinstance(value, list) and all(isinstance(glob, str) for glob in value))


def _api(text: Any, file: Path) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)(?:\.(\d+))?", str(text))
    api = (int(match[1]), int(match[2] or 0)) if match else None
    if api is None or not OLDEST_API <= api <= NEWEST_API:
        raise FolderError(
            f"{file}: Buildpack API {text!r} is not known here; known are "
            f"{_dotted(OLDEST_API)} to {_dotted(NEWEST_API)}",
            exit_code=12,
        )
    return api


def _dotted(api: tuple[int, int]) -> str:
    return f"{api[0]}.{api[1]}"


def _order(document: Mapping[str, Any], file: Path) -> tuple[Group, ...]:
    groups: list[Group] = []
    for entry in document.get("order", ()):
        members = entry.get("group", ())
        if not members or not all(m.get("id") for m in members):
            raise FolderError(f"{file}: each [[order]] needs [[order.group]] with an id")
        groups.append(tuple(_member(m) for m in members))
    return tuple(groups)


def _member(entry: Mapping[str, Any]) -> Member:
    exec_env = tuple(str(name) for name in entry.get("exec-env", ()))
    return Member(str(entry["id"]), str(entry.get("version", "")), entry.get("optional") is True, exec_env)


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FolderError(f"{file} cannot be read: {error}") from error
