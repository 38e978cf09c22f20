"""The places that settings name: what builds may reach although it is private, or as all that they may reach. Pure."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from gitreceive.config.building import BuildSettings
from gitreceive.errors import ConfigError

_PORTS = {"http": 80, "https": 443, "ftp": 21, "socks5": 1080, "socks5h": 1080}


@dataclass(frozen=True)
class Place:
    """A host name, address or network; a port of TCP, or None for everything."""

    host: str
    port: int | None


def named(settings: BuildSettings) -> tuple[Place, ...]:
    """Those in ``build.egress_hosts``, and those of URLs in ``build.env``, each once. Raises ConfigError."""
    given = [parse_place(word) for word in settings.egress_hosts]
    urls = [word for value in settings.env.values() for word in value.split()]
    return tuple(dict.fromkeys([*given, *(place for url in urls if (place := of_url(url)))]))


def of_url(text: str) -> Place | None:
    """Where a URL leads; None where it is no URL."""
    scheme, there, _ = text.partition("://")
    if not there:
        return None
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    return Place(host, port or _PORTS.get(scheme.lower())) if host else None


def parse_place(text: str) -> Place:
    """HOST, HOST:PORT or a network; an IPv6 address with a port in brackets. Raises ConfigError."""
    try:
        return Place(str(ipaddress.ip_network(text.strip("[]"), strict=False)), None)
    except ValueError:
        pass
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.netloc != text or "@" in text or "*" in text:
        raise ConfigError(
            f"build.egress_hosts: {text!r} is no place",
            hint="write HOST, HOST:PORT or a network such as 10.2.0.0/16; names without *",
        )
    return Place(host, port)
