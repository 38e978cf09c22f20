"""A folder of buildpacks as values: ``order.toml`` and each ``buildpack.toml`` (Buildpack API)."""

import errno
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gitreceive.lifecycle import classic, shape, toml
from gitreceive.lifecycle.place import EXEC_ENV
from gitreceive.lifecycle.target import Target, read_targets

OLDEST_API, NEWEST_API = (0, 7), (0, 12)
DESCRIPTION = "buildpack.toml"
MOST_GROUPS = 1000  # that an order may come to once its composites are replaced by their own

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", re.ASCII)
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
class Hint:
    """What to do about a failure that its buildpack knows: ``pattern`` is looked for in the last lines of its output.

    ``{1}`` in the text stands for what the pattern's first group has found, and so on.
    """

    pattern: re.Pattern[str]
    text: str

    def of(self, output: str) -> str:
        """The hint for this output; empty where the pattern is not in it."""
        found = self.pattern.search(output)
        return _PLACE.sub(lambda place: found[int(place[1])] or "", self.text) if found else ""


_PLACE = re.compile(r"\{([0-9])\}")


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
    hints: tuple[Hint, ...] = ()
    homepage: str = ""
    targets: tuple[Target, ...] = ()  # none: any Linux
    exec_env: tuple[str, ...] = ()
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
        """The groups with each composite buildpack replaced by its own, in the order in which they are tried. Members
        that are for other execution environments are left out.
        """
        count = 0
        for group in self.order if order is None else order:
            for expanded in self._expand_group(group, ()):
                count += 1
                if count > MOST_GROUPS:
                    raise FolderError(f"the order comes to more than {MOST_GROUPS} groups, which is too many")
                if expanded:
                    yield expanded

    def _expand_group(self, group: Group, above: tuple[str, ...]) -> Iterator[Group]:
        """Depth first, from left to right (Buildpack API, "Order Resolution"); an optional composite may be left out, last.
        ``above`` are the composite buildpacks that the group is in, the outermost first.
        """
        ways = [self._ways(member, above) for member in group if applies(member.exec_env)]
        for parts in itertools.product(*ways):
            yield tuple(member for part in parts for member in part)

    def _ways(self, member: Member, above: tuple[str, ...]) -> list[Group]:
        inner = self.find(member)
        if not inner.order:
            return [(member,)]
        if inner.id in above:
            way = " → ".join([*above[above.index(inner.id) :], inner.id])
            raise FolderError(f"{inner.path / 'buildpack.toml'}: buildpack {inner.id} contains itself: {way}")
        every = (way for group in inner.order for way in self._expand_group(group, (*above, inner.id)))
        found = list(itertools.islice(every, MOST_GROUPS + 1))
        if len(found) > MOST_GROUPS:
            raise FolderError(f"buildpack {inner.id} stands for more than {MOST_GROUPS} groups")
        return [*found, ()] if member.optional else found


def not_run(program: Path, error: OSError) -> str:
    """Why the system did not run a buildpack's program, in words."""
    reasons = {
        errno.EACCES: "it is not executable",
        errno.ENOEXEC: "it says no interpreter in its first line",
    }
    if program.is_file():
        reasons[errno.ENOENT] = "its interpreter is not there, or its first line ends with CR"
    return f"bin/{program.name} cannot be run: {reasons.get(error.errno or 0, error)}"


def applies(exec_env: Sequence[str]) -> bool:
    """Whether what is for these execution environments is for apps that run here; an empty list is for all."""
    return not exec_env or EXEC_ENV in exec_env or "*" in exec_env


def load(path: Path) -> Folder:
    """Read ``order.toml`` and the buildpacks in ``*/`` and ``*/*/``, also Heroku's classic ones. Raises FolderError naming the
    file and what is wrong.
    """
    path = path.resolve()  # its programs are run from the app's folder
    found: dict[str, tuple[Buildpack, ...]] = {}
    for buildpack in _buildpacks(path):
        found[buildpack.id] = (*found.get(buildpack.id, ()), buildpack)
    document = _read(path / "order.toml")
    folder = Folder(found, _order(document, path / "order.toml"))
    if not folder.order:
        raise FolderError(f"{path / 'order.toml'} has no [[order]]")
    for group in folder.order:
        for member in group:
            folder.find(member)
    # the composites' own orders are looked at too, and how many groups they come to
    for _ in folder.expand():
        pass
    return folder


