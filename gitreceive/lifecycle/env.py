"""How a layer changes the environment of what comes after it (Buildpack API, "Environment").

Used by the build and, inside app images, by the launcher: nothing heavy is imported here.
"""

import os
from collections.abc import Iterable, MutableMapping

BUILD_PATHS = (
    ("bin", ("PATH",)),
    ("lib", ("LD_LIBRARY_PATH", "LIBRARY_PATH")),
    ("include", ("CPATH",)),
    ("pkgconfig", ("PKG_CONFIG_PATH",)),
)
LAUNCH_PATHS = (("bin", ("PATH",)), ("lib", ("LD_LIBRARY_PATH",)))

_SUFFIXES = ("append", "prepend", "default", "override", "delim")


def apply_layer(
    env: MutableMapping[str, str],
    layer: str,
    folders: Iterable[str],
    paths: Iterable[tuple[str, tuple[str, ...]]],
) -> None:
    """Change ``env`` in place: first the POSIX path variables, then the files of ``env/``, ``env.build/`` … in order."""
    for folder, variables in paths:
        path = os.path.join(layer, folder)
        if os.path.isdir(path):
            for variable in variables:
                _put_before(env, variable, path, os.pathsep)
    for folder in folders:
        apply_folder(env, os.path.join(layer, folder))


def apply_folder(env: MutableMapping[str, str], folder: str) -> None:
    """One file a change: ``NAME`` or ``NAME.override``, ``.append``, ``.prepend``, ``.default``, with ``NAME.delim``."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return
    delimiters = {n[: -len(".delim")]: _read(folder, n) for n in names if n.endswith(".delim")}
    for name in names:
        variable, dot, suffix = name.rpartition(".")
        if not dot or suffix not in _SUFFIXES:
            variable, suffix = name, "override"
        if suffix != "delim":
            _change(env, variable, suffix, _read(folder, name), delimiters.get(variable, ""))


def _change(env: MutableMapping[str, str], variable: str, suffix: str, value: str, delimiter: str) -> None:
    if suffix == "override" or (suffix == "default" and variable not in env):
        env[variable] = value
    elif suffix == "prepend":
        _put_before(env, variable, value, delimiter)
    elif suffix == "append":
        old = env.get(variable, "")
        env[variable] = old + delimiter + value if old else value


def _put_before(env: MutableMapping[str, str], variable: str, value: str, delimiter: str) -> None:
    old = env.get(variable, "")
    env[variable] = value + delimiter + old if old else value


def _read(folder: str, name: str) -> str:
    with open(os.path.join(folder, name), encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
