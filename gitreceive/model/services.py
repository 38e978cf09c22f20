"""What apps are bound to: databases and the like, which run elsewhere."""

import re
from dataclasses import dataclass, field
from typing import Any, Self

from gitreceive.errors import UsageError
from gitreceive.model.configs import parse_config_name
from gitreceive.model.documents import flag, table, text

MOST_SECRETS = 20
MOST_SECRET_KEYS = 200
_SECRET = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)  # a DNS subdomain, RFC 1123
_PREFIX = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}", re.ASCII)
_OWN_PREFIX = "GITRECEIVE_"


@dataclass(frozen=True)
class Services:
    """``bound``: the names of config that were given as somebody's address, not set as the app's own."""

    bound: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def parse(cls, document: object) -> Self:
        """What ``document`` wrote. Raises UsageError."""
        found = table(table(document, "services", frozenset({"bound"})).get("bound", {}), "services.bound")
        return cls(
            frozenset(
                parse_config_name(name) for name in found if flag(found[name], f"services.bound: {name}")
            )
        )

    def document(self) -> dict[str, Any]:
        return {"bound": dict.fromkeys(sorted(self.bound), True)}


@dataclass(frozen=True)
class SecretKey:
    """One value of a Secret."""

    secret: str
    key: str

    @classmethod
    def parse(cls, document: object, where: str) -> Self:
        """Raises UsageError."""
        found = table(document, where, frozenset({"secret", "key"}))
        secret, key = (text(found.get(name), f"{where}: {name}", 253) for name in ("secret", "key"))
        return cls(parse_secret_name(secret), key)

    def document(self) -> dict[str, str]:
        return {"secret": self.secret, "key": self.key}


def parse_secrets(document: object) -> dict[str, str]:
    """Prefixes of variables, by the name of the Secret that they come from. Raises UsageError."""
    found = table(document, "runtime.secrets")
    if len(found) > MOST_SECRETS:
        raise UsageError(f"an app is bound to {MOST_SECRETS} Secrets at most", hint="unbind some of them")
    return {parse_secret_name(name): _prefix(found[name]) for name in found}


def parse_secret_keys(document: object) -> dict[str, SecretKey]:
    """By the names of variables. Raises UsageError."""
    found = table(document, "runtime.secret_keys")
    if len(found) > MOST_SECRET_KEYS:
        raise UsageError(
            f"an app has {MOST_SECRET_KEYS} variables out of Secrets at most", hint="unbind some of them"
        )
    return {parse_config_name(name): SecretKey.parse(found[name], name) for name in found}


def parse_secret_name(name: str) -> str:
    """Raise UsageError unless ``name`` can name a Secret."""
    if not _SECRET.fullmatch(name):
        raise UsageError(
            f"{name[:60]!r} is no name of a Secret", hint="write it as `kubectl get secrets` does"
        )
    return name


def _prefix(value: object) -> str:
    prefix = text(value, "--prefix")
    if prefix and (not _PREFIX.fullmatch(prefix) or prefix.startswith(_OWN_PREFIX)):
        raise UsageError(
            f"{prefix[:60]!r} cannot begin the name of a variable",
            hint=f"use letters, digits and underscores, no digit in front, and not {_OWN_PREFIX}",
        )
    return prefix
