"""Where people reach an app: its hosts and their certificates, as the app has them now. Another one restarts nothing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from gitreceive.errors import UsageError
from gitreceive.model.documents import flag, table, text
from gitreceive.model.names import AppName, Secret

MOST_DOMAINS = 100

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_LONGEST = 253  # characters of a host name (RFC 1123, 2.1)
_FINGERPRINT = re.compile(r"[0-9a-f]{64}", re.ASCII)


class Domain(str):
    """A host name in lower case and ASCII (RFC 1123; IDNA 2008, RFC 5891), or ``*.`` and one, for each name one label below it."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Case is folded and other scripts are encoded, as both mean the same host. Raises UsageError."""
        name = text.removeprefix("*.")
        if not name.isascii():
            name = _encoded(text, name)
        name = name.lower()
        labels = name.split(".")
        if (
            len(name) > _LONGEST
            or len(labels) < 2
            or labels[-1].isdigit()  # an IPv4 address, or none at all
            or not all(_LABEL.fullmatch(label) for label in labels)
        ):
            raise _no_domain(text)
        return cls(f"*.{name}" if text.startswith("*.") else name)

    @property
    def wildcard(self) -> bool:
        return self.startswith("*.")

    @property
    def above(self) -> str:
        """The wildcard under which it falls."""
        return f"*.{self.partition('.')[2]}"

    def covers(self, host: str) -> bool:
        return self == host or (self.wildcard and not host.startswith("*.") and Domain(host).above == self)


@dataclass(frozen=True)
class CertificateFacts:
    """What everybody may know of a certificate: the hosts that it is for, and when it runs out."""

    hosts: tuple[Domain, ...]
    expires: datetime

    @classmethod
    def parse(cls, document: object, where: str) -> Self:
        """Raises UsageError."""
        found = table(document, where, frozenset({"hosts", "expires"}))
        hosts = table(found.get("hosts", {}), f"{where}: hosts")
        try:
            expires = datetime.fromisoformat(text(found.get("expires"), f"{where}: expires"))
        except ValueError:
            raise UsageError(f"{where}: expires must be a time", hint="write it as ISO 8601") from None
        return cls(tuple(sorted(Domain.parse(host) for host in hosts)), expires.astimezone(UTC))

    def document(self) -> dict[str, Any]:
        return {"hosts": {host: {} for host in self.hosts}, "expires": self.expires.isoformat()}

    def covers(self, host: str) -> bool:
        return any(name.covers(host) for name in self.hosts)

    def days_left(self, now: datetime) -> int:
        """Whole days; negative once it has run out."""
        return (self.expires - now).days


@dataclass(frozen=True)
class Certificate:
    """With its private key. ``chain``: PEM, the certificate itself first. ``fingerprint``: SHA-256 of it, in hexadecimal digits."""

    fingerprint: str
    facts: CertificateFacts
    chain: str
    key: Secret


@dataclass(frozen=True)
class Routing:
    """``https``: plain requests to a host that has a certificate are sent on to HTTPS. ``auto``: the cluster obtains certificates.
    ``certificates`` are those that were brought, by fingerprint; the ledger has their keys.
    """

    domains: tuple[Domain, ...] = ()
    https: bool = False
    auto: bool = False
    certificates: Mapping[str, CertificateFacts] = field(default_factory=dict)

    @classmethod
    def parse(cls, document: object) -> Self:
        """What ``document`` wrote. Raises UsageError."""
        found = table(document, "routing", frozenset({"domains", "https", "auto", "certificates"}))
        domains = table(found.get("domains", {}), "routing.domains")
        if len(domains) > MOST_DOMAINS:
            raise UsageError(f"an app has at most {MOST_DOMAINS} domains", hint="a wildcard is one domain")
        certificates = table(found.get("certificates", {}), "routing.certificates")
        return cls(
            tuple(sorted(Domain.parse(name) for name in domains)),
            flag(found.get("https", False), "routing.https"),
            flag(found.get("auto", False), "routing.auto"),
            {
                _fingerprint(name): CertificateFacts.parse(facts, "a certificate")
                for name, facts in certificates.items()
            },
        )

    def document(self) -> dict[str, Any]:
        return {
            "domains": {name: {} for name in self.domains},
            "https": self.https,
            "auto": self.auto,
            "certificates": {name: facts.document() for name, facts in self.certificates.items()},
        }

    def hosts(self, app: AppName, domain: str) -> tuple[Domain, ...]:
        """All at which it answers: APP.DOMAIN where the server has a domain, and its own."""
        own = tuple(name for name in self.domains if name != f"{app}.{domain}")
        return (Domain(f"{app}.{domain}"), *own) if domain else own

    def certificate_for(self, host: str) -> str | None:
        """The fingerprint of the one that holds longest of those for this host."""
        fitting = ((facts.expires, name) for name, facts in self.certificates.items() if facts.covers(host))
        return max(fitting, default=(None, None))[1]


def _encoded(whole: str, name: str) -> str:
    import idna  # few hosts need it, and it is large

    try:
        return idna.encode(name, uts46=True, transitional=False).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise _no_domain(whole) from None


def _no_domain(given: str) -> UsageError:
    return UsageError(
        f"{given[:80]!r} is not a domain",
        hint="write the host alone, as shop.example.com or *.shop.example.com: no scheme, no port, no path",
    )


def _fingerprint(name: str) -> str:
    if not _FINGERPRINT.fullmatch(name):
        raise UsageError(f"{name[:80]!r} is not the fingerprint of a certificate", hint="see: certs list")
    return name
