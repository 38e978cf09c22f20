"""The buildpacks that the server offers, and what a push option makes of their order. Pure but for reading the folder."""

from dataclasses import replace
from pathlib import Path

from gitreceive.errors import ConfigError, DetectError
from gitreceive.lifecycle.folder import Folder, FolderError, Group, Member, load


def read_folder(path: Path) -> Folder:
    """Raises ConfigError naming the file and what is wrong with it."""
    try:
        return load(path)
    except FolderError as error:
        raise ConfigError(
            str(error), hint="set build.buildpacks to a folder of buildpacks with an order.toml"
        ) from error


def choose(folder: Folder, wanted: str | None) -> tuple[Group, ...]:
    """The order to try: the folder's, or one around the single buildpack that a push asked for.

    ``wanted`` is an id or the last part of one. It must then take the source; the optional buildpacks that follow it in its
    group may. Raises DetectError, listing the known ids, where there is no such buildpack or more than one.
    """
    if wanted is None:
        return folder.order
    identity = _find(folder, wanted)
    groups = [_around(group, identity) for group in folder.order]
    found = tuple(dict.fromkeys(group for group in groups if group))
    return found or ((Member(identity, ""),),)


def _find(folder: Folder, wanted: str) -> str:
    known = sorted(folder.buildpacks)
    matches = [wanted] if wanted in known else [one for one in known if one.endswith(f"/{wanted}")]
    if len(matches) != 1:
        problem = "names several buildpacks" if matches else "is not a buildpack here"
        raise DetectError(f"-o buildpack={wanted} {problem}", hint=f"known: {', '.join(matches or known)}")
    return matches[0]


def _around(group: Group, identity: str) -> Group:
    at = next((at for at, member in enumerate(group) if member.id == identity), None)
    if at is None:
        return ()
    return replace(group[at], optional=False), *(member for member in group[at + 1 :] if member.optional)
