"""What the operator gives to every build: variables, secrets, certificate authorities. Read anew for each build."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gitreceive.config import BuildSettings
from gitreceive.errors import ConfigError
from gitreceive.lifecycle import secrets

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)


@dataclass(frozen=True)
class Inputs:
    env: dict[str, str]
    secrets: dict[str, str]  # base64, by name
    ca_bundle: str
    patterns: dict[str, tuple[bytes, ...]]  # by name: how the secret could be written in a log or a layer

    def over(self, env: Mapping[str, str]) -> "Inputs":
        """With the variables of a project.toml below the operator's, which win."""
        return replace(self, env={**env, **self.env})

    @property
    def wanted(self) -> tuple[bytes, ...]:
        """All patterns, the longest first."""
        return tuple(sorted((p for found in self.patterns.values() for p in found), key=len, reverse=True))

    def mask(self, text: str) -> str:
        """The text with every secret struck out."""
        redactor = secrets.Redactor(self.wanted)
        return (redactor.feed(text.encode("utf-8", "replace")) + redactor.end()).decode("utf-8", "replace")


def read_inputs(settings: BuildSettings) -> Inputs:
    """Raises ConfigError, naming the setting, for a file that cannot be read, a bad name, or a secret too short to look for."""
    for name in (*settings.env, *settings.secrets):
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"build.env or build.secrets: {name!r} cannot be a name", hint="use A-Z, 0-9 and _"
            )
    values = {name: _secret(name, file) for name, file in settings.secrets.items()}
    return Inputs(
        env=dict(settings.env),
        secrets={name: base64.b64encode(value).decode() for name, value in values.items()},
        ca_bundle=_ca_bundle(settings.ca_bundle) if settings.ca_bundle else "",
        patterns={name: secrets.patterns([value.strip()]) for name, value in values.items()},
    )


def _secret(name: str, file: str) -> bytes:
    try:
        value = Path(file).expanduser().read_bytes()
    except OSError as error:
        raise ConfigError(f"build.secrets: the file of {name} cannot be read: {error}") from error
    if len(value.strip()) < secrets.MIN_LENGTH:
        raise ConfigError(
            f"build.secrets: {name} is shorter than {secrets.MIN_LENGTH} characters",
            hint="so short a value cannot be told from other text in a log: use a longer secret",
        )
    return value


def _ca_bundle(file: str) -> str:
    try:
        text = Path(file).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"build.ca_bundle cannot be read: {error}") from error
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise ConfigError(f"build.ca_bundle: {file} holds no certificate", hint="it must be in PEM")
    return text
