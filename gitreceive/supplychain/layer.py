"""What one layer of an image says of packages. A layer never changes, so this is read once and kept.

The archive is made by whoever wrote the Dockerfile or the buildpack: nothing of it is unpacked to disk or run, and all is bounded. What a bound
leaves out is said.
"""

import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

import zstandard
from isal import igzip

from gitreceive.cancellation import Cancellation
from gitreceive.errors import RegistryError
from gitreceive.supplychain import documents, go, java, locks, metadata
from gitreceive.supplychain.package import Package

FORMAT = 1  # raise it when other packages are found in the same layer
_MOST_MEMBERS = 2_000_000
_MOST_BYTES = 32 << 30  # of the layer, unpacked
_MOST_PACKAGES = 50_000
_MOST_DOCUMENT = 16 << 20
_ZSTD = re.compile(
    rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"
)  # a frame, or one to be skipped (RFC 8878, 3.1)
_MOST_WINDOW = 128 << 20  # bytes of memory that a frame may ask for: as many as zstd gives one by itself
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"  # OCI image spec, "Whiteouts"

Read = Callable[
    [bytes, str], list[Package]
]  # content, path; raises ValueError where it is not what its name says


@dataclass
class LayerFacts:
    """``packages`` by the file that tells of them; ``gone`` are paths that the layer removes, ``emptied`` folders of which it hides all that
    lies below. ``missed`` says in words what could not be read.
    """

    packages: dict[str, list[Package]] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    emptied: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    def to_document(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "packages": {path: [p.to_document() for p in found] for path, found in self.packages.items()},
            "gone": self.gone,
            "emptied": self.emptied,
            "missed": self.missed,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "LayerFacts":
        """Raises KeyError, TypeError or ValueError for another format."""
        if document["format"] != FORMAT:
            raise ValueError("another format")
        found = {path: [Package.from_document(p) for p in ps] for path, ps in document["packages"].items()}
        return cls(found, list(document["gone"]), list(document["emptied"]), list(document["missed"]))


def read_layer(path: Path, cancel: Cancellation) -> LayerFacts:
    """Of a tar, plain or compressed with gzip or zstd (OCI image spec, "Image Layer Filesystem Changeset"). Raises RegistryError for what is none,
    CanceledError.
    """
    facts = LayerFacts()
    try:
        with path.open("rb") as raw, _plain(raw) as plain, tarfile.open(fileobj=plain, mode="r|") as archive:
            number = 0
            while (member := archive.next()) is not None:
                if number % 1000 == 0:
                    cancel.raise_if_requested()
                number += 1
                if number > _MOST_MEMBERS or archive.offset > _MOST_BYTES:
                    facts.missed.append("the rest of a layer that is too large")
                    break
                _take(archive, member, facts)
                archive.members = []  # type: ignore[attr-defined] # else it remembers all of them
    except (tarfile.TarError, zstandard.ZstdError, OSError, EOFError, ValueError) as error:
        raise RegistryError(
            f"a layer cannot be read as a tar: {error}", hint="push again with: git push -o nocache"
        ) from error
    return facts


def _plain(raw: IO[bytes]) -> IO[bytes]:
    magic = raw.read(4)
    raw.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", igzip.IGzipFile(fileobj=raw, mode="rb"))  # type: ignore[no-untyped-call]
    if _ZSTD.match(magic):
        opened = zstandard.ZstdDecompressor(max_window_size=_MOST_WINDOW)
        return cast("IO[bytes]", opened.stream_reader(raw, read_across_frames=True))
    return raw


def _take(archive: tarfile.TarFile, member: tarfile.TarInfo, facts: LayerFacts) -> None:
    path = str(PurePosixPath("/", member.name)).lstrip("/")
    folder, _, name = path.rpartition("/")
    if name.startswith(_WHITEOUT):
        if name == _OPAQUE:
            facts.emptied.append(folder)
        else:
            facts.gone.append(f"{folder}/{name.removeprefix(_WHITEOUT)}".lstrip("/"))
        return
    if not member.isreg() or len(facts.packages) >= _MOST_PACKAGES:
        return
    read = _reader(path, name)
    if read is None:
        _take_program(archive, member, path, facts)
    elif member.size > _MOST_DOCUMENT:
        facts.missed.append(f"{path}: larger than {_MOST_DOCUMENT >> 20} MiB")
    else:
        content = _content(archive, member)
        try:
            facts.packages[path] = read(content, path)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            facts.packages[path] = []
            facts.missed.append(f"{path}: not what its name says")


def _take_program(archive: tarfile.TarFile, member: tarfile.TarInfo, path: str, facts: LayerFacts) -> None:
    """Archives of Java, and programs that Go has built: found by what they are, not by where."""
    stream = archive.extractfile(member)
    if stream is None:
        return
    if path.endswith((".jar", ".war", ".ear")):
        found, complete = java.packages_in(stream, path)
        facts.packages[path] = found
        if not complete:
            facts.missed.append(f"{path}: not all of it could be read")
    elif member.mode & 0o111 and member.size >= go.SMALLEST and ".so" not in path:
        found = go.packages_in(stream)
        if found:
            facts.packages[path] = found


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    return stream.read() if stream else b""


def _reader(path: str, name: str) -> Read | None:
    if read := _BY_NAME.get(name):
        wanted, pattern = read
        return wanted if pattern is None or pattern.search(path) else None
    if name.endswith(".gemspec"):
        return metadata.gem if "/specifications/" in path else None
    if "var/lib/dpkg/status.d/" in path:
        return metadata.dpkg_status
    return None


# what is looked at, by the name of the file; the pattern is what its path has to have besides
_BY_NAME: dict[str, tuple[Read, re.Pattern[str] | None]] = {
    "status": (metadata.dpkg_status, re.compile(r"^var/lib/dpkg/status$")),
    "os-release": (metadata.os_release, re.compile(r"^(usr/lib|etc)/os-release$")),
    "METADATA": (metadata.python_distribution, re.compile(r"\.dist-info/METADATA$")),
    "PKG-INFO": (metadata.python_distribution, re.compile(r"\.egg-info/PKG-INFO$")),
    "package.json": (
        metadata.node_module,
        re.compile(r"(^|/)node_modules/(@[^/]+/)?[^/@][^/]*/package\.json$"),
    ),
    "installed.json": (metadata.composer_installed, re.compile(r"(^|/)composer/installed\.json$")),
    "package-lock.json": (locks.npm, re.compile(r"^(?!.*node_modules/)")),
    "Gemfile.lock": (locks.gems, re.compile(r"^workspace/|^app/|^[^/]+/[^/]+$")),
    "composer.lock": (locks.composer, re.compile(r"^(?!.*vendor/)")),
    "go.mod": (locks.go_module, re.compile(r"^(?!.*(vendor|pkg/mod)/)")),
    "sbom.cdx.json": (documents.cyclonedx, None),
    "sbom.spdx.json": (documents.spdx, None),
    "sbom.syft.json": (documents.syft, None),
}


def walk(packages: Mapping[str, list[Package]]) -> Iterator[tuple[str, Package]]:
    """Each package with the file that tells of it, in order of paths."""
    for path in sorted(packages):
        for package in packages[path]:
            yield path, package
