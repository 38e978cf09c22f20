"""How a layer changes the environment of what comes after it (Buildpack API, "Environment").

Used by the build and, inside app images, by the launcher: nothing heavy is imported here.
"""

import os
from collections.abc import Iterable, Mapping, MutableMapping

BUILD_PATHS = (
    ("bin", ("PATH",)),
    ("lib", ("LD_LIBRARY_PATH", "LIBRARY_PATH")),
    ("include", ("CPATH",)),
    ("pkgconfig", ("PKG_CONFIG_PATH",)),
)
LAUNCH_PATHS = (("bin", ("PATH",)), ("lib", ("LD_LIBRARY_PATH",)))

_SUFFIXES = ("append", "prepend", "default", "override")


def apply_layer(
    env: MutableMapping[str, str],
    layer: str,
    folders: Iterable[str],
    paths: Iterable[tuple[str, tuple[str, ...]]],
) -> None:
    """Change ``env`` in place: first the POSIX path variables, then the files of ``env/``, ``env.build/`` … in order.

    A ``NAME.delim`` counts for the whole layer; where a folder has one of its own, that counts there.
    """
    for folder, variables in paths:
        path = os.path.join(layer, folder)
        if os.path.isdir(path):
            for variable in variables:
                put_before(env, variable, path, os.pathsep)
    places = [os.path.join(layer, folder) for folder in folders]
    delimiters: dict[str, str] = {}
    for place in places:
        delimiters |= _delimiters(place)
    for place in places:
        apply_folder(env, place, delimiters)


def apply_folder(
    env: MutableMapping[str, str], folder: str, delimiters: Mapping[str, str] | None = None
) -> None:
    """One file a change: ``NAME`` or ``NAME.override``, ``.append``, ``.prepend``, ``.default``, with ``NAME.delim``.

    A variable's name ends at the first dot; a file with any other suffix changes nothing.
    """
    known = {**(delimiters or {}), **_delimiters(folder)}
    for name in _names(folder):
        variable, dot, suffix = name.partition(".")
        if not dot:
            suffix = "override"
        if suffix in _SUFFIXES:
            _change(env, variable, suffix, _read(folder, name), known.get(variable, ""))


def put_before(env: MutableMapping[str, str], variable: str, value: str, delimiter: str) -> None:
    old = env.get(variable, "")
    env[variable] = value + delimiter + old if old else value


def _change(env: MutableMapping[str, str], variable: str, suffix: str, value: str, delimiter: str) -> None:
    if suffix == "override" or (suffix == "default" and not env.get(variable)):
        env[variable] = value
    elif suffix == "prepend":
        put_before(env, variable, value, delimiter)
    elif suffix == "append":
        old = env.get(variable, "")
        env[variable] = old + delimiter + value if old else value


def _delimiters(folder: str) -> dict[str, str]:
    names = [name for name in _names(folder) if name.partition(".")[2] == "delim"]
    return {name.partition(".")[0]: _read(folder, name) for name in names}


def _names(folder: str) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder) if entry.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _read(folder: str, name: str) -> str:
    with open(os.path.join(folder, name), encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
