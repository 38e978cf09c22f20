"""Which of the words behind ``config VERB`` names the app. The same rule for the command and for the thin client before it."""

from collections.abc import Sequence

from gitreceive.errors import UsageError
from gitreceive.model import AppName

_WITH_A_VALUE = {"--format"}
_APP_OPTIONS = ("-a", "--app")


def split(verb: str, words: Sequence[str], *, stdin: bool = False) -> tuple[str | None, tuple[str, ...]]:
    """The word that names the app, None where the remote or --app does, and the rest. What stands alone is never the app where the verb
    wants a variable: ``get A``, ``unset A``, ``set A=1``. Of several words to unset the first is the app where it could be one's name.
    """
    names_app = {
        "get": len(words) > 1,
        "set": len(words) > 1 if stdin else bool(words) and "=" not in words[0],
        "unset": len(words) > 1 and _is_app_name(words[0]),
    }.get(verb, bool(words))
    return (words[0], tuple(words[1:])) if names_app else (None, tuple(words))


def name_app(verb: str, typed: Sequence[str]) -> bool:
    """Whether the rest of a command line, options and all, names an app."""
    words: list[str] = []
    before = ""
    for word in typed:
        if word in _APP_OPTIONS or word.startswith(("--app=", "-a")):
            return True
        if not word.startswith("-") and before not in _WITH_A_VALUE:
            words.append(word)
        before = word
    return split(verb, words, stdin="--stdin" in typed)[0] is not None


def _is_app_name(text: str) -> bool:
    try:
        AppName.parse(text)
    except UsageError:
        return False
    return True
