"""Where an app's logs are sent."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self
from urllib.parse import SplitResult, unquote, urlsplit

from gitreceive.errors import UsageError
from gitreceive.model.names import AppName, Secret, UserName

MOST_DRAINS = 5  # of one app

_PORTS = {"syslog+tls": 6514, "syslog+tcp": 514, "https": 443}  # RFC 5425, RFC 6587, RFC 9110
_LONGEST = 4096
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)  # RFC 9110, token
_NOT_YOURS = {"host", "content-length", "content-type", "transfer-encoding", "connection"}
_FORMS = "write syslog+tls://HOST:PORT, syslog+tcp://HOST:PORT or https://HOST/PATH"


@dataclass(frozen=True)
class DrainAddress:
    """The parsed URL of a drain. Whatever of it may be a secret is in ``url``, ``user`` and ``password`` alone."""

    scheme: str
    host: str
    port: int
    url: Secret  # without user and password
    user: Secret | None = None
    password: Secret | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raise UsageError, which shows nothing of it but the scheme, unless ``text`` is the URL of a drain."""
        parts, port = _split(text)
        if parts.scheme not in _PORTS:
            raise UsageError(f"{parts.scheme[:20]!r} is no kind of log drain", hint=_FORMS)
        if not parts.hostname or parts.fragment:
            raise UsageError("the URL of the drain is incomplete", hint=_FORMS)
        if parts.scheme != "https" and (parts.path.strip("/") or parts.query or parts.username):
            raise UsageError("a syslog drain is a host and a port alone", hint=_FORMS)
        host = parts.hostname
        place = f"[{host}]" if ":" in host else host
        number = port or _PORTS[parts.scheme]
        query = f"?{parts.query}" if parts.query else ""
        url = f"{parts.scheme}://{place}:{number}{parts.path or '/'}{query}"
        user, password = (
            None if one is None else Secret(unquote(one)) for one in (parts.username, parts.password)
        )
        return cls(parts.scheme, host, number, Secret(url), user, password)

    @property
    def shown(self) -> str:
        """For people: with ``…`` for what may be a secret, as a path often is."""
        place = f"[{self.host}]" if ":" in self.host else self.host
        secret = self.scheme == "https" and (
            urlsplit(self.url.reveal()).path != "/" or "?" in self.url.reveal()
        )
        return f"{self.scheme}://{place}:{self.port}{'/…' if secret else ''}"


@dataclass(frozen=True)
class Drain:
    """``headers`` go with each request of an HTTPS drain."""

    id: int
    app: AppName
    user: UserName
    url: Secret
    created_at: datetime
    headers: Mapping[str, Secret] = field(default_factory=dict)

    @property
    def address(self) -> DrainAddress:
        return DrainAddress.parse(self.url.reveal())


def parse_header(line: str) -> tuple[str, Secret]:
    """``NAME: VALUE``. Raises UsageError, which has no value."""
    name, colon, value = line.partition(":")
    value = value.strip()
    if not colon or not _HEADER.fullmatch(name) or name.lower() in _NOT_YOURS:
        raise UsageError(f"{name[:40]!r} is not a header that can be set", hint="write NAME: VALUE")
    if not value or len(value) > _LONGEST or not value.isprintable() or not value.isascii():
        raise UsageError(f"the value of the header {name} is not printable ASCII", hint="write NAME: VALUE")
    return name, Secret(value)


def _split(text: str) -> tuple[SplitResult, int | None]:
    """Raises UsageError for what is no URL at all."""
    if len(text) > _LONGEST or not text.isprintable() or " " in text:
        raise UsageError("the URL of the drain is not one", hint=_FORMS)
    try:
        parts = urlsplit(text)
        return parts, parts.port
    except ValueError:
        raise UsageError("the URL of the drain is not one", hint=_FORMS) from None
