"""An app and its releases, as they are named in commands: ``shop v7``, ``v7`` in a clone, ``--app shop v7``."""

from collections.abc import Sequence

from gitreceive.cli import remote
from gitreceive.errors import UsageError
from gitreceive.model import AppName


def named(words: Sequence[str], app: str | None, *, least: int, most: int) -> tuple[AppName, tuple[int, ...]]:
    """The app, which may be named by a first word, and as many releases as wanted, each as vN. One word that could be both is a release:
    an app called v7 is named by --app. Raises UsageError, NotFoundError.
    """
    first = words[0] if words and (len(words) > most or not remote.RELEASE.fullmatch(words[0])) else None
    if first is not None and app is not None:
        raise UsageError("the app is named twice", hint="leave out one of --app and the word")
    name = remote.app_name(first if first is not None else app)
    rest = words if first is None else words[1:]
    if not least <= len(rest) <= most:
        wanted = {(0, 0): "no release", (0, 1): "one release at most", (1, 1): "one release"}
        raise UsageError(
            f"{wanted.get((least, most), 'two releases')} can be named here, and not {len(rest)}",
            hint=f"gitreceive releases {name} shows which there are",
        )
    return name, tuple(_number(word) for word in rest)


def _number(word: str) -> int:
    if not remote.RELEASE.fullmatch(word):
        raise UsageError(f"{word[:60]!r} is not a release", hint="write v and its number: v7")
    return int(word[1:])
