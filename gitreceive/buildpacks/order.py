"""The buildpacks that the server offers, and the order that a choice makes of them. Pure but for reading the folder."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gitreceive.errors import ConfigError, DetectError
from gitreceive.lifecycle.folder import Folder, FolderError, Group, Member, load
from gitreceive.model import BuildpackRef, Choice, Wanted


def read_folder(path: Path) -> Folder:
    """Raises ConfigError naming the file and what is wrong with it."""
    try:
        return load(path)
    except FolderError as error:
        raise ConfigError(
            str(error), hint="set build.buildpacks to a folder of buildpacks with an order.toml"
        ) from error


def find(folder: Folder, ref: BuildpackRef, by: str) -> Member:
    """The folder's buildpack of that id, or the only one whose id ends so, in that version, or the only one that there is.

    Raises DetectError, which begins with ``by`` and lists what is known.
    """
    known = sorted(folder.buildpacks)
    matches = [ref.id] if ref.id in known else [one for one in known if one.endswith(f"/{ref.id}")]
    if len(matches) != 1:
        problem = "names several buildpacks" if matches else "is not a buildpack here"
        raise DetectError(f"{by}: {ref.text} {problem}", hint=f"known: {', '.join(matches or known)}")
    there = folder.buildpacks[matches[0]]
    fitting = [b for b in there if ref.version in {"", b.version}]
    if len(fitting) != 1:
        versions = ", ".join(f"{b.id}@{b.version}" for b in there)
        problem = "is there in several versions" if fitting else "is not there in this version"
        raise DetectError(f"{by}: {ref.text} {problem}", hint=f"known: {versions}")
    return Member(fitting[0].id, fitting[0].version)


def arrange(own: Folder, choice: Choice, members: Mapping[Wanted, Member]) -> tuple[Group, ...]:
    """The order to try; ``own`` is the server's folder, ``members`` has all that the choice names.

    A group that was chosen is the only one, and what it names has to take the source. What the server's order has behind it
    as optional, such as the Procfile's buildpack, stays behind it.
    """
    if choice.group:
        group = tuple(members[wanted] for wanted in choice.group)
        named = {member.id for member in group}
        behind = _behind(own.order, [member.id for member in group])
        return ((*group, *(member for member in behind if member.id not in named)),)
    before, after = ([members[wanted] for wanted in some] for some in (choice.before, choice.after))
    named = {member.id for member in (*before, *after)}
    exact = (tuple(_exact(own, member) for member in group if member.id not in named) for group in own.order)
    return tuple((*before, *group, *after) for group in exact)


def _exact(own: Folder, member: Member) -> Member:
    """With its version, as a choice may bring another of the same id."""
    return replace(member, version=own.find(member).version)


def _behind(order: Sequence[Group], named: Sequence[str]) -> Group:
    """What is optional behind the last that is named, in the first group that has it; else what ends every group."""
    for identity in reversed(named):
        for group in order:
            at = next((at for at, member in enumerate(group) if member.id == identity), None)
            if at is not None:
                return tuple(member for member in group[at + 1 :] if member.optional)
    return tuple(member for member in _ends(order[0]) if all(member in _ends(group) for group in order))


def _ends(group: Group) -> Group:
    """The optional ones at its end."""
    start = next((at for at in range(len(group), 0, -1) if not group[at - 1].optional), 0)
    return group[start:]
