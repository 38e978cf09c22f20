"""Pushes that go on beside a test."""

import subprocess
import time
from pathlib import Path

from tests.receive.conftest import Clone, Place


class pushing:  # noqa: N801  reads as a verb
    """A push that goes on beside the test."""

    def __init__(self, clone: Clone) -> None:
        self._process = subprocess.Popen(
            ["git", "push", clone.place.url(), "main"],
            cwd=clone.path,
            env=clone.place.environment(clone.user),
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> "subprocess.Popen[str]":
        return self._process.__enter__()

    def __exit__(self, *error: object) -> None:
        if error[0] is not None:
            self._process.kill()
        self._process.__exit__(None, None, None)


def until(true: "object", seconds: float = 10) -> None:
    assert callable(true)
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.02)


def processes_of(place: Place) -> list[str]:
    """Command lines of git and hooks that work on the place's repositories."""
    lines = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            if f"{place.settings.data_dir}" in line and ("receive-pack" in line or "hooks/" in line):
                lines.append(line)
    return lines
