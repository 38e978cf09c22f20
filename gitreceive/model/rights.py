"""What may be done with an app, by which role, and how far a token reaches. Who has which: ``gitreceive.access``."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from gitreceive.errors import UsageError
from gitreceive.model.names import AppName

_Word = TypeVar("_Word", bound=StrEnum)


class Permission(StrEnum):
    """What somebody may do with one app.

    VIEW        see the app, its builds, releases and logs, and no value of its config
    DEPLOY      make releases of what there is: push, roll back, rebase; stop builds
    CONFIGURE   config and its values, buildpacks, scale and limits, and programs run in its environment
    OPERATE     how it is reached and when it changes: locks, maintenance, domains, certificates, volumes, drains
    ADMINISTER  who may do what with it, and its end
    """

    VIEW = "view"
    DEPLOY = "deploy"
    CONFIGURE = "configure"
    OPERATE = "operate"
    ADMINISTER = "administer"


class Role(StrEnum):
    """What a user or a team is given for one app, from the least to the most."""

    VIEWER = "viewer"
    DEVELOPER = "developer"
    OPERATOR = "operator"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        """A higher one may do all that a lower one may."""
        return list(Role).index(self)


class Scope(StrEnum):
    """What a token was made for. With several it reaches as far as they do together, and never further than its user."""

    READ = "read"
    DEPLOY = "deploy"
    CONFIG = "config"
    ALL = "all"


@dataclass(frozen=True)
class Reach:
    """How far a token reaches. ``apps``: None is all that its user has."""

    scopes: frozenset[Scope]
    apps: frozenset[AppName] | None = None


def parse_role(text: str) -> Role:
    """Raises UsageError."""
    return _parsed(Role, text, "role")


def parse_scope(text: str) -> Scope:
    """Raises UsageError."""
    return _parsed(Scope, text, "scope")


def _parsed(kind: type[_Word], text: str, what: str) -> _Word:
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"{text[:60]!r} is not a {what}", hint=f"use one of: {', '.join(kind)}") from None
