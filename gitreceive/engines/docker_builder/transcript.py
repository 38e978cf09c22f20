"""What a build writes, on its way to the log: secrets struck out, the lifecycle's remarks told from programs' output."""

import re

from gitreceive.lifecycle import secrets
from gitreceive.lifecycle.talk import KINDS, SEPARATOR, opening
from gitreceive.ports import Log

_TAIL = 16 << 10
_REMARK_LIMIT = 64 << 10
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_ERROR = re.compile(r"error|fatal|failed|not found|cannot|could not|no such", re.IGNORECASE)


class Transcript:
    """Takes the stream in any pieces. ``ended`` once the lifecycle has said its last word, which ``mark`` tells from programs'
    output; ``step`` is the last that it began.
    """

    def __init__(self, log: Log, mark: str, wanted: tuple[bytes, ...]) -> None:
        self.mark = mark
        self.ended = False
        self.step = ""
        self._log = log
        self._opening = opening(mark.encode())
        self._redactor = secrets.Redactor(wanted)
        self._held = b""
        self._tail = b""

    def feed(self, chunk: bytes) -> None:
        self._split(self._redactor.feed(chunk))

    def end(self) -> None:
        """Nothing more comes: what was held back is written."""
        self._split(self._redactor.end())
        held, self._held = self._held, b""
        self._output(held)

    @property
    def tail(self) -> str:
        """The end of the output since the last step, without colours."""
        return _ESCAPES.sub("", self._tail.decode(errors="replace"))

    def last_error(self) -> tuple[str, str]:
        """What went wrong, by the output since the last step, and its hint: lines ``error: …`` and ``hint: …`` where there are
        such, else the last line that sounds like an error, else the last one; empty where there is none.
        """
        lines = [line.strip()[:200] for line in self.tail.splitlines() if line.strip()]
        for at in range(len(lines) - 1, -1, -1):
            if lines[at].startswith("error: "):
                hints = [line for line in lines[at + 1 :] if line.startswith("hint: ")]
                return lines[at].removeprefix("error: "), (hints or [""])[0].removeprefix("hint: ")
        telling = [line for line in lines[-30:] if _ERROR.search(line)]
        return (telling or lines or [""])[-1], ""

    def _split(self, content: bytes) -> None:
        window = self._held + content
        self._held = b""
        while window:
            before, found, rest = window.partition(self._opening)
            if not found:
                cut = len(window) - secrets.overlap(window, self._opening)
                self._output(window[:cut])
                self._held = window[cut:]
                return
            self._output(before)
            remark, closed, after = rest.partition(SEPARATOR)
            if not closed and len(rest) < _REMARK_LIMIT:
                self._held = found + rest
                return
            self._remark(remark)
            window = after

    def _remark(self, remark: bytes) -> None:
        kind, _, text = remark.decode(errors="replace").partition(" ")
        if kind == "end":
            self.ended = True
        elif kind in KINDS:
            if kind == "step":
                self._tail, self.step = b"", text
            getattr(self._log, kind)(text)

    def _output(self, content: bytes) -> None:
        if content:
            self._tail = (self._tail + content)[-_TAIL:]
            self._log.write(content)
