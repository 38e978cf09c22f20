"""What a build read of its source beside what its buildpacks declare (see ``lifecycle.observation``). Pure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitreceive.buildpacks.finding import WARNING, Finding
from gitreceive.buildpacks.inputs import matches
from gitreceive.lifecycle.folder import DESCRIPTION, Buildpack
from gitreceive.lifecycle.observation import DETECT

_FEW = 3  # files of one folder that are named each
_INPUTS = "metadata.gitreceive.inputs"


@dataclass(frozen=True)
class Reading:
    """``part`` is ``bin/detect`` (of all buildpacks that were asked) or ``bin/build of ID``; ``files`` are paths in the source."""

    part: str
    files: tuple[str, ...]


def readings(observed: Mapping[str, Any]) -> tuple[Reading, ...]:
    return tuple(Reading(_named(part), tuple(seen["read"])) for part, seen in observed["parts"].items())


def undeclared(observed: Mapping[str, Any], group: Sequence[Buildpack]) -> tuple[Finding, ...]:
    """A warning for each file that was read and that no ``inputs`` covers, for a build that writes into the source, and for what
    could not be watched. ``group`` is who built.
    """
    return tuple(_findings(observed, {b.id: b for b in group}))


def _findings(observed: Mapping[str, Any], group: Mapping[str, Buildpack]) -> Iterator[Finding]:
    if observed["trouble"]:
        message = f"what the build reads could not be watched: {observed['trouble']}"
        yield Finding(WARNING, DESCRIPTION, 0, message)
    declared: Mapping[str, Sequence[str] | None] = observed["inputs"]
    known = {identity: globs for identity, globs in declared.items() if globs is not None}
    knows_all = len(known) == len(declared) and not any("**" in globs for globs in known.values())
    for part, seen in observed["parts"].items():
        if not seen["whole"]:
            message = f"{_named(part)} opened more files at once than could be watched: some are not told of"
            yield Finding(WARNING, DESCRIPTION, 0, message)
        if part == DETECT:
            # whoever of the group declares it: a change of it asks for a build, and so for all of detection
            every = [glob for globs in known.values() for glob in globs]
            yield from _uncovered(part, seen["read"], every if knows_all else ["**"], DESCRIPTION)
        elif part in known:
            own = tuple(known[part]) == (group[part].inputs if part in group else None)
            yield from _uncovered(part, seen["read"], known[part], DESCRIPTION if own else "store.toml")
            if observed["source_changed"] and knows_all and seen["changed"]:
                yield Finding(
                    WARNING,
                    DESCRIPTION,
                    0,
                    f"{_named(part)} writes into the app's folder ({_listed(seen['changed'])}), so every push builds, "
                    "whatever inputs say: write into a layer",
                )


def _uncovered(part: str, files: Sequence[str], globs: Sequence[str], where: str) -> Iterator[Finding]:
    if "**" in globs:
        return
    covered = matches(globs)
    for what, glob in _globs([name for name in files if not covered(name)]):
        yield Finding(
            WARNING,
            where,
            0,
            f"{_named(part)} reads {what}, which {_INPUTS} does not cover: add {json.dumps(glob, ensure_ascii=False)}",
        )


def _globs(files: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each file, or its folder at the source's root where that has many, in words and as a glob."""
    folders: dict[str, list[str]] = {}
    for name in files:
        folders.setdefault(name.partition("/")[0] if "/" in name else "", []).append(name)
    for folder, names in folders.items():
        if folder and len(names) > _FEW:
            yield f"{len(names)} files of {folder}/", f"{_literal(folder)}/**"
        else:
            yield from ((name, _literal(name)) for name in names)


def _literal(path: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in path)


def _named(part: str) -> str:
    return "bin/detect" if part == DETECT else f"bin/build of {part}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(names[:_FEW]) + more
