"""Run in app images of classic buildpacks, as an ``exec.d`` program: sources ``.profile.d/*.sh`` and ``.profile`` in the app's home.

It is copied into a layer and imports nothing of this package. What the scripts change in the environment goes to file descriptor
3 as TOML (Buildpack API, "exec.d"); so it also reaches processes that no shell starts. What they print goes to the process's
output; shell functions and the working folder are not handed on.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping

MARK = "GITRECEIVE_PROFILE_D"

_MEMORY_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_PLAUSIBLE = 1 << 40  # bytes; version 1 writes an enormous number where there is no limit
_MEGABYTE = 1 << 20
_WEB_MEMORY = 256  # megabytes for each web process, as Heroku's Python buildpack counts

# the environment leaves through a file in memory, not a pipe: what a script leaves in the background would hold that open
_SOURCE = """
for GITRECEIVE_FILE in .profile.d/*.sh .profile; do
  [ ! -f "$GITRECEIVE_FILE" ] || . "./$GITRECEIVE_FILE"
done
unset GITRECEIVE_FILE
exec /usr/bin/env -0 >"/proc/self/fd/$GITRECEIVE_FD"
"""
_SHELLS_OWN = {"_", "SHLVL", "PWD", "OLDPWD", "GITRECEIVE_FD"}


def main(environ: Mapping[str, str], home: str) -> int:
    """Exit code 0; another where bash cannot be run or a script ends it."""
    if environ.get(MARK):
        return 0  # another classic buildpack of this image has done it
    before = {**environ, **_memory(environ)}
    after = source(before, home)
    if after is None:
        sys.stderr.write("a script in .profile.d or .profile ended the shell\n")
        return 1
    after = {**after, **_concurrency(after, home), MARK: "1"}
    changes = {name: value for name, value in after.items() if environ.get(name) != value}
    with open(3, "w", encoding="utf-8", errors="replace") as out:
        out.write(as_toml(changes))
    return 0


def source(env: Mapping[str, str], home: str) -> dict[str, str] | None:
    """The environment after the scripts; None where one of them ended the shell."""
    with open(os.memfd_create("environment"), "rb") as file:
        values = {**env, "GITRECEIVE_FD": str(file.fileno())}
        subprocess.run(["bash", "-c", _SOURCE], cwd=home, env=values, pass_fds=[file.fileno()], check=False)
        file.seek(0)
        content = file.read()
    if not content:
        return None
    pairs = (part.partition("=") for part in content.decode(errors="replace").split("\0") if part)
    return {name: value for name, _, value in pairs if name not in _SHELLS_OWN}


def as_toml(values: Mapping[str, str]) -> str:
    """One line a variable."""
    return "".join(f"{_string(name)} = {_string(value)}\n" for name, value in sorted(values.items()))


def memory_limit(files: tuple[str, ...] = _MEMORY_FILES) -> int | None:
    """Bytes that this container may use; None where there is no limit."""
    for name in files:
        try:
            with open(name, encoding="ascii") as file:
                limit = int(file.read())
        except (OSError, ValueError):
            continue  # "max", or the other version of cgroups
        return limit if limit < _PLAUSIBLE else None
    return None


def _memory(environ: Mapping[str, str]) -> dict[str, str]:
    """Published profile scripts look at version 1 of cgroups only: they are told."""
    limit = memory_limit()
    if limit is None or "MEMORY_AVAILABLE" in environ:
        return {}
    return {"MEMORY_AVAILABLE": str(limit // _MEGABYTE)}


def _concurrency(env: Mapping[str, str], home: str) -> dict[str, str]:
    """``WEB_CONCURRENCY`` where a buildpack meant to set it from the memory, and found no limit."""
    limit = memory_limit()
    wanted = os.path.exists(os.path.join(home, ".profile.d", "WEB_CONCURRENCY.sh"))
    if limit is None or not wanted or "WEB_CONCURRENCY" in env:
        return {}
    by_memory = max(1, limit // _MEGABYTE // _WEB_MEMORY)
    by_processors = 2 * len(os.sched_getaffinity(0)) + 1
    return {"WEB_CONCURRENCY": str(min(by_memory, by_processors))}


def _string(text: str) -> str:
    # JSON's escapes are a subset of TOML's, but for DEL
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


if __name__ == "__main__":
    sys.exit(main(os.environ, os.environ.get("HOME", "/app")))
