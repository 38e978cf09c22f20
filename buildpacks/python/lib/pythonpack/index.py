"""Which package index is used where a lock names others."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from pythonpack.cnb import Refusal
from pythonpack.installers import without_index
from pythonpack.locks import expand


def other_index_than(lock: Path, env: Mapping[str, str]) -> bool:
    """Whether an index is set that the lock does not know of."""
    index = index_key(env).rstrip("/")
    try:
        packages = tomllib.loads(lock.read_text(encoding="utf-8")).get("package", [])
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Refusal(f"uv.lock cannot be read: {error}", "run `uv lock` and commit uv.lock") from error
    registries = {package.get("source", {}).get("registry", "").rstrip("/") for package in packages} - {""}
    return bool(index and registries and index not in registries)


def locked_index_env(env: Mapping[str, str], indexes: Sequence[str]) -> dict[str, str]:
    """``env`` with the indexes that a lock names, the default one first, unless the operator has set one.

    The first index that knows a package need not be the one that it was locked on; the lock's hashes decide.
    """
    found = {**env, "UV_INDEX_STRATEGY": "unsafe-best-match"}
    if not indexes or env.get("UV_DEFAULT_INDEX") or without_index(env):
        return found
    default, *others = expand(indexes, env)
    if default:
        found["UV_DEFAULT_INDEX"] = found["PIP_INDEX_URL"] = default
    if others:
        listed = " ".join([*others, *env.get("UV_INDEX", "").split()])
        found["UV_INDEX"] = found["PIP_EXTRA_INDEX_URL"] = listed
    return found


def index_key(env: Mapping[str, str]) -> str:
    """Which index is used: only its host and path, since credentials are not to be kept."""
    url = env.get("UV_DEFAULT_INDEX", "")
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if rest else url
