"""Slices: parts of the app's folder that get layers of their own, so that they are not sent again with each change (Buildpack
API, "launch.toml (TOML)").
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Slice:
    """``paths`` are files, folders and symbolic links in the app's folder, sorted, none within another."""

    title: str
    paths: tuple[str, ...]


def cut(app: Path, wanted: Sequence[Sequence[str]]) -> tuple[Slice, ...]:
    """What each list of globs takes of ``app``; a path goes to the first that takes it. Empty slices are left out."""
    taken: set[str] = set()
    found: list[Slice] = []
    for globs in wanted:
        paths = _outermost(path for glob in globs for path in _matches(app, glob))
        own = tuple(path for path in paths if not _is_within(path, taken) and not _holds(path, taken))
        if own:
            taken |= set(own)
            found.append(Slice(f"slice:{'+'.join(globs)}".replace("/", "%"), own))
    return tuple(found)


def _matches(app: Path, glob: str) -> Iterable[str]:
    for path in app.glob(glob):
        inside = path.relative_to(app)
        # what lies behind a symbolic link lies elsewhere
        if inside.parts and not any((app / parent).is_symlink() for parent in inside.parents):
            yield inside.as_posix()


def _outermost(paths: Iterable[str]) -> tuple[str, ...]:
    kept: set[str] = set()
    for path in sorted(set(paths), key=lambda path: path.count("/")):
        if not _is_within(path, kept):
            kept.add(path)
    return tuple(sorted(kept))


def _is_within(path: str, others: set[str]) -> bool:
    parts = path.split("/")
    return any("/".join(parts[: at + 1]) in others for at in range(len(parts)))


def _holds(path: str, others: set[str]) -> bool:
    return any(other.startswith(f"{path}/") for other in others)
