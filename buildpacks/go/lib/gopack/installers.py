"""How uv and pip reach the package index: URLs, certificates and credentials, each told in both tools' words.

Buildpacks that carry this file carry it byte for byte the same; ``tests/bundled/test_folders.py`` compares the copies.
"""

import configparser
from collections.abc import Mapping
from pathlib import Path

from .cnb import Context, Refusal


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
