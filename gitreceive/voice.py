"""Heroku's dialect: ``----->`` for a step, seven spaces of detail, `` !`` for what is wrong."""

import threading
from collections.abc import Callable
from contextlib import suppress

from gitreceive.errors import UnavailableError
from gitreceive.ports import Log
from gitreceive.sanitise import plain

_STEP = "-----> "
_DETAIL = " " * 7
_MARK = " !     "


class Voice:
    """Says what a job does, line by line, into ``emit``. Thread-safe; whole lines only, but for output that ends without one. Names of
    other people's in what it says itself are made safe to show; what programs write is for the log book to make so.
    """

    def __init__(self, emit: Callable[[bytes], None]) -> None:
        self._emit = emit
        self._lock = threading.Lock()
        self._at_line_start = True

    def step(self, text: str) -> None:
        self._say(_STEP, text)

    def detail(self, text: str) -> None:
        self._say(_DETAIL, text)

    def warn(self, text: str) -> None:
        self._say(_MARK, text)

    def error(self, text: str, hint: str = "") -> None:
        self._say(_MARK, text)
        if hint:
            self._say(_MARK, hint)

    def write(self, chunk: bytes) -> None:
        """Output of a program, in any pieces: each line is indented as detail."""
        if not chunk:
            return
        with self._lock:
            out = bytearray()
            for line in chunk.splitlines(keepends=True):
                if self._at_line_start and line.strip(b"\r\n"):
                    out += _DETAIL.encode()
                out += line
                self._at_line_start = line.endswith(b"\n")
            self._emit(bytes(out))

    def _say(self, prefix: str, text: str) -> None:
        lines = [plain(line) for line in text.splitlines()] or [""]
        with self._lock:
            start = "" if self._at_line_start else "\n"
            self._emit((start + "".join(f"{prefix}{line}".rstrip() + "\n" for line in lines)).encode())
            self._at_line_start = True


class WhatCanBeSaid:
    """A log for what must go on although nobody can be told: what is lost where the log cannot be written is no error."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def step(self, text: str) -> None:
        with suppress(UnavailableError):
            self._log.step(text)

    def detail(self, text: str) -> None:
        with suppress(UnavailableError):
            self._log.detail(text)

    def warn(self, text: str) -> None:
        with suppress(UnavailableError):
            self._log.warn(text)

    def error(self, text: str, hint: str = "") -> None:
        with suppress(UnavailableError):
            self._log.error(text, hint)

    def write(self, chunk: bytes) -> None:
        with suppress(UnavailableError):
            self._log.write(chunk)
