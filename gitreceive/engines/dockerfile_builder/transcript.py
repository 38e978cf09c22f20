"""Docker's account of a build, entry by entry: told as it comes, and judged at its end."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from gitreceive import dockerd
from gitreceive.errors import BrokenOffError, BuildError, BuildLimitError
from gitreceive.ports import Log

_STEP = re.compile(r"Step (\d+/\d+) : (.*)")
_NOISE = re.compile(r"^( ---> |Removing intermediate container |Successfully (built|tagged) )")
_CACHED = " ---> Using cache"
_KILLED = 137  # 128 + SIGKILL


class Transcript:
    """What one build says. ``memory`` is its limit, for the words of the error."""

    def __init__(self, log: Log, memory: str) -> None:
        self._log = log
        self._memory = memory
        self._step = ""
        self._after_step = False

    def follow(self, entries: Iterable[Mapping[str, Any]]) -> str | None:
        """The id of the image; None where the account breaks off. Raises BuildError naming the step, BuildLimitError."""
        image: str | None = None
        for entry in entries:
            if "error" in entry:
                raise self._failed(entry)
            if "stream" in entry:
                self._tell(str(entry["stream"]))
            elif "ID" in (entry.get("aux") or {}):
                image = str(entry["aux"]["ID"])
            elif "status" in entry and not entry.get("progressDetail"):
                self._log.write(f"{entry['status']}\n".encode())
        return image

    def _tell(self, text: str) -> None:
        """The steps and what they print; not Docker's own ids. A step's line ends in an entry of its own."""
        step = _STEP.match(text)
        if step:
            self._step = f"{step[1]} ({step[2].strip()[:80]})"
            self._log.detail(text.rstrip("\n"))
        elif text.startswith(_CACHED):
            self._log.detail("(as before)")
        elif not (self._after_step and text == "\n") and not _NOISE.match(text):
            self._log.write(text.encode())
        self._after_step = step is not None and not text.endswith("\n")

    def _failed(self, entry: Mapping[str, Any]) -> BuildError | BrokenOffError:
        detail = entry.get("errorDetail") or {}
        code = detail.get("code")
        step = f"Dockerfile step {self._step}" if self._step else "the Dockerfile"
        if code == _KILLED:
            return BuildLimitError(
                f"{step} was killed (exit {code}), most likely at its memory limit of {self._memory}",
                hint="let it use less, or raise build.memory",
            )
        said = str(entry["error"]).strip()
        if not code and dockerd.is_passing(said):
            return BrokenOffError(f"{step} broke off: {said}", hint=dockerd.PULL_HINT)
        hint = "its output is above" if code else "see the line of the Dockerfile"
        if dockerd.no_room(said):
            hint = dockerd.NO_ROOM_HINT
        return BuildError(f"{step} failed: {f'exit {code}' if code else said}", hint=hint)
