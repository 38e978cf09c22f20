"""The buildpacks that a choice names, brought together with the server's own."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gitreceive.buildpacks.choice import PROJECT
from gitreceive.buildpacks.order import arrange, find
from gitreceive.errors import DetectError
from gitreceive.lifecycle import toml
from gitreceive.lifecycle.folder import (
    DESCRIPTION,
    Buildpack,
    Folder,
    FolderError,
    Group,
    Member,
    is_version,
    read_buildpack_in,
    read_buildpacks,
)
from gitreceive.model import BuildpackRef, Choice, InlineBuildpack, RefKind, Wanted
from gitreceive.ports import FetchedBuildpack

CopyFolder = Callable[[str, Path], None]  # a folder of the source, by its path; raises SourceError
Fetch = Callable[[BuildpackRef], FetchedBuildpack]


@dataclass(frozen=True)
class Gathered:
    """``folder`` has the server's buildpacks and those of the choice, ``order`` is what is tried of them."""

    folder: Folder
    order: tuple[Group, ...]
    extra: tuple[Buildpack, ...]  # those that the server's folder does not have


def gather(choice: Choice, own: Folder, place: Path, copy: CopyFolder, fetch: Fetch) -> Gathered:
    """``place`` is a new folder for what the source brings; it has to stay while the result is used.

    Raises DetectError, SourceError, and what ``fetch`` raises.
    """
    by, place = choice.by or PROJECT, place.resolve()
    members: dict[Wanted, Member] = {}
    extra: dict[str, Buildpack] = {}
    for number, wanted in enumerate((*choice.before, *choice.group, *choice.after)):
        members[wanted], brought = _bring(wanted, by, own, place / str(number), copy, fetch)
        for buildpack in brought:
            extra.setdefault(buildpack.name, buildpack)
    _check(by, members, extra.values())
    folder = _together(own, tuple(extra.values()))
    order = arrange(own, choice, members)
    try:
        for _ in folder.expand(order):  # the composites' own orders are looked at too
            pass
    except FolderError as error:
        raise DetectError(f"{by}: {_named(error, extra.values())}") from error
    return Gathered(folder, order, tuple(extra.values()))


def _bring(
    wanted: Wanted, by: str, own: Folder, place: Path, copy: CopyFolder, fetch: Fetch
) -> tuple[Member, Sequence[Buildpack]]:
    if isinstance(wanted, InlineBuildpack):
        buildpack = _written(wanted, by, place)
    elif wanted.kind is RefKind.KNOWN:
        return find(own, wanted, by), ()
    elif wanted.kind is RefKind.FOLDER:
        buildpack = _of_source(wanted, by, place, copy)
    else:
        return _fetched(wanted, by, fetch(wanted))
    return Member(buildpack.id, buildpack.version), (buildpack,)


def _written(wanted: InlineBuildpack, by: str, place: Path) -> Buildpack:
    """It takes every source. Nothing but its text can tell what it reads, so it never lets a build be left out."""
    target = place / "script"
    (target / "bin").mkdir(parents=True)
    description = {"api": wanted.api, "buildpack": {"id": wanted.id, "version": wanted.version}}
    (target / DESCRIPTION).write_text(toml.dumps(description), encoding="utf-8")
    for program, text in (("detect", "#!/bin/sh\n"), ("build", f"#!{wanted.shell}\n\n{wanted.script}\n")):
        (target / "bin" / program).write_text(text, encoding="utf-8")
        (target / "bin" / program).chmod(0o755)
    try:
        return read_buildpack_in(target)
    except FolderError as error:
        raise DetectError(
            f"{by}: the script {wanted.id}: {str(error).removeprefix(f'{target / DESCRIPTION}: ')}"
        ) from error


def _of_source(ref: BuildpackRef, by: str, place: Path, copy: CopyFolder) -> Buildpack:
    target = place / (PurePosixPath(ref.path).name or "source")
    target.mkdir(parents=True)
    copy(ref.path, target)
    if not any(target.iterdir()):
        raise DetectError(
            f"{by}: the source has no folder {ref.text}", hint="is it committed, and below the source's root?"
        )
    if not (target / DESCRIPTION).is_file() and not (target / "bin" / "compile").is_file():
        raise DetectError(
            f"{by}: {ref.text} is no buildpack: it has no {DESCRIPTION}, and no bin/compile",
            hint="gitreceive buildpack new writes one to begin with",
        )
    try:
        return read_buildpack_in(target)
    except FolderError as error:
        raise DetectError(f"{by}: {str(error).replace(str(target), ref.text.rstrip('/'))}") from error


def _fetched(ref: BuildpackRef, by: str, fetched: FetchedBuildpack) -> tuple[Member, Sequence[Buildpack]]:
    try:
        return Member(fetched.id, fetched.version), read_buildpacks(fetched.folder)
    except FolderError as error:
        shown = str(error).replace(str(fetched.folder.resolve()), ref.text)
        raise DetectError(f"{by}: {shown}") from error


def _check(by: str, members: Mapping[Wanted, Member], extra: Iterable[Buildpack]) -> None:
    for buildpack in extra:
        if not is_version(buildpack.version):
            raise DetectError(
                f"{by}: {buildpack.version[:60]!r} cannot be the version of {buildpack.id}",
                hint="use letters, digits and . _ + -",
            )
    seen: set[str] = set()
    for member in members.values():
        if member.id in seen:
            raise DetectError(f"{by}: {member.id} is named twice", hint="each buildpack of a group runs once")
        seen.add(member.id)


def _together(own: Folder, extra: Sequence[Buildpack]) -> Folder:
    """What a choice brings takes the place of the server's of the same id and version."""
    found = {identity: list(there) for identity, there in own.buildpacks.items()}
    for buildpack in extra:
        others = (b for b in found.get(buildpack.id, ()) if b.version != buildpack.version)
        found[buildpack.id] = [*others, buildpack]
    return Folder({identity: tuple(there) for identity, there in found.items()}, own.order)


def _named(error: FolderError, buildpacks: Iterable[Buildpack]) -> str:
    """In words of who chose them: their folders on this server mean nothing to them."""
    text = str(error)
    for buildpack in buildpacks:
        text = text.replace(str(buildpack.path), buildpack.id)
    return text
