"""One process more of a release, for as long as it takes: what is asked for, and what is told of it."""

import re
from dataclasses import dataclass, field
from datetime import datetime

from gitreceive.errors import UsageError
from gitreceive.model.names import UserName
from gitreceive.model.runtime import Limits

ONE_OFF_PROCESS = "run"  # the process type that logs show

_NAME = re.compile(r"run-[a-z0-9]{5,12}", re.ASCII)
_TERMINAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,40}", re.ASCII)
_LONGEST_SIDE = 10_000


@dataclass(frozen=True)
class Terminal:
    """What the client's terminal is called (terminfo), and its size in characters."""

    name: str = "xterm"
    columns: int = 80
    rows: int = 24

    @classmethod
    def of(cls, name: str, columns: int, rows: int) -> "Terminal":
        """Odd values are put right: a terminal that says nonsense of itself is a plain one."""
        sized = 0 < columns <= _LONGEST_SIDE and 0 < rows <= _LONGEST_SIDE
        return cls(
            name if _TERMINAL.fullmatch(name) else "xterm", columns if sized else 80, rows if sized else 24
        )


@dataclass(frozen=True)
class OneOff:
    """What somebody asks to be run. ``command`` is what the container starts, word for word.

    ``kept``: the container may be given its input in frames (``lifecycle/attended.py``), as its image has a Python.
    """

    name: str
    command: tuple[str, ...]
    line: str  # what was typed, for people
    user: UserName
    seconds: int  # that it may take at most
    kept: bool
    terminal: Terminal | None = None  # None: three pipes
    limits: Limits = field(default_factory=Limits)  # what is not said is as for the app's processes
    entry: str = ""  # of cron, where the clock has started it and nobody by hand

    @staticmethod
    def parse_name(text: str) -> str:
        """Raise UsageError unless ``text`` can name a one-off process."""
        if not _NAME.fullmatch(text):
            raise UsageError(
                f"{text[:60]!r} names no one-off process", hint="it looks like run-x7k2p: gitreceive run list"
            )
        return text


@dataclass(frozen=True)
class OneOffStatus:
    """One that runs, or has ended and is kept for its log."""

    name: str
    release: int
    state: str  # starting, up, ended, failed
    user: str
    command: str
    started: datetime
    detached: bool
    exit_code: int | None = None
    reason: str = ""
