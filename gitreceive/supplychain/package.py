"""One package, whatever language it is of."""

from dataclasses import dataclass
from typing import Any

_LONGEST = 300


@dataclass(frozen=True, order=True)
class Package:
    """``kind`` is a type of package URL (deb, pypi, npm, gem, composer, golang, maven, generic); ``os`` is no package but the system's name and
    version. ``group`` is the URL's namespace. ``declared``: a lock file names it, and nobody has seen it installed. ``arch`` is of Debian's.
    ``cpe`` and ``purl`` are what another's bill says of it.
    """

    kind: str
    group: str
    name: str
    version: str
    licence: str = ""
    arch: str = ""
    declared: bool = False
    purl: str = ""

    def to_document(self) -> list[Any]:
        return [
            self.kind,
            self.group,
            self.name,
            self.version,
            self.licence,
            self.arch,
            self.declared,
            self.purl,
        ]

    @classmethod
    def from_document(cls, fields: list[Any]) -> "Package":
        kind, group, name, version, licence, arch, declared, purl = fields
        return cls(kind, group, name, version, licence, arch, bool(declared), purl)


def made(
    kind: str,
    name: object,
    version: object,
    *,
    group: str = "",
    licence: object = "",
    arch: str = "",
    declared: bool = False,
) -> Package:
    """Of words that others wrote. Raises ValueError unless name and version are short printable text."""
    return Package(
        kind,
        _word(group) if group else "",
        _word(name),
        _word(version),
        _line(licence) if isinstance(licence, str) else "",
        arch,
        declared,
    )


def _word(text: object) -> str:
    if not isinstance(text, str) or not text or len(text) > _LONGEST or not text.isprintable():
        raise ValueError("no word")
    return text


def _line(text: str) -> str:
    """Of a licence that is a whole text nothing is kept."""
    text = text.strip()
    return text if text.isprintable() and len(text) <= _LONGEST else ""
