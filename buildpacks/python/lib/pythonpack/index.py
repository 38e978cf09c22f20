"""How installers reach the package index: URLs, certificates and credentials, each told in both tools' words."""

import configparser
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from pythonpack.cnb import Context, Refusal
from pythonpack.locks import expand


def installer_env(context: Context) -> dict[str, str]:
    """The environment for uv and pip. Secrets are handed on as file names or in memory, and stay out of every layer."""
    env = dict(context.env)
    netrc = context.secret("netrc")
    if netrc:
        env["NETRC"] = str(netrc)
    config = context.secret("pip.conf")
    if config:
        env["PIP_CONFIG_FILE"] = str(config)
        for name, value in _pip_config(config).items():
            env.setdefault(name, value)
    _same(env, "PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL")
    _same(env, "PIP_EXTRA_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL")
    if env.get("PIP_FIND_LINKS"):
        env.setdefault("UV_FIND_LINKS", ",".join(env["PIP_FIND_LINKS"].split()))
    _same(env, "SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE")
    env.setdefault(
        "SOURCE_DATE_EPOCH", "315532801"
    )  # 1980-01-01T00:00:01Z, the earliest time that a zip can hold
    env.update(
        PIP_DISABLE_PIP_VERSION_CHECK="1",
        PIP_NO_INPUT="1",
        PIP_PROGRESS_BAR="off",
        PIP_ROOT_USER_ACTION="ignore",
        PYTHONDONTWRITEBYTECODE="1",
        UV_NO_PROGRESS="1",
        UV_PYTHON_DOWNLOADS="never",
        NO_COLOR="1",
    )
    env.pop("PYTHONPATH", None)
    return env


def without_index(env: Mapping[str, str]) -> bool:
    """Whether only ``PIP_FIND_LINKS`` is to be used, which uv has to be told by an option."""
    return env.get("PIP_NO_INDEX", "").lower() in {"1", "true", "yes", "on"}


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


def _same(env: dict[str, str], *names: str) -> None:
    value = next((env[name] for name in names if env.get(name)), None)
    if value is not None:
        for name in names[:2]:
            env.setdefault(name, value)


def _pip_config(path: Path) -> dict[str, str]:
    """What uv has to be told, as it does not read pip's configuration: the two settings that name an index."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except (configparser.Error, UnicodeDecodeError):
        raise Refusal("the build secret pip.conf is no pip configuration") from None  # its text is secret
    names = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX"}
    return {
        variable: " ".join(parser.get("global", key).split())
        for key, variable in names.items()
        if parser.has_option("global", key)
    }
