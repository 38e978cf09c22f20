"""The app's folder in several layers, as ``slices`` in ``launch.toml`` say. Globs are those of Go's ``filepath.Match``."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from gitreceive.lifecycle.layers import ContractError


def split(app: Path, slices: Sequence[Sequence[str]]) -> list[frozenset[str]]:
    """The paths below ``app`` of each slice that has any; what an earlier slice took is in none after it. Folders that
    hold something are not among them. Raises ContractError for a glob that leads out of ``app`` or is none.
    """
    wanted = [[_segments(glob, app) for glob in globs] for globs in slices]
    found: list[set[str]] = [set() for _ in slices]
    for path in _leaves(app) if slices else ():
        at = next((n for n, globs in enumerate(wanted) if any(_takes(glob, path) for glob in globs)), None)
        if at is not None:
            found[at].add(path)
    return [frozenset(paths) for paths in found if paths]


def check(slices: Sequence[Sequence[str]], app: Path) -> None:
    """Raise ContractError for what ``split`` would."""
    for globs in slices:
        for glob in globs:
            _segments(glob, app)


def _leaves(app: Path) -> Iterator[str]:
    """Files, links, and folders that are empty."""
    for current, folders, files in os.walk(app):
        inside = os.path.relpath(current, app)
        links = [name for name in folders if os.path.islink(os.path.join(current, name))]
        names = files + links
        if not names and not folders and inside != ".":
            yield inside
        for name in names:
            yield os.path.normpath(os.path.join(inside, name))


def _segments(glob: str, app: Path) -> list[re.Pattern[str]]:
    inside = os.path.relpath(glob, app) if os.path.isabs(glob) else os.path.normpath(glob)
    if inside == os.pardir or inside.startswith(f"{os.pardir}{os.sep}"):
        raise ContractError(f"launch.toml: slice {glob!r} leads out of the app's folder")
    return [] if inside == "." else [_pattern(segment, glob) for segment in inside.split(os.sep)]


def _takes(glob: Sequence[re.Pattern[str]], path: str) -> bool:
    """A glob that matches a folder takes all below."""
    names = path.split(os.sep)
    return len(glob) <= len(names) and all(p.fullmatch(n) for p, n in zip(glob, names, strict=False))


_TOKEN = re.compile(
    r"(?P<any>\*)|(?P<one>\?)|\[(?P<not>\^?)(?P<set>(?:\\.|[^\]\\])+)\]|\\(?P<plain>.)|(?P<char>[^\[\\])",
    re.DOTALL,
)


def _pattern(segment: str, glob: str) -> re.Pattern[str]:
    made, at = "", 0
    while at < len(segment):
        token = _TOKEN.match(segment, at)
        if token is None:
            raise ContractError(f"launch.toml: slice {glob!r} is not a glob")
        made += _translated(token)
        at = token.end()
    try:
        return re.compile(made, re.DOTALL)
    except re.error as error:
        raise ContractError(f"launch.toml: slice {glob!r} is not a glob: {error}") from error


def _translated(token: re.Match[str]) -> str:
    if token["any"]:
        return ".*"
    if token["one"]:
        return "."
    if token["set"] is not None:
        return f"[{token['not']}{_escaped(token['set'])}]"
    return re.escape(token["plain"] or token["char"])


def _escaped(content: str) -> str:
    """A character class: only the hyphen and the backslash mean the same to Go as here."""
    return re.sub(r"(?<!\\)([\[&~|^])", r"\\\1", content)
