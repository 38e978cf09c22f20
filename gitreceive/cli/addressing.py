"""Which app is meant, and what of it, by the words behind a verb."""

from collections.abc import Sequence

from gitreceive.cli import remote
from gitreceive.errors import UsageError
from gitreceive.model import AppName


def addressed(
    words: Sequence[str], app: str | None, least: int, *, most: int | None = None
) -> tuple[AppName, tuple[str, ...]]:
    """The app, by --app, else by a first word, else by the git remote; and ``least`` to ``most`` names of what is its own behind it, such as process types.

    Raises UsageError, NotFoundError.
    """
    most = least if most is None else most
    if app is None and len(words) > least:
        app, words = words[0], words[1:]
    if not least <= len(words) <= most:
        raise UsageError(
            f"{len(words)} names are given here besides the app, and not {least}",
            hint="name the app by --app, and behind it what of it is meant",
        )
    return remote.app_name(app), tuple(words)
