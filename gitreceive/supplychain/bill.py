"""An image's bill of materials as CycloneDX 1.6 has it (cyclonedx.org/docs/1.6). Pure: the same image gives the same bytes."""

import functools
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from packageurl import PackageURL

from gitreceive.model import Digest, ImageFacts
from gitreceive.supplychain.layer import LayerFacts
from gitreceive.supplychain.package import Package, made

if TYPE_CHECKING:
    from cyclonedx.model.component import Component

_OURS = uuid.UUID(
    "6f0b9f0e-52d1-5c0e-9d5c-0d8f5f6c8f3a"
)  # the namespace of serial numbers (RFC 9562, version 5)
# the moment that the images themselves name: the same content is the same document
_MOMENT = datetime(1980, 1, 1, 0, 0, 1, tzinfo=UTC)
_MOST_PLACES = 20  # where one package lies


@dataclass(frozen=True)
class Bill:
    """``content`` is the document. ``missed`` says what of the image could not be read: the bill is then not whole."""

    content: bytes
    components: int
    missed: tuple[str, ...]


def bill_of(digest: Digest, facts: ImageFacts, layers: Sequence[LayerFacts]) -> Bill:
    """Of an image whose layers are ``layers``, bottom first."""
    from cyclonedx.output.json import JsonV1Dot6

    system, found = together(layers, facts)
    missed = tuple(dict.fromkeys(text for layer in layers for text in layer.missed))
    bom = _document(digest, facts, _components(found, system), missed)
    return Bill(JsonV1Dot6(bom).output_as_string().encode(), len(bom.components), missed)


def together(
    layers: Sequence[LayerFacts], facts: ImageFacts
) -> tuple[tuple[str, str], dict[Package, set[str]]]:
    """The system's name and version, and each package with the files that tell of it, as they are in the whole image."""
    files: dict[str, list[Package]] = {}
    for layer in layers:
        for gone in layer.gone:
            files = {path: found for path, found in files.items() if not _is_below(path, gone)}
        for folder in layer.emptied:
            files = {path: found for path, found in files.items() if not path.startswith(f"{folder}/")}
        files.update(layer.packages)
    for where, package in _of_labels(facts):
        files.setdefault(where, []).append(package)
    system, packages = ("debian", ""), dict[Package, set[str]]()
    for path, found in files.items():
        for package in found:
            if package.kind == "os":
                system = package.name, package.version
            else:
                packages.setdefault(package, set()).add(path)
    return system, dict(_without_mere_words(packages))


def count(content: bytes) -> int:
    """The components of a bill. Raises ValueError for what is none."""
    document = json.loads(content)
    if not isinstance(document, dict) or document.get("bomFormat") != "CycloneDX":
        raise ValueError("no CycloneDX document")
    return len(document.get("components") or ())


def _is_below(path: str, place: str) -> bool:
    return path == place or path.startswith(f"{place}/")


def _of_labels(facts: ImageFacts) -> Iterator[tuple[str, Package]]:
    """What buildpacks say of their layers: a runtime's version, and Debian's packages that were unpacked without dpkg (CNB Platform API,
    ``io.buildpacks.lifecycle.metadata``).
    """
    try:
        entries = (
            json.loads(facts.labels.get("io.buildpacks.lifecycle.metadata", "{}")).get("buildpacks") or ()
        )
        layers = [
            (entry["key"], name, layer.get("data") or {})
            for entry in entries
            for name, layer in entry["layers"].items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return
    for key, name, data in layers:
        where = f"layers/{str(key).replace('/', '_')}/{name}"
        yield from ((where, package) for package in _of_layer(str(name), data))


def _of_layer(layer: str, data: Mapping[str, Any]) -> Iterator[Package]:
    try:
        if isinstance(data.get("version"), str):
            yield made("generic", layer, data["version"])
        packages = data.get("packages")
        for text in packages if isinstance(packages, list) else ():
            name, _, version = str(text).partition("=")
            if version:
                yield made("deb", name, version)
    except ValueError:
        return


def _without_mere_words(packages: Mapping[Package, set[str]]) -> Iterator[tuple[Package, set[str]]]:
    """What is only declared counts where nothing of the same kind was seen installed; one package is one, whoever tells of it."""
    installed = {package.kind for package in packages if not package.declared}
    kept: dict[tuple[str, str, str, str], tuple[Package, set[str]]] = {}
    for package in sorted(packages):
        if package.declared and package.kind in installed:
            continue
        key = (package.kind, package.group, package.name, package.version)
        first, places = kept.get(key, (package, set()))
        licence, arch = first.licence or package.licence, first.arch or package.arch
        kept[key] = replace(first, licence=licence, arch=arch), places | packages[package]
    yield from kept.values()


def _components(packages: Mapping[Package, set[str]], system: tuple[str, str]) -> Iterator["Component"]:
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component, ComponentScope, ComponentType

    if system[1]:
        yield Component(
            name=system[0], version=system[1], type=ComponentType.OPERATING_SYSTEM, bom_ref=f"os:{system[0]}"
        )
    for package, places in packages.items():
        url = _url(package, system)
        found = [Property(name="gitreceive:location", value=place) for place in sorted(places)[:_MOST_PLACES]]
        yield Component(
            name=package.name,
            group=package.group or None,
            version=package.version,
            type=ComponentType.FRAMEWORK if package.kind == "generic" else ComponentType.LIBRARY,
            purl=url,
            bom_ref=url.to_string(),
            scope=ComponentScope.OPTIONAL if package.declared else None,
            licenses=_licences(package.licence),
            properties=found,
        )


def _url(package: Package, system: tuple[str, str]) -> PackageURL:
    if package.purl:
        return PackageURL.from_string(package.purl)
    if package.kind != "deb":
        return PackageURL(package.kind, package.group or None, package.name, package.version)
    qualifiers = {"arch": package.arch, "distro": system[1]}
    given = {name: value for name, value in qualifiers.items() if value}
    return PackageURL("deb", system[0], package.name, package.version, given)


@functools.lru_cache(maxsize=1024)
def _licences(text: str) -> tuple[Any, ...]:
    if not text:
        return ()
    from cyclonedx.contrib.license.factories import LicenseFactory

    return (LicenseFactory().make_from_string(text),)


def _document(
    digest: Digest, facts: ImageFacts, components: Iterable["Component"], missed: Sequence[str]
) -> Any:
    from cyclonedx.model import Property
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType

    name = facts.labels.get("org.opencontainers.image.title") or "image"
    image = Component(name=name, version=digest, type=ComponentType.CONTAINER, bom_ref=digest)
    notes = [Property(name="gitreceive:not-read", value=text) for text in missed]
    metadata = BomMetaData(component=image, timestamp=_MOMENT, properties=notes)
    bom = Bom(components=components, metadata=metadata, serial_number=uuid.uuid5(_OURS, digest), version=1)
    bom.register_dependency(image, bom.components)
    return bom
