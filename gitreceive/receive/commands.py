"""What a client asks for over SSH, parsed once and strictly. Nothing here, and nothing behind it, passes through a shell."""

import re
import shlex
from dataclasses import dataclass

from gitreceive.errors import UsageError
from gitreceive.model import AppName

_LONGEST = 64 << 10  # bytes of a command
_GIT = re.compile(r"git[- ](receive-pack|upload-pack|upload-archive) (.*)", re.DOTALL)
_PATH = re.compile(r"/?([^/'\"\\\s]+?)(?:\.git)?/?", re.ASCII)
_GIT_VERSION = re.compile(r"version=[012]", re.ASCII)


@dataclass(frozen=True)
class GitCommand:
    """``git push`` asks for ``receive-pack``, ``git fetch`` and ``git clone`` for ``upload-pack``."""

    service: str
    app: AppName


@dataclass(frozen=True)
class CliCommand:
    """One command of the command line, its words as the client's user wrote them."""

    argv: tuple[str, ...]


@dataclass(frozen=True)
class Greeting:
    """No command: somebody tries the connection."""


Command = GitCommand | CliCommand | Greeting


def parse(text: str | None) -> Command:
    """The command in an SSH exec request; None is a request for a shell.

    The grammar for git is exactly ``git-receive-pack '<app>(.git)?'`` and the same with ``git-upload-pack``, with or without
    quotes and a leading slash (``ssh://host/app`` sends one). All else is split into words as POSIX shells do, with no
    expansion. Raises UsageError.
    """
    if text is None or not text.strip(" "):
        return Greeting()
    if len(text.encode("utf-8", "surrogatepass")) > _LONGEST:
        raise UsageError("the command is too long", hint=f"at most {_LONGEST >> 10} KiB are taken")
    if any(ord(c) < 0x20 and c != "\t" or c == "\x7f" for c in text):
        raise UsageError("the command holds a control character", hint="write one command on one line")
    asked = _GIT.fullmatch(text)
    return _git_command(asked[1], asked[2]) if asked else CliCommand(_words(text))


def git_protocol(value: str | None) -> str | None:
    """The one variable that is taken from a client: GIT_PROTOCOL, and only a plain version of it (git, protocol-v2)."""
    return value if value is not None and _GIT_VERSION.fullmatch(value) else None


def _git_command(service: str, argument: str) -> GitCommand:
    if service == "upload-archive":
        raise UsageError("git archive --remote is not served", hint="clone the app, then archive the clone")
    words = _words(argument)
    found = _PATH.fullmatch(words[0]) if len(words) == 1 else None
    if not found:
        raise UsageError(
            f"{argument[:60]!r} names no app", hint="the remote is ssh://git@HOST:PORT/APP, with nothing more"
        )
    return GitCommand(service, AppName.parse(found[1]))


def _words(text: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(text, comments=False, posix=True))
    except ValueError as error:
        raise UsageError(f"the command is not understood: {error}", hint="close the quotes") from None
    if not words:
        raise UsageError("the command is empty", hint="try: help")
    return words
