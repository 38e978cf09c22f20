"""Bills of materials that buildpacks leave in the image (CNB Buildpack API 0.7 and later, "Software-Bill-of-Materials")."""

import json
from collections.abc import Iterable, Iterator

from packageurl import PackageURL

from gitreceive.supplychain.package import Package, made

_DEEPEST = 20


def cyclonedx(content: bytes, _path: str) -> list[Package]:
    return list(_components(json.loads(content).get("components") or (), 0))


def spdx(content: bytes, _path: str) -> list[Package]:
    found = []
    for entry in json.loads(content).get("packages") or ():
        locators = (
            str(ref.get("referenceLocator"))
            for ref in entry.get("externalRefs") or ()
            if ref.get("referenceType") == "purl"
        )
        found += _one(entry.get("name"), entry.get("versionInfo"), next(locators, ""))
    return found


def syft(content: bytes, _path: str) -> list[Package]:
    entries = json.loads(content).get("artifacts") or ()
    return [p for entry in entries for p in _one(entry.get("name"), entry.get("version"), entry.get("purl"))]


def _components(entries: Iterable[object], depth: int) -> Iterator[Package]:
    for entry in entries:
        if isinstance(entry, dict):
            yield from _one(entry.get("name"), entry.get("version"), entry.get("purl"))
            if depth < _DEEPEST:
                yield from _components(entry.get("components") or (), depth + 1)


def _one(name: object, version: object, purl: object) -> list[Package]:
    """By its package URL where it has one that is; none for what has no name."""
    if isinstance(purl, str) and purl and len(purl) < 1000:
        try:
            parsed = PackageURL.from_string(purl)
        except ValueError:
            parsed = None
        if parsed is not None and parsed.version:
            plain = made(parsed.type, parsed.name, parsed.version, group=parsed.namespace or "")
            return [Package(plain.kind, plain.group, plain.name, plain.version, purl=parsed.to_string())]
    try:
        return [made("generic", name, version or "unknown")]
    except ValueError:
        return []
