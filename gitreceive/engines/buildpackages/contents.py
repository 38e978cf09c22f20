"""What was unpacked, laid as a folder of buildpacks."""

import json
import platform
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gitreceive.buildpacks.package import PLACE, entry_of
from gitreceive.engines.buildpackages.unpack import Limits, Unpacking, UnsafeError, refuse_links_out
from gitreceive.errors import UsageError
from gitreceive.lifecycle import classic
from gitreceive.lifecycle.folder import DESCRIPTION, FolderError, is_id, read_buildpack
from gitreceive.model import Digest

_LAYOUT = "oci-layout"
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}", re.ASCII)
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]+", re.ASCII)
_MOST_LAYERS = 500
_MOST_DOCUMENT = 4 << 20
_MOST_NESTED = 4
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}


@dataclass(frozen=True)
class Work:
    """Where work is done, within which limits, and what is called often meanwhile, and may raise."""

    scratch: Path
    limits: Limits
    check: Callable[[], None]


def take_archive(archive: Path, target: Path, name: str, work: Work) -> tuple[str, str]:
    """Lay the buildpack in the archive into ``target``, which is new: its id and version.

    It is at the top or in the only folder there, a Cloud Native or a classic one; or the archive is a package (``.cnb``). ``name``
    is for a classic one that lies in no folder. Raises UnsafeError.
    """
    plain = work.scratch / "plain"
    plain.mkdir()
    Unpacking(plain, work.limits).archive(archive, work.check)
    refuse_links_out(plain)
    if (plain / _LAYOUT).is_file():
        labels, layers = _read_layout(plain)
        return take_layers(layers, labels, target, work)
    top = _top(plain)
    refuse_links_out(top)
    if classic.is_classic(top):
        return _take_classic(top, target, name if top == plain else top.name)
    try:
        found = read_buildpack(top / DESCRIPTION)
    except FolderError as error:
        raise UnsafeError(_without(error, top)) from error
    _check_version(found.version)
    place = target / found.folder / found.version
    place.parent.mkdir(parents=True)
    top.rename(place)
    return found.id, found.version


def take_layers(layers: list[Path], labels: Mapping[str, str], target: Path, work: Work) -> tuple[str, str]:
    """Lay the buildpacks in a package's layers into ``target``, which is new: id and version of the one it is for. Raises UnsafeError."""
    try:
        identity, version = entry_of(labels)
    except ValueError as error:
        raise UnsafeError(
            f"it is no buildpack package: {error}", hint="see: gitreceive buildpack pack --help"
        ) from error
    if len(layers) > _MOST_LAYERS:
        raise UnsafeError(f"it has more than {_MOST_LAYERS} layers")
    target.mkdir()
    unpacking = Unpacking(target, work.limits)
    for layer in layers:
        unpacking.layer(layer, PLACE, work.check)
    found = {_check_place(place, target) for place in sorted(target.glob("*/*"))}
    if (identity, version) not in found:
        there = ", ".join(f"{i} {v}" for i, v in sorted(found)) or "nothing"
        raise UnsafeError(f"it is for {identity} {version}, but what is in it: {there}")
    return identity, version


def _take_classic(top: Path, target: Path, name: str) -> tuple[str, str]:
    if not (top / "bin" / "detect").is_file():
        raise UnsafeError("it has bin/compile, but no bin/detect")
    plain = _NOT_IN_A_NAME.sub("-", name).strip("-._")
    place = target / (plain or "buildpack")
    target.mkdir()
    top.rename(place)
    identity = classic.identity(place, target)
    if not is_id(identity):
        raise UnsafeError(f"{identity!r} cannot be a buildpack's id: rename the folder in it")
    return identity, classic.VERSION


def _top(plain: Path) -> Path:
    """The folder that holds the buildpack."""
    there = list(plain.iterdir())
    places = [plain, *there] if len(there) == 1 and not there[0].is_symlink() else [plain]
    for top in places:
        if (top / DESCRIPTION).is_file() or (top / "bin" / "compile").is_file():
            return top
    raise UnsafeError(
        f"neither {DESCRIPTION} nor bin/compile is at its top or in its only folder",
        hint="make an archive of one buildpack's folder",
    )


def _check_place(place: Path, target: Path) -> tuple[str, str]:
    refuse_links_out(place)
    try:
        found = read_buildpack(place / DESCRIPTION)
    except FolderError as error:
        raise UnsafeError(_without(error, target)) from error
    _check_version(found.version)
    if place != target / found.folder / found.version:
        raise UnsafeError(f"{found.name} lies at {place.relative_to(target)}, which is not its place")
    return found.id, found.version


def _check_version(version: str) -> None:
    if not _VERSION.fullmatch(version):
        raise UnsafeError(f"{version[:80]!r} cannot be a buildpack's version")


def _without(error: FolderError, place: Path) -> str:
    """The server's own paths are nobody's business."""
    return str(error).replace(f"{place}/", "").replace(str(place), "it")


def _read_layout(plain: Path) -> tuple[Mapping[str, str], list[Path]]:
    """The labels and layers of the image in an OCI layout (OCI image spec, "Image Layout")."""
    document = _document(plain / "index.json")
    try:
        for _ in range(_MOST_NESTED):
            if "manifests" not in document:
                break
            document = _document(_blob(plain, _choose(document["manifests"])["digest"]))
        config = _document(_blob(plain, document["config"]["digest"]))
        labels = (config.get("config") or {}).get("Labels") or {}
        layers = [_blob(plain, layer["digest"]) for layer in document["layers"]]
        return {str(name): str(text) for name, text in labels.items()}, layers
    except (KeyError, TypeError, AttributeError, UsageError) as error:
        raise UnsafeError(f"its OCI layout is malformed: {error}") from error


def _choose(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    wanted = ("linux", _ARCHITECTURES.get(platform.machine(), platform.machine()))
    for entry in manifests:
        where = entry.get("platform") or {}
        if not where or (where.get("os"), where.get("architecture")) == wanted:
            return entry
    raise UnsafeError(f"its OCI layout has no image for {'/'.join(wanted)}")


def _blob(plain: Path, digest: str) -> Path:
    path = plain / "blobs" / "sha256" / Digest.parse(digest).removeprefix("sha256:")
    if not path.is_file():
        raise UnsafeError(f"its OCI layout lacks {digest}")
    return path


def _document(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_DOCUMENT:
            raise UnsafeError(f"its {path.name} is larger than {_MOST_DOCUMENT >> 20} MiB")
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError, FileNotFoundError) as error:
        raise UnsafeError(f"its {path.name} cannot be read") from error
    if not isinstance(document, dict):
        raise UnsafeError(f"its {path.name} is no JSON object")
    return document
