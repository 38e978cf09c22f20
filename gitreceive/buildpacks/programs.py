"""What can be told of a buildpack's programs without running them. Pure but for reading the folder."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from gitreceive.buildpacks.finding import ERROR, WARNING, Finding
from gitreceive.buildpacks.inputs import matches

# `[ -f NAME ]` and its kind in a shell script, NAME being a plain path inside the app
_LOOKS_FOR = re.compile(
    r"(?:\[\[?|\btest|&&|\|\|)\s+(?:!\s+)?-[defrsx]\s+([\"']?)([A-Za-z0-9_.][\w./-]*)\1(?=[\s\];)]|$)"
)
_ENV_WITH_ARGUMENTS = re.compile(rb"#!\s*\S*/env\s+([^-\s]\S*\s+\S.*)")
_SHEBANG, _ELF = b"#!", b"\x7fELF"
_READ = 256 << 10


def sound(folder: Path, needed: Sequence[str], others: Sequence[str] = ()) -> Iterator[Finding]:
    """Whether each program can be run. The ``needed`` must be there; ``others`` may."""
    for name in (*needed, *others):
        path = folder / name
        if path.is_file():
            yield from _runs(path, name)
        elif name in needed:
            wanted = " and ".join(needed)
            yield Finding(ERROR, name, 0, f"there is no such program: such a buildpack has {wanted}")


def undeclared(folder: Path, name: str, key: str, globs: Sequence[str] | None) -> Iterator[Finding]:
    """Files that a shell program looks for and that ``metadata.gitreceive.KEY``, of which ``globs`` are the value, does not name."""
    if not globs or "**" in globs or not (folder / name).is_file():
        return
    watched = matches(globs)
    for number, wanted in _looked_for(_beginning(folder / name)):
        if not watched(wanted):
            message = f"it looks for {wanted}, which metadata.gitreceive.{key} does not name"
            yield Finding(WARNING, name, number, message)


def _runs(path: Path, name: str) -> Iterator[Finding]:
    if not path.stat().st_mode & 0o100:
        yield Finding(ERROR, name, 0, f"it is not executable: chmod +x {name}")
    first = _beginning(path).partition(b"\n")[0]
    several = _ENV_WITH_ARGUMENTS.match(first)
    if first.startswith(_SHEBANG) and first.endswith(b"\r"):
        yield Finding(
            ERROR,
            name,
            1,
            "its lines end with CR LF, so its interpreter is not found: save it with LF alone",
        )
    elif several:
        words = several[1].decode(errors="replace")
        yield Finding(
            ERROR,
            name,
            1,
            f"env would look for one program of the name {words!r}: say #!/usr/bin/env -S {words}",
        )
    elif not first.startswith((_SHEBANG, _ELF)):
        yield Finding(ERROR, name, 1, "it says no interpreter: begin it with such as #!/usr/bin/env bash")


def _looked_for(content: bytes) -> Iterator[tuple[int, str]]:
    if not content.startswith(_SHEBANG) or b"sh" not in content.partition(b"\n")[0]:
        return
    seen: set[str] = set()
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
        if line.lstrip().startswith("#"):
            continue
        for _, name in _LOOKS_FOR.findall(line):
            plain = name.removeprefix("./").rstrip("/")
            if plain not in seen:
                seen.add(plain)
                yield number, plain


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_READ)
