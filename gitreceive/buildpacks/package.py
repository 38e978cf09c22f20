"""What a buildpack package holds and says of itself (CNB Distribution spec). Pure but for reading the folders."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gitreceive.errors import UsageError
from gitreceive.lifecycle import classic, toml
from gitreceive.lifecycle.folder import DESCRIPTION, Buildpack, Folder, FolderError, Member, read_buildpack
from gitreceive.model import Digest

PACKAGE_LABEL = "io.buildpacks.buildpackage.metadata"
LAYERS_LABEL = "io.buildpacks.buildpack.layers"
PLACE = "cnb/buildpacks"  # of every buildpack, as PLACE/ID/VERSION with each slash in the id written _

_CONFIG = "package.toml"
_ANY_STACK = "*"
_SAID_OF_IT = ("name", "homepage", "description", "keywords", "licenses")


@dataclass(frozen=True)
class Package:
    """``entry`` is the buildpack that is meant, ``parts`` all that are in it, by id and version."""

    entry: Buildpack
    parts: tuple[Buildpack, ...]


def folders_of(folder: Path) -> tuple[Path, ...]:
    """The buildpack's folder, then those that its ``package.toml`` names as dependencies. Raises UsageError."""
    if classic.is_classic(folder):
        raise UsageError(
            f"{folder} is a classic buildpack, and packages are for Cloud Native Buildpacks",
            hint="offer it as an archive: https://HOST/NAME.tgz#sha256=…",
        )
    config = folder / _CONFIG
    if not config.exists():
        return (folder,)
    try:
        document = toml.read(config)
        dependencies = toml.tables(document, "dependencies")
    except ValueError as error:
        raise UsageError(f"{config} cannot be read: {error}", hint="it is TOML") from error
    head = document.get("buildpack", {})
    own = head.get("uri", ".") if isinstance(head, Mapping) else None
    if not isinstance(own, str) or (folder / own).resolve() != folder.resolve():
        raise UsageError(f"{config}: [buildpack] uri is {own!r}", hint='write uri = ".": its own folder')
    return (folder, *(_dependency(config, entry) for entry in dependencies))


def read_package(folders: Sequence[Path]) -> Package:
    """The first is the entry. Raises UsageError for what is missing, there twice, or used by nothing."""
    try:
        parts = [read_buildpack(folder / DESCRIPTION) for folder in folders]
        entry = parts[0]
        by_id: dict[str, tuple[Buildpack, ...]] = {}
        for part in parts:
            if part.version in {other.version for other in by_id.get(part.id, ())}:
                raise UsageError(f"buildpack {part.name} is in the package twice", hint=f"see {_CONFIG}")
            by_id[part.id] = (*by_id.get(part.id, ()), part)
        start = ((Member(entry.id, entry.version),),)
        for _ in Folder(by_id, start).expand():
            pass
    except FolderError as error:
        raise UsageError(
            f"the package is not whole: {error}",
            hint=f"{_CONFIG} names its parts by [[dependencies]] with uri, a folder",
        ) from error
    used = {entry.id, *(m.id for part in parts for group in part.order for m in group)}
    for part in parts:
        if part.id not in used:
            raise UsageError(f"no order in the package names {part.name}", hint=f"take it out of {_CONFIG}")
    return Package(entry, tuple(sorted(parts, key=lambda part: (part.id, part.version))))


def labels(package: Package, layers: Mapping[Buildpack, Digest]) -> dict[str, str]:
    """The labels of the image; ``layers`` has each part's diff_id. Raises UsageError where the parts share no stack."""
    head = _document(package.entry)["buildpack"]
    metadata = {
        "id": package.entry.id,
        "version": package.entry.version,
        **{key: head[key] for key in _SAID_OF_IT if head.get(key)},
        "stacks": _stacks(package.parts),
    }
    found: dict[str, dict[str, Any]] = {}
    for part in package.parts:
        found.setdefault(part.id, {})[part.version] = _layer_entry(part, layers[part])
    return {PACKAGE_LABEL: _encode(metadata), LAYERS_LABEL: _encode(found)}


def entry_of(labels: Mapping[str, str]) -> tuple[str, str]:
    """The id and version of the buildpack that a package is for. Raises ValueError where the labels are no package's."""
    try:
        metadata = json.loads(labels[PACKAGE_LABEL])
        identity, version = metadata["id"], metadata["version"]
    except KeyError as error:
        raise ValueError(f"it has no label {PACKAGE_LABEL} with an id and a version") from error
    except (ValueError, TypeError) as error:
        raise ValueError(f"its label {PACKAGE_LABEL} is no JSON object") from error
    if not isinstance(identity, str) or not isinstance(version, str):
        raise ValueError(f"its label {PACKAGE_LABEL} has no id and version")  # noqa: TRY004 - of a document, not of the caller
    return identity, version


def _dependency(config: Path, entry: Mapping[str, Any]) -> Path:
    uri = entry.get("uri")
    if not isinstance(uri, str) or "://" in uri:
        said = uri or entry.get("image") or "nothing"
        raise UsageError(
            f"{config}: a dependency is {str(said)[:120]!r}",
            hint='only folders can be packed: uri = "../other", relative to package.toml',
        )
    folder = config.parent / uri
    if not (folder / DESCRIPTION).is_file():
        raise UsageError(f"{config}: {uri[:120]!r} holds no {DESCRIPTION}", hint="name a buildpack's folder")
    return folder


def _stacks(parts: Sequence[Buildpack]) -> list[dict[str, Any]]:
    """Those that every part with programs can be used on, with the mixins that any of them asks for."""
    asked = [stacks for part in parts if not part.order for stacks in [_asked(part)] if stacks]
    if not asked:
        return [{"id": _ANY_STACK}]
    common = [identity for identity in asked[0] if all(identity in stacks for stacks in asked)]
    if not common:
        raise UsageError("the parts of the package have no stack in common", hint="see their [[stacks]]")
    found = []
    for identity in common:
        mixins = sorted({mixin for stacks in asked for mixin in stacks[identity]})
        found.append({"id": identity, **({"mixins": mixins} if mixins else {})})
    return found


def _asked(part: Buildpack) -> dict[str, list[str]]:
    """Mixins by stack; empty where any will do."""
    stacks = {
        str(entry.get("id", "")): entry.get("mixins") or [] for entry in _document(part).get("stacks", ())
    }
    return {} if _ANY_STACK in stacks else stacks


def _layer_entry(part: Buildpack, diff_id: Digest) -> dict[str, Any]:
    document = _document(part)
    head = document["buildpack"]
    return {
        "api": f"{part.api[0]}.{part.api[1]}",
        **{key: document[key] for key in ("stacks", "targets", "order") if document.get(key)},
        **{key: head[key] for key in ("name", "homepage") if head.get(key)},
        "layerDiffID": diff_id,
    }


def _document(part: Buildpack) -> dict[str, Any]:
    return toml.read(part.path / DESCRIPTION)


def _encode(document: Mapping[str, Any]) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), default=str)
