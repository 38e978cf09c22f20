"""A folder of buildpacks as values: ``order.toml`` and each ``buildpack.toml`` (Buildpack API)."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gitreceive.lifecycle import classic

OLDEST_API, NEWEST_API = (0, 7), (0, 12)

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
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
    classic: bool = False  # Heroku's contract: it is run through an adapter

    def command(self, phase: str) -> list[str]:
        """What is run as its ``bin/detect`` or ``bin/build``; their arguments follow."""
        return classic.command(phase) if self.classic else [str(self.path / "bin" / phase)]

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
        """The groups with each composite buildpack replaced by its own, in the order in which they are tried."""
        for group in self.order if order is None else order:
            yield from self._expand_group(group, ())

    def _expand_group(self, group: Group, seen: tuple[str, ...]) -> Iterator[Group]:
        for at, member in enumerate(group):
            inner = self.find(member)
            if inner.order:
                if inner.id in seen:
                    raise FolderError(f"buildpack {inner.id} contains itself")
                for choice in inner.order:
                    yield from self._expand_group(group[:at] + choice + group[at + 1 :], (*seen, inner.id))
                if member.optional:
                    yield from self._expand_group(group[:at] + group[at + 1 :], seen)
                return
        yield group


def load(path: Path) -> Folder:
    """Read ``order.toml`` and the buildpacks in ``*/`` and ``*/*/``, also Heroku's classic ones. Raises FolderError naming the file and what is wrong."""
    path = path.resolve()  # its programs are run from the app's folder
    found: dict[str, tuple[Buildpack, ...]] = {}
    for buildpack in _buildpacks(path):
        found[buildpack.id] = (*found.get(buildpack.id, ()), buildpack)
    document = _read(path / "order.toml")
    folder = Folder(found, _order(document, path / "order.toml"))
    if not folder.order:
        raise FolderError(f"{path / 'order.toml'} has no [[order]]")
    for group in folder.expand():
        for member in group:
            folder.find(member)
    return folder


def _buildpacks(path: Path) -> Iterator[Buildpack]:
    places = sorted({f.parents[f.name == "compile"] for glob in _MARKS for f in path.glob(glob)})
    for place in places:
        if classic.is_classic(place):
            if place.parent not in places:  # what lies in a buildpack is its own affair
                yield _classic(place, path)
        elif not classic.is_classic(place.parent):
            yield _buildpack(place / "buildpack.toml")


_MARKS = ("*/buildpack.toml", "*/*/buildpack.toml", "*/bin/compile", "*/*/bin/compile")


def _classic(place: Path, root: Path) -> Buildpack:
    identity = classic.identity(place, root)
    if not _ID.fullmatch(identity):
        raise FolderError(f"{place}: {identity!r} cannot be a buildpack's id: rename the folder")
    if not (place / "bin" / "detect").is_file():
        raise FolderError(f"{place} has no bin/detect")
    return Buildpack(identity, classic.VERSION, classic.API, place, classic=True)


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
    match = re.fullmatch(r"(\d+)\.(\d+)", str(text))
    api = (int(match[1]), int(match[2])) if match else None
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
        groups.append(
            tuple(Member(m["id"], str(m.get("version", "")), m.get("optional") is True) for m in members)
        )
    return tuple(groups)


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FolderError(f"{file} cannot be read: {error}") from error
