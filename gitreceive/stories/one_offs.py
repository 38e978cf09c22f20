"""How a process is started that somebody attends, whatever runs it."""

import secrets
import shlex
import signal
import string
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.resources import files

from gitreceive.lifecycle import attended
from gitreceive.model import Image, Terminal
from gitreceive.ports import Attachment, Output

_LAUNCHER = "/cnb/lifecycle/launcher"
_PYTHON = "/usr/bin/python3"  # which every run image has, as the launcher is written in it
_ALPHABET = string.ascii_lowercase + string.digits
_CHUNK = 32768


def new_name() -> str:
    return "run-" + "".join(secrets.choice(_ALPHABET) for _ in range(6))


def by_buildpacks(image: Image) -> bool:
    """The image has the launcher, and so a Python; one from a Dockerfile has what its author put there."""
    return image.buildpacks != ("dockerfile",)


def command_line(image: Image, words: Sequence[str]) -> tuple[str, ...]:
    """What the container starts: through the launcher, so that the process has the environment of the buildpacks and the profile scripts.

    Several words are taken as they are. One alone is a line for the shell, so that ``'a && b'`` does what it says.
    """
    line = words[0] if len(words) == 1 else shlex.join(words)
    if by_buildpacks(image):
        return (_LAUNCHER, line)
    return ("/bin/sh", "-c", line) if len(words) == 1 and not _is_plain(line) else tuple(words)


def kept(command: Sequence[str]) -> tuple[str, ...]:
    """The command behind the keeper, which is spoken to with ``Kept``."""
    return (_PYTHON, "-ISBc", _source(), *command)


class Kept:
    """An Attachment by frames on another one, whose process is a ``kept`` command."""

    def __init__(self, wire: Attachment, terminal: Terminal | None) -> None:
        """Begins: the process starts now, and so nothing that it writes is missed."""
        self._wire = wire
        self._terminal = terminal
        name = terminal.name if terminal else None
        size = terminal or Terminal()
        wire.write(attended.begin_frame(name, size.columns, size.rows))

    def output(self) -> Iterator[Output]:
        return self._wire.output()

    def write(self, chunk: bytes) -> None:
        for start in range(0, len(chunk), _CHUNK):
            self._wire.write(attended.frame(attended.INPUT, chunk[start : start + _CHUNK]))

    def end_input(self) -> None:
        if self._terminal is None:
            self._wire.write(attended.frame(attended.END_OF_INPUT))

    def resize(self, columns: int, rows: int) -> None:
        if self._terminal is not None:
            self._wire.write(attended.resize_frame(columns, rows))

    def interrupt(self) -> None:
        self._wire.write(attended.frame(attended.SIGNAL, bytes([signal.SIGINT])))

    def exit_code(self) -> int:
        return self._wire.exit_code()


@lru_cache(maxsize=1)
def _source() -> str:
    return files("gitreceive.lifecycle").joinpath("attended.py").read_text("utf-8")


def _is_plain(line: str) -> bool:
    return not set(line) & set(" \t\n;&|<>()$`\\\"'*?[]#~=%!{}")
