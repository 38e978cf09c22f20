"""What the lifecycle itself says, between the lines that buildpacks write to the same stderr.

A remark is set off by a mark that the server chose for this build, so that it keeps its place among the output and no
buildpack's text is taken for one. Without a mark (on a developer's own machine) remarks are plain lines.
"""

import os
from collections.abc import Callable

KINDS = ("step", "detail", "warn", "error", "end")
SEPARATOR = b"\x1e"


class Talk:
    def __init__(self, mark: str, write: Callable[[bytes], object] | None = None) -> None:
        self._mark = mark.encode()
        self._write = write or _write_stderr

    def step(self, text: str) -> None:
        self._say("step", text)

    def detail(self, text: str) -> None:
        self._say("detail", text)

    def warn(self, text: str) -> None:
        self._say("warn", text)

    def error(self, text: str) -> None:
        self._say("error", text)

    def end(self) -> None:
        """Nothing more comes."""
        self._say("end", "")

    def _say(self, kind: str, text: str) -> None:
        clean = text.replace("\x1e", " ").encode(errors="replace")
        if self._mark:
            self._write(opening(self._mark) + kind.encode() + b" " + clean + SEPARATOR)
        elif kind != "end":
            self._write(clean + b"\n")


def opening(mark: bytes) -> bytes:
    """What a remark begins with; it goes on ``KIND text`` and ends with SEPARATOR."""
    return SEPARATOR + mark + SEPARATOR


def _write_stderr(content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(2, view) :]
