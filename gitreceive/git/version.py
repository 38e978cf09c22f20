"""Which git it takes."""

import re

from gitreceive.git.process import run_git

_OLDEST = (2, 32)  # June 2021: packing anew in parts; proc-receive hooks are since 2.29
OLDEST = ".".join(map(str, _OLDEST))


def version() -> str:
    """What git says of itself, empty where it says nothing. Raises UnavailableError where there is none."""
    return run_git(["version"]).stdout.decode("utf-8", "replace").strip()


def is_new_enough(said: str) -> bool:
    """Whether a git that says this of itself can be pushed to."""
    found = re.match(r"git version (\d+)\.(\d+)", said)
    return found is not None and (int(found[1]), int(found[2])) >= _OLDEST
