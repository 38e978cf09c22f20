"""What package managers leave where they have installed something."""

import json
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import PurePosixPath
from typing import Any

from gitreceive.supplychain.package import Package, made


def dpkg_status(content: bytes, _path: str) -> list[Package]:
    """The database of dpkg (deb-control(5)): what is installed, not what was only configured once."""
    found = []
    for fields in _stanzas(content.decode("utf-8", "replace")):
        status = fields.get("Status", "install ok installed")  # distroless images have no such field
        if status.endswith(" installed") and "Package" in fields and "Version" in fields:
            arch = fields.get("Architecture", "")
            found.append(made("deb", fields["Package"], fields["Version"], arch=arch))
    return found


def os_release(content: bytes, _path: str) -> list[Package]:
    """os-release(5)."""
    pairs = (line.partition("=") for line in content.decode("utf-8", "replace").splitlines())
    fields = {name: value.strip("\"' ") for name, _, value in pairs}
    version = fields.get("VERSION_CODENAME") or fields.get("VERSION_ID") or "rolling"
    return [made("os", fields.get("ID") or "linux", version)]


def python_distribution(content: bytes, _path: str) -> list[Package]:
    """Core metadata (packaging.python.org, "Core metadata specifications"); a name is one whatever its case and marks (PEP 503)."""
    message = HeaderParser().parsestr(content.decode("utf-8", "replace").partition("\n\n")[0])
    name = str(message["Name"] or "").strip().lower().replace("_", "-").replace(".", "-")
    licence = message["License-Expression"] or _classified(message.get_all("Classifier") or [])
    return [made("pypi", name, str(message["Version"] or "").strip(), licence=str(licence or ""))]


def node_module(content: bytes, _path: str) -> list[Package]:
    """package.json of an installed package; one with no name or version is a part of another (npm, "package.json")."""
    document = json.loads(content)
    if not isinstance(document.get("name"), str) or not isinstance(document.get("version"), str):
        return []
    group, _, name = document["name"].rpartition("/")
    return [made("npm", name, document["version"], group=group, licence=_licence(document.get("license")))]


def gem(content: bytes, path: str) -> list[Package]:
    """A specification that RubyGems has written: its first lines say name and version, whatever code follows."""
    text = content[:4096].decode("utf-8", "replace")
    stub = next((line for line in text.splitlines() if line.startswith("# stub: ")), "")
    words = stub.removeprefix("# stub: ").split()
    if len(words) < 2:
        name, _, version = PurePosixPath(path).stem.rpartition("-")
        words = [name, version]
    return [made("gem", words[0], words[1])]


def composer_installed(content: bytes, _path: str) -> list[Package]:
    """Composer 2's is an object, Composer 1's a list."""
    document = json.loads(content)
    entries = document.get("packages") if isinstance(document, dict) else document
    left_out = set(document.get("dev-package-names") or ()) if isinstance(document, dict) else set()
    dev = document.get("dev", True) if isinstance(document, dict) else True
    return [
        composer_package(entry)
        for entry in entries or ()
        if isinstance(entry, dict) and (dev or entry.get("name") not in left_out)
    ]


def composer_package(entry: dict[str, Any], *, declared: bool = False) -> Package:
    group, _, name = str(entry.get("name", "")).rpartition("/")
    licences = entry.get("license")
    licence = licences[0] if isinstance(licences, list) and len(licences) == 1 else ""
    version = str(entry.get("version", "")).removeprefix("v")
    return made("composer", name, version, group=group, licence=licence, declared=declared)


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    for stanza in text.split("\n\n"):
        lines = (line.partition(":") for line in stanza.splitlines() if line[:1] not in {" ", "\t", ""})
        yield {name: value.strip() for name, _, value in lines}


def _classified(classifiers: list[str]) -> str:
    names = [c.rpartition(" :: ")[2] for c in classifiers if c.startswith("License :: OSI Approved :: ")]
    return names[0] if len(names) == 1 else ""


def _licence(found: object) -> str:
    if isinstance(found, dict):  # as it was written long ago
        found = found.get("type")
    return found if isinstance(found, str) else ""
