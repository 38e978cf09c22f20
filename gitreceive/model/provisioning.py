"""Services that a target makes for an app through somebody else: an operator of the cluster. A kind of them is declared, not programmed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from gitreceive.errors import UsageError
from gitreceive.model.configs import parse_config_name
from gitreceive.model.documents import number, table, text
from gitreceive.model.services import SecretKey
from gitreceive.model.volumes import size_bytes

# operators put endings of up to 20 characters behind it, and what they make is named by 63 at most
_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?", re.ASCII)
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", re.ASCII)
_API = re.compile(r"[a-z0-9.-]+/v[0-9][a-z0-9]*", re.ASCII)
_RESOURCE = re.compile(r"[a-z0-9.-]+/v[0-9][a-z0-9]*/[a-z0-9]+", re.ASCII)
_PLACE = re.compile(r"\{([a-z_]+)\}", re.ASCII)
# what an app's own objects are called: an operator's Service or Secret of that name would take its place
_TAKEN = frozenset({"web", "registry", "maintenance"})
_TAKEN_BEGINNINGS = ("config-", "tls-")
_LONGEST_DEADLINE = 3600  # seconds


@dataclass(frozen=True)
class Readiness:
    """When a service can be used. ``path``: a field, such as ``status.readyInstances``, that is ``equals``, or at least ``at_least``;
    ``condition``: a type of its ``status.conditions`` that is True. ``resource``, as GROUP/VERSION/PLURAL, and ``name``: the object that
    says so, where it is not the service's own.
    """

    condition: str = ""
    path: str = ""
    equals: str = ""
    at_least: int = 0
    resource: str = ""
    name: str = ""

    @classmethod
    def parse(cls, document: object) -> Self:
        """Raises UsageError."""
        known = frozenset({"condition", "path", "equals", "at_least", "resource", "name"})
        found = dict(table(document, "ready", known))
        least = number(found.pop("at_least", 0), "ready.at_least", 0, 1000)
        words: dict[str, Any] = {key: text(value, f"ready.{key}") for key, value in found.items()}
        ready = cls(**words, at_least=least)
        if bool(ready.condition) == bool(ready.path) or (
            ready.path and bool(ready.equals) == bool(ready.at_least)
        ):
            raise UsageError(
                "ready must say when", hint="write a condition, or a path with equals or at_least"
            )
        if bool(ready.resource) != bool(ready.name) or (
            ready.resource and not _RESOURCE.fullmatch(ready.resource)
        ):
            raise UsageError("ready.resource is GROUP/VERSION/PLURAL, and goes with ready.name")
        return ready


@dataclass(frozen=True)
class ServiceKind:
    """What an operator makes. In names and values ``{name}`` is the service's and ``{namespace}`` the app's; in ``login``, ``{random}``
    is a password that is made once, and any key in front of it may be named.

    ``secret`` has what it is found by, ``variables`` the keys of it by the names that processes find them by. ``login``: what such a Secret is
    made with where the operator makes none but takes one. ``claims``: PersistentVolumeClaims that an operator leaves behind. ``deadline``:
    seconds in which it is ready.
    """

    name: str
    title: str
    operator: str
    install: str
    api: str
    kind: str
    resource: str
    ready: Readiness
    secret: str
    variables: Mapping[str, str]
    says: tuple[str, ...] = ()
    login: Mapping[str, str] = field(default_factory=dict)
    claims: tuple[str, ...] = ()
    size: str = "1Gi"
    version: str = ""
    deadline: int = 600

    @classmethod
    def parse(cls, name: str, document: object) -> Self:
        """What a file called ``name`` declares. Raises UsageError."""
        known = frozenset(cls.__dataclass_fields__) - {"name"}
        found = table(document, f"the declaration of {name}", known)
        missing = [key for key in _REQUIRED if key not in found]
        if missing:
            raise UsageError(f"the declaration of {name} lacks {', '.join(missing)}")
        api = text(found["api"], "api")
        if not _API.fullmatch(api):
            raise UsageError(f"api is {api[:60]!r}", hint="write GROUP/VERSION, as postgresql.cnpg.io/v1")
        words: dict[str, Any] = {key: text(found[key], key) for key in _WORDS}
        return cls(
            name=parse_service_name(name),
            **words,
            api=api,
            ready=Readiness.parse(found["ready"]),
            variables=_variables(found["variables"]),
            says=_texts(found.get("says", []), "says"),
            login=_login(found.get("login", {})),
            claims=_texts(found.get("claims", []), "claims"),
            size=parse_service_size(text(found.get("size", "1Gi"), "size")),
            version=text(found.get("version", ""), "version"),
            deadline=number(found.get("deadline", 600), "deadline", 1, _LONGEST_DEADLINE),
        )

    @property
    def path(self) -> str:
        """Of all its objects: GROUP/VERSION/PLURAL."""
        return f"{self.api}/{self.resource}"

    def keys(self, service: str, prefix: str = "") -> dict[str, SecretKey]:
        """Where processes find it, by the names of variables."""
        secret = filled(self.secret, {"name": service})
        return {prefix + variable: SecretKey(secret, key) for variable, key in self.variables.items()}


@dataclass(frozen=True)
class KindStatus:
    """``why`` it cannot be had here; empty where it can."""

    kind: ServiceKind
    why: str = ""


@dataclass(frozen=True)
class ServiceOrder:
    """``size`` and ``version``: None is as it is, or for a new one as its kind declares."""

    kind: str
    name: str
    size: str | None = None
    version: str | None = None


@dataclass(frozen=True)
class ServiceStatus:
    """``kind``: its name. ``state``: ready, being made, being removed. ``says``: in its operator's own words. ``keys``: what it is bound by,
    without a prefix.
    """

    name: str
    kind: str
    title: str
    state: str
    says: str
    size: str
    version: str
    secret: str
    keys: Mapping[str, SecretKey]
    since: datetime | None = None

    @property
    def ready(self) -> bool:
        return self.state == "ready"


def parse_service_name(name: str) -> str:
    """Raise UsageError unless ``name`` can name a service, or a kind of them."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name[:60]!r} cannot name a service",
            hint="use a letter, then lower-case letters, digits and hyphens, 40 at most",
        )
    if name in _TAKEN or name.startswith(_TAKEN_BEGINNINGS):
        raise UsageError(f"{name!r} is a name of the app's own objects", hint="choose another, such as db")
    return name