def read_buildpacks(path: Path) -> tuple[Buildpack, ...]:
    """Those in ``*/`` and ``*/*/``, as ``load`` finds them, of a folder that need have no order. Raises FolderError."""
    return tuple(_buildpacks(path.resolve()))


def read_buildpack_in(place: Path) -> Buildpack:
    """The one buildpack that the folder ``place`` is; a classic one gets its id from the folder's name. Raises FolderError."""
    return _classic(place, place.parent) if classic.is_classic(place) else read_buildpack(place / DESCRIPTION)


def is_version(text: str) -> bool:
    """Whether a version can name a folder."""
    return _VERSION.fullmatch(text) is not None


_MARKS = ("*/buildpack.toml", "*/*/buildpack.toml", "*/bin/compile", "*/*/bin/compile")


def _buildpacks(path: Path) -> Iterator[Buildpack]:
    places = sorted({f.parents[f.name == "compile"] for glob in _MARKS for f in path.glob(glob)})
    for place in places:
        # what lies in a classic buildpack, or is one and lies in another, is that one's own affair
        inner = place.parent in places if classic.is_classic(place) else classic.is_classic(place.parent)
        if not inner:
            yield read_place(place, path)


def read_place(place: Path, root: Path) -> Buildpack:
    """The buildpack, of either kind, in a folder of the folder of buildpacks ``root``. Raises FolderError."""
    return _classic(place, root) if classic.is_classic(place) else read_buildpack(place / DESCRIPTION)


def _classic(place: Path, root: Path) -> Buildpack:
    identity = classic.identity(place, root)
    if not is_id(identity):
        raise FolderError(f"{place}: {identity!r} cannot be a buildpack's id: rename the folder")
    if not (place / "bin" / "detect").is_file():
        raise FolderError(f"{place} has no bin/detect")
    return Buildpack(identity, classic.VERSION, classic.API, place, classic=True)


def read_buildpack(file: Path) -> Buildpack:
    """The buildpack that ``file``, a ``buildpack.toml``, describes. Raises FolderError."""
    document = _read(file)
    head = document.get("buildpack", {})
    identity, version = head.get("id", ""), head.get("version", "")
    if not is_id(identity):
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
        detects=_globs(ours, "detects", file) or (),
        inputs=_globs(ours, "inputs", file),
        hints=tuple(_hint(entry, file) for entry in ours.get("hints", ())),
        homepage=head.get("homepage", ""),
        targets=read_targets(document, file),
        exec_env=tuple(entry.get("name", "") for entry in head.get("exec-env", ())),
    )
    if not buildpack.order:
        for program in ("bin/detect", "bin/build"):
            if not (file.parent / program).is_file():
                raise FolderError(f"{file.parent} has no {program}")
    return buildpack


def is_id(text: str) -> bool:
    """Whether a buildpack can be called so (Buildpack API, "buildpack.toml")."""
    return _ID.fullmatch(text) is not None and text not in _RESERVED


def _globs(ours: Mapping[str, Any], name: str, file: Path) -> tuple[str, ...] | None:
    value = ours.get(name)
    if not is_inputs(value):
        raise FolderError(f"{file}: metadata.gitreceive.{name} must be an array of globs")
    return None if value is None else tuple(value)


def _hint(entry: Mapping[str, Any], file: Path) -> Hint:
    where = f"{file}: [[metadata.gitreceive.hints]]"
    match, text = entry.get("match"), entry.get("hint")
    if not isinstance(match, str) or not isinstance(text, str) or not match or not text:
        raise FolderError(f"{where} needs match and hint, both strings")
    try:
        pattern = re.compile(match, re.MULTILINE)
    except re.error as error:
        raise FolderError(f"{where}: match {match!r} is no regular expression: {error}") from error
    if any(int(number) > pattern.groups for number in _PLACE.findall(text)):
        raise FolderError(f"{where}: hint {text!r} names a group that match {match!r} does not have")
    return Hint(pattern, text)


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
    exec_env = tuple(entry.get("exec-env", ()))
    return Member(entry["id"], entry.get("version", ""), entry.get("optional", False), exec_env)


def _read(file: Path) -> dict[str, Any]:
    """The document, whose known keys have values of their types."""
    try:
        document = toml.read(file)
    except toml.UnreadableError as error:
        raise FolderError(f"{file} cannot be read: {error}") from error
    for misfit in shape.misfits(document):
        if misfit.wanted:
            raise FolderError(f"{file}: {misfit}")
    return document
