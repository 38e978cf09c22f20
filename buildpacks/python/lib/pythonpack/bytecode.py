"""Compile what is installed, so that no process does it again at every boot.

Image layers carry one fixed time for all files, so bytecode that is checked by time would always be stale: it is
compiled as *unchecked hash* bytecode (PEP 552). Run as a program by the interpreter that will use the result.
"""

import importlib.util
import py_compile
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path


def compile_changed(folder: Path) -> int:
    """Compile each module under ``folder`` whose bytecode is missing or of another source. Return how many."""
    stale = [path for path in sorted(folder.rglob("*.py")) if path.is_file() and not _is_current(path)]
    if not stale:
        return 0
    with ProcessPoolExecutor() as pool:
        return sum(pool.map(_compile, map(str, stale), chunksize=16))


def _is_current(source: Path) -> bool:
    try:
        with open(importlib.util.cache_from_source(str(source)), "rb") as file:
            header = file.read(16)
    except OSError:
        return False
    flags = int.from_bytes(header[4:8], "little")
    expected = importlib.util.source_hash(source.read_bytes())
    return header[:4] == importlib.util.MAGIC_NUMBER and flags == 1 and header[8:] == expected


def _compile(source: str) -> int:
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    try:
        py_compile.compile(source, doraise=True, invalidation_mode=mode)
    except (py_compile.PyCompileError, ValueError):
        return (
            0  # packages ship templates and other Pythons' syntax; importing those fails with or without this
        )
    return 1


if __name__ == "__main__":
    compile_changed(Path(sys.argv[1]))