def parse_service_version(version: str) -> str:
    """Raise UsageError unless ``version`` can be part of an image's tag."""
    if not _VERSION.fullmatch(version):
        raise UsageError(f"{version[:60]!r} is no version", hint="write it as 16 or 7.2.4")
    return version


def parse_service_size(size: str) -> str:
    """Raise UsageError unless ``size`` is room for what is stored."""
    try:
        size_bytes(size)
    except UsageError as error:
        raise UsageError(f"{size[:40]!r} is no size of what a service stores", hint=error.hint) from error
    return size


def filled(pattern: str, values: Mapping[str, str]) -> str:
    """``pattern`` with its places filled. Raises UsageError for one that is not known."""

    def fill(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise UsageError(f"{pattern[:80]!r} names {match[0]}", hint=f"there are: {', '.join(values)}")
        return values[match[1]]

    return _PLACE.sub(fill, pattern)


_WORDS = ("title", "operator", "install", "kind", "resource", "secret")
_REQUIRED = (*_WORDS, "api", "ready", "variables")


def _variables(document: object) -> dict[str, str]:
    found = table(document, "variables")
    if not found:
        raise UsageError("variables names none", hint='write [variables], then DATABASE_URL = "uri"')
    return {parse_config_name(name): text(found[name], f"variables.{name}") for name in found}


def _login(document: object) -> dict[str, str]:
    found = table(document, "login")
    known = {"name": "", "namespace": "", "random": ""}
    for key in found:
        filled(text(found[key], f"login.{key}"), known)
        known[key] = ""
    return dict(found)


def _texts(document: Any, where: str) -> tuple[str, ...]:
    if not isinstance(document, list):
        raise UsageError(f"{where} must be a list of texts")
    return tuple(text(each, where) for each in document)
