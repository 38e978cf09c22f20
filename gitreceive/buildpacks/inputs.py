"""What a build's result depends on in its source, as a fingerprint: where it is the same, the build can be left out. Pure.

A glob is relative to the source's root and is matched segment by segment as by fnmatch; ``**`` stands for any number of
folders; one that matches a folder stands for all below it.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from gitreceive.lifecycle.folder import Folder
from gitreceive.model import TreeEntry

_SYMLINK = 0o120000
_ATTRIBUTES = re.compile(r"(?:.*/)?\.gitattributes", re.DOTALL)


@dataclass(frozen=True)
class Watched:
    """Globs of what counts with its content, and of what counts by being there."""

    content: tuple[str, ...]
    presence: tuple[str, ...]


def watched(
    folder: Folder, inputs: Mapping[str, Sequence[str]], group: Sequence[str], tried: Sequence[str]
) -> Watched | None:
    """``inputs`` is what the group's buildpacks declared, by id; ``group`` and ``tried`` are ID@VERSION.

    What the group's detection looks for counts by its presence, as a build's inputs have its content. Of a buildpack that was
    tried and does not build, nothing but what it looks for is known, so that counts whole. None: anything may count.
    """
    known = {f"{b.id}@{b.version}": b for versions in folder.buildpacks.values() for b in versions}
    others = [known[name].detects for name in tried if name in known and name not in group]
    content = [glob for globs in (*inputs.values(), *others) for glob in globs]
    presence = [glob for name in group if name in known for glob in known[name].detects]
    if len(inputs) < len(group) or not known.keys() >= {*group, *tried} or not all(others):
        return None
    if any(glob == "**" or ".." in _segments(glob) for glob in (*content, *presence)):
        return None
    return Watched(tuple(dict.fromkeys(content)), tuple(dict.fromkeys(presence)))


def fingerprint(entries: Iterable[TreeEntry], watched: Watched) -> str | None:
    """The same for two sources only where all that is watched is the same.

    None where a symbolic link is among it or on the way to it: what such a link leads to is not watched.
    """
    content = _union(map(_whole, watched.content))
    presence = _union(map(_whole, watched.presence))
    way = _union(part for glob in (*watched.content, *watched.presence) for part in _way(glob))
    digest = hashlib.sha256()
    for path, mode, identity in entries:
        text = path.decode("utf-8", "surrogateescape")
        if mode == _SYMLINK and way.fullmatch(text):
            return None
        if content.fullmatch(text) or _ATTRIBUTES.fullmatch(text):
            digest.update(b"%o %s %s\0" % (mode, identity.encode(), path))
        elif presence.fullmatch(text):
            digest.update(b"%s\0" % path)
    return digest.hexdigest()


def matches(globs: Iterable[str]) -> Callable[[str], bool]:
    """Whether one of the globs takes a path, or a folder that it is in."""
    pattern = _union(map(_whole, globs))
    return lambda path: pattern.fullmatch(path) is not None


def _segments(glob: str) -> list[str]:
    return [segment for segment in glob.split("/") if segment not in {"", "."}]


def _union(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(patterns) or r"(?!)", re.DOTALL)


def _whole(glob: str) -> str:
    return f"{_joined(_segments(glob))}(?:/.*)?"


def _way(glob: str) -> list[str]:
    """What the glob matches, and every folder above that."""
    segments = _segments(glob)
    return [_joined(segments[:end]) for end in range(1, len(segments) + 1)] + [_whole(glob)]


def _joined(segments: Sequence[str]) -> str:
    *above, last = segments or [""]
    parts = ["(?:[^/]+/)*" if segment == "**" else f"{_segment(segment)}/" for segment in above]
    return "".join([*parts, ".+" if last == "**" else _segment(last)])


def _segment(segment: str) -> str:
    """One segment in fnmatch's language: ``*``, ``?``, ``[...]`` and ``[!...]``, none of which takes a slash."""
    found = re.findall(r"\[!?\]?[^\]]*\]|.", segment, re.DOTALL)
    return "".join(_piece(piece) for piece in found)


def _piece(piece: str) -> str:
    if len(piece) > 1:
        inner = piece[1:-1].replace("\\", "\\\\").replace("[", "\\[")
        negated = inner.startswith("!")
        inner = (inner[1:] if negated else inner).replace("^", "\\^").replace("]", "\\]")
        return f"[^/{inner}]" if negated else f"(?!/)[{inner}]"
    return {"*": "[^/]*", "?": "[^/]"}.get(piece, re.escape(piece))
