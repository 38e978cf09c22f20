"""What an app is configured by: names and values of its environment, and what no process could be given."""

import re
from collections.abc import Mapping

from gitreceive.errors import UsageError
from gitreceive.model.names import Secret

LONGEST_VALUE = (
    120_000  # bytes, of name and value: Linux takes 131,071 of one string of the environment (execve(2))
)
LARGEST_CONFIG = 1_000_000  # bytes, of all names and values: Kubernetes takes 1 MiB of a Secret
_LONGEST_NAME = 200
_NAME = re.compile(
    r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII
)  # POSIX, "Environment Variable Definition", with small letters
_OWN_PREFIX = "GITRECEIVE_"


def parse_config_name(text: str) -> str:
    """Raise UsageError unless ``text`` can name a value that somebody sets."""
    if not _NAME.fullmatch(text) or len(text) > _LONGEST_NAME:
        raise UsageError(
            f"{text[:60]!r} is not the name of a variable",
            hint=f"use letters, digits and underscores, no digit in front, {_LONGEST_NAME} at most",
        )
    if text == "PORT" or text.startswith(_OWN_PREFIX):
        raise UsageError(
            f"{text[:60]} is given to every process and cannot be set",
            hint=f"choose a name other than PORT and without {_OWN_PREFIX} in front",
        )
    return text


def require_config_fits(config: Mapping[str, Secret]) -> None:
    """Raise UsageError, naming the variable and never its value, where a process could not be given it all as it is."""
    sizes = {name: len(name) + _size(name, value) for name, value in config.items()}
    for name, size in sizes.items():
        if size > LONGEST_VALUE:
            raise UsageError(
                f"{name} is too long: {size} bytes",
                hint=f"at most {LONGEST_VALUE} bytes can be given to a process",
            )
    if (total := sum(sizes.values())) > LARGEST_CONFIG:
        raise UsageError(
            f"the config would be too large: {total} bytes of names and values",
            hint=f"at most {LARGEST_CONFIG}; keep files in the source or in an object store",
        )


def _size(name: str, value: Secret) -> int:
    text = value.reveal()
    if "\0" in text:
        raise UsageError(
            f"{name} holds a NUL byte", hint="no process can be given that; encode it, as base64, say"
        )
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise UsageError(f"{name} is not UTF-8", hint="encode it, as base64, say") from None
