"""Sources with a Dockerfile: which they are, and what can be told of one without building it. Pure."""

import re
from collections.abc import Iterable

from gitreceive.model import SourceEntry

DOCKERFILE = "Dockerfile"

_EXPOSE = re.compile(r"EXPOSE\s+(\d{1,5})(?:/tcp)?\s*", re.IGNORECASE)
_INSTRUCTION = re.compile(r"\s*(FROM|EXPOSE)\s", re.IGNORECASE)


def takes(root: Iterable[SourceEntry]) -> bool:
    """Whether a source with these names at its root is built by Docker, unless somebody chose buildpacks."""
    return any(entry.name == DOCKERFILE and entry.kind in {"file", "executable"} for entry in root)


def exposed_port(text: str) -> int | None:
    """The one port that the last stage names by EXPOSE; None where there are several, none, or a variable.

    What a base image exposes is not seen here.
    """
    lines = [line.strip() for line in text.splitlines() if _INSTRUCTION.match(line)]
    last = max((at for at, line in enumerate(lines) if line[:4].upper() == "FROM"), default=-1)
    exposed = lines[last + 1 :]
    match = _EXPOSE.fullmatch(exposed[0]) if len(exposed) == 1 else None
    return int(match[1]) if match else None
