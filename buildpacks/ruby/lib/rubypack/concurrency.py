"""WEB_CONCURRENCY at launch: as many workers as the container's memory limit has room for.

A layer carries this file as a program of its ``exec.d``, which starts with every container: so it imports next to nothing. Buildpacks
that carry it carry it byte for byte the same; ``tests/bundled/test_folders.py`` compares the copies.
"""

import os
import sys

_MEMORY = ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes")  # cgroup v2, v1
_NO_LIMIT = 1 << 50  # without a limit, cgroup v1 says a very large number


def follow_memory(layer: "os.PathLike[str]", *, megabytes: int, without_limit: int) -> None:
    """Give a launch layer the program. ``megabytes`` is what a worker is reckoned to take; where there is no memory limit,
    there are ``without_limit`` workers.
    """
    folder = os.path.join(layer, "exec.d")
    program = os.path.join(folder, "web-concurrency")
    os.makedirs(folder, exist_ok=True)
    with open(__file__, encoding="utf-8") as source, open(program, "w", encoding="utf-8") as file:
        file.write(f"#!/usr/bin/python3 -ISB\n{source.read()}\n\ntell({megabytes}, {without_limit})\n")
    os.chmod(program, 0o755)


def tell(megabytes: int, without_limit: int) -> None:
    """Write WEB_CONCURRENCY to file descriptor 3 as TOML (Buildpack spec, "Exec.d"), unless it is set.

    WEB_MEMORY in the environment, in megabytes, counts in place of ``megabytes``.
    """
    if os.environ.get("WEB_CONCURRENCY", "").strip():
        return
    asked = os.environ.get("WEB_MEMORY", "").strip()
    if asked.isdecimal() and int(asked):
        megabytes = int(asked)
    elif asked:
        sys.stderr.write(
            f"WEB_MEMORY is {asked[:40]!r}, which is no number of megabytes: {megabytes} counts\n"
        )
    memory = memory_limit()
    count = workers(memory, cpus(), megabytes) if memory else without_limit
    os.write(3, f'WEB_CONCURRENCY = "{count}"\n'.encode())


def workers(memory: int, cpus: int, megabytes: int) -> int:
    """What fits into ``memory`` bytes, but not more than keep the CPUs busy, and one at least."""
    return max(1, min(memory // (megabytes << 20), 2 * cpus + 1))


def memory_limit(root: str = "/") -> "int | None":
    """Bytes; None where there is no limit, or none can be read."""
    for name in _MEMORY:
        text = _read(root, name)
        if text.isdecimal() and int(text) < _NO_LIMIT:
            return int(text)
    return None


def cpus(root: str = "/") -> int:
    """Those that this process may run on, or its quota of them, whichever is less."""
    there = len(os.sched_getaffinity(0))
    quota, _, period = _read(root, "sys/fs/cgroup/cpu.max").partition(" ")
    if not quota:
        quota, period = (_read(root, f"sys/fs/cgroup/cpu/cpu.cfs_{name}_us") for name in ("quota", "period"))
    if quota.isdecimal() and period.isdecimal() and int(period):
        there = min(there, -(-int(quota) // int(period)))
    return max(1, there)


def _read(root: str, name: str) -> str:
    try:
        with open(os.path.join(root, name), encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""
