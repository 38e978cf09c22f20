"""The Procfile of a source that no buildpack reads: one with a Dockerfile, or one that is only looked at. Pure."""

import re

from gitreceive.errors import BuildError, UsageError
from gitreceive.model import ProcessType

_LINE = re.compile(r"([^\s:#][^:]*):[ \t]*(.*)")
_HINT = "each line is NAME: COMMAND, such as worker: python worker.py; lines that begin with # are left out"


def parse_procfile(content: bytes) -> tuple[ProcessType, ...]:
    """Its process types in the order of the file, each run by ``/bin/sh``.

    Raises BuildError, naming the line, on one that is no ``NAME: COMMAND`` or names a process type a second time.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BuildError("Procfile is not UTF-8", hint="save it as UTF-8") from error
    processes: dict[str, ProcessType] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        process = _process(stripped, number)
        if process.name in processes:
            raise BuildError(f"Procfile line {number} names {process.name} a second time", hint=_HINT)
        processes[process.name] = process
    return tuple(processes.values())


def _process(line: str, number: int) -> ProcessType:
    match = _LINE.fullmatch(line)
    if match is None or not match[2].strip():
        raise BuildError(f"Procfile line {number} is not understood: {line[:60]!r}", hint=_HINT)
    try:
        name = ProcessType.parse_name(match[1].strip())
    except UsageError as error:
        raise BuildError(f"Procfile line {number}: {error.message}", hint=error.hint) from error
    return ProcessType(name, ("/bin/sh", "-c", match[2].strip()))
