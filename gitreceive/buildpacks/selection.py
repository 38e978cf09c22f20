"""Which files of a source reach its build: ``include`` and ``exclude`` of a project.toml, read as git reads a .gitignore. Pure."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gitreceive.errors import SourceError

Keep = Callable[[str], bool]


def selection(include: Sequence[str], exclude: Sequence[str]) -> Keep:
    """Whether a path, which is a file's or a symbolic link's and relative to the root, is kept. Raises SourceError.

    What lies in a folder that is matched is matched, whatever later lines say (gitignore(5)).
    """
    name, lines = ("include", include) if include else ("exclude", exclude)
    patterns = [pattern for line in lines if (pattern := _parse(line, name))]

    def matched(path: str) -> bool:
        segments = path.split("/")
        folders = ("/".join(segments[:end]) for end in range(1, len(segments)))
        return any(_decide(patterns, folder, folder=True) for folder in folders) or _decide(
            patterns, path, folder=False
        )

    return matched if include else lambda path: not matched(path)


@dataclass(frozen=True)
class _Pattern:
    expression: re.Pattern[str]
    negated: bool
    folders_only: bool


def _decide(patterns: Sequence[_Pattern], path: str, *, folder: bool) -> bool:
    """What the last pattern says that matches it."""
    for pattern in reversed(patterns):
        if (folder or not pattern.folders_only) and pattern.expression.fullmatch(path):
            return not pattern.negated
    return False


def _parse(line: str, name: str) -> _Pattern | None:
    text = re.sub(r"(?<!\\)((?:\\\\)*) +$", r"\1", line)  # blanks at the end count only after a backslash
    if not text or text.startswith("#"):
        return None
    negated = text.startswith("!")
    text = text[1:] if negated else text
    folders_only = text.endswith("/")
    text = text.rstrip("/") if folders_only else text
    anchored = "/" in text
    try:
        expression = re.compile(_expression(text.lstrip("/"), anchored=anchored), re.DOTALL)
    except re.error as error:
        raise SourceError(
            f"project.toml: [io.buildpacks] {name}: {line[:80]!r} is no pattern: {error}",
            hint="write it as in a .gitignore",
        ) from error
    return _Pattern(expression, negated, folders_only)


def _expression(text: str, *, anchored: bool) -> str:
    """What stands between two ``**`` is taken where it is first found, and that is not tried again: so no pattern takes
    more than its length times the path's.
    """
    chunks: list[list[str]] = [[]]
    for segment in text.split("/") if anchored else ["**", text]:
        if segment == "**":
            chunks.append([])
        else:
            chunks[-1].append(_segment(segment))
    first, *others = chunks
    if not others:
        return "/".join(first)
    *between, last = others
    found = "".join(f"(?>(?:[^/]+/)*?{'/'.join(chunk)}/)" for chunk in between if chunk)
    end = f"(?:[^/]+/)*{'/'.join(last)}" if last else ".+"
    return "".join(f"{segment}/" for segment in first) + found + end


_PIECE = re.compile(r"\\.|\[[!^]?\]?(?:\\.|[^\]\\])*\]|\*+|.", re.DOTALL)


def _segment(segment: str) -> str:
    runs: list[str] = [""]  # what stands between two stars
    for piece in _PIECE.findall(segment):
        if piece.startswith("*"):
            runs.append("")
        else:
            runs[-1] += _piece(piece)
    first, *others = runs
    if not others:
        return first
    *between, last = others
    return first + "".join(f"(?>[^/]*?{run})" for run in between) + f"[^/]*{last}"


def _piece(piece: str) -> str:
    if piece.startswith("\\") and len(piece) == 2:
        return re.escape(piece[1])
    if piece.startswith("[") and len(piece) > 1:
        negated = piece[1] in "!^"
        inner = piece[2 if negated else 1 : -1]
        inner = re.sub(r"\\(.)", lambda found: found[1], inner)
        inner = "".join(one if one == "-" else re.escape(one) for one in inner)
        return f"[^/{inner}]" if negated else f"(?!/)[{inner}]"
    return "[^/]" if piece == "?" else re.escape(piece)
