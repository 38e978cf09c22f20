"""Image manifests and configs (OCI image spec), read and made. Pure: bytes in, bytes out."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gitreceive.engines.oci_registry.reference import architecture
from gitreceive.errors import RegistryError, UsageError
from gitreceive.model import PACKAGES_LABEL, Blob, Build, Digest, ImageRef

# the moment that Cloud Native Buildpacks give everything (Platform spec, "Exporter"): the same content is the same image
CREATED = "1980-01-01T00:00:01Z"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
ACCEPT = f"{MANIFEST}, {INDEX}, {DOCKER_MANIFEST}, {DOCKER_INDEX}"
LIFECYCLE_LABEL = "io.buildpacks.lifecycle.metadata"
_REBASABLE_LABEL = "io.buildpacks.rebasable"


@dataclass(frozen=True)
class Manifest:
    """One image's manifest: where its config and its layers are, bottom first."""

    config: Blob
    layers: tuple[Blob, ...]

    @property
    def size(self) -> int:
        return sum(layer.size for layer in self.layers)


@dataclass(frozen=True)
class Base:
    """The image below a build's layers. ``config`` is the whole document."""

    ref: ImageRef | None
    layers: tuple[Blob, ...]
    config: Mapping[str, Any]


EMPTY_BASE = Base(None, (), {})


@dataclass(frozen=True)
class Assembled:
    """An image ready to be sent once its layers are there."""

    config: bytes
    manifest: bytes

    @property
    def digest(self) -> Digest:
        return digest_of(self.manifest)


def digest_of(content: bytes) -> Digest:
    return Digest(f"sha256:{hashlib.sha256(content).hexdigest()}")


def choose(raw: bytes, source: str) -> Digest | None:
    """Of an index the digest for linux on this machine's architecture; None where ``raw`` is an image's own manifest.

    ``source`` names the image in errors. Raises RegistryError.
    """
    document = parse(raw, source)
    if not isinstance(document.get("manifests"), list):
        return None
    wanted = ("linux", architecture())
    offered = [
        (entry, entry.get("platform") or {}) for entry in document["manifests"] if isinstance(entry, dict)
    ]
    for entry, platform in offered:
        if (platform.get("os"), platform.get("architecture")) == wanted:
            return to_blob(entry, source).digest
    names = ", ".join(f"{p.get('os')}/{p.get('architecture')}" for _, p in offered) or "nothing"
    raise RegistryError(
        f"{source} has no image for {'/'.join(wanted)}, only for {names}", hint="use another image"
    )


def read_manifest(raw: bytes, source: str) -> Manifest:
    """Raise RegistryError unless ``raw`` is the manifest of one image."""
    document = parse(raw, source)
    layers = document.get("layers")
    if document.get("schemaVersion") != 2 or not isinstance(layers, list):
        raise RegistryError(
            f"{source} is not an OCI or Docker v2 image", hint="push the image again with a current tool"
        )
    return Manifest(
        to_blob(document.get("config"), source), tuple(to_blob(layer, source) for layer in layers)
    )


def diff_ids(config: Mapping[str, Any], source: str) -> tuple[Digest, ...]:
    """The digests of the layers' contents (OCI image spec, ``rootfs``). Raises RegistryError."""
    try:
        return tuple(Digest.parse(text) for text in config["rootfs"]["diff_ids"])
    except (KeyError, TypeError, UsageError) as error:
        raise RegistryError(f"the config of {source} lists no layers", hint="use another image") from error


def parse(raw: bytes, source: str) -> dict[str, Any]:
    """A JSON object. Raises RegistryError."""
    try:
        document = json.loads(raw)
    except ValueError as error:
        raise RegistryError(f"{source} is not JSON where it should be: {error}") from error
    if not isinstance(document, dict):
        raise RegistryError(f"{source} is not a JSON object where it should be")
    return document


def assemble(base: Base, build: Build) -> Assembled:
    """The build's layers on the base. The same input gives the same bytes. Raises RegistryError on a malformed base."""
    below = diff_ids(base.config, str(base.ref)) if base.ref else ()
    if len(below) != len(base.layers):
        raise RegistryError(
            f"the config and the manifest of {base.ref} disagree", hint="create the stack again"
        )
    config = {
        "created": CREATED,
        "architecture": base.config.get("architecture") or architecture(),
        "os": base.config.get("os") or "linux",
        **{key: base.config[key] for key in ("variant", "os.version", "os.features") if base.config.get(key)},
        "config": _runtime(base, build, below),
        "rootfs": {"type": "layers", "diff_ids": [*below, *(layer.diff_id for layer in build.layers)]},
        "history": _history(base, len(below)) + [_past(layer.title) for layer in build.layers],
    }
    raw = _encode(config)
    layers = [*base.layers, *(layer.blob for layer in build.layers)]
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _descriptor(Blob(digest_of(raw), len(raw), CONFIG)),
        "layers": [_descriptor(layer) for layer in layers],
    }
    return Assembled(raw, _encode(manifest))


def _runtime(base: Base, build: Build, below: tuple[Digest, ...]) -> dict[str, Any]:
    old = dict(base.config.get("config") or {})
    new: dict[str, Any] = dict(build.config)
    if "Entrypoint" in new and "Cmd" not in new:
        old.pop("Cmd", None)  # the base's arguments are for the base's entrypoint
    merged = {**old, **new}
    env = variables(old) | variables(new)
    labels = {**(old.get("Labels") or {}), **(new.get("Labels") or {})}
    if base.ref:
        labels["org.opencontainers.image.base.name"] = base.ref.repository
        labels["org.opencontainers.image.base.digest"] = base.ref.digest
        labels[LIFECYCLE_LABEL] = _lifecycle_metadata(labels.get(LIFECYCLE_LABEL, "{}"), base.ref, below)
        if _is_extended(old.get("Labels") or {}):
            labels[_REBASABLE_LABEL] = (
                "false"  # another tool would take a plain run image, which lacks what this one has
            )
    if env:
        merged["Env"] = [f"{name}={value}" for name, value in env.items()]
    if labels:
        merged["Labels"] = labels
    return merged


def _is_extended(base: Mapping[str, str]) -> bool:
    """Whether a run image with these labels was made of another for one app or a few."""
    return PACKAGES_LABEL in base or base.get(_REBASABLE_LABEL) == "false"


def variables(config: Mapping[str, Any]) -> dict[str, str]:
    """The environment of an image config's ``config`` object, in its order."""
    return {name: value for name, _, value in (text.partition("=") for text in config.get("Env") or ())}


def _lifecycle_metadata(text: str, base: ImageRef, below: tuple[Digest, ...]) -> str:
    """What a rebase needs to know (CNB Platform spec, ``io.buildpacks.lifecycle.metadata``)."""
    document = parse(text.encode(), f"the build's label {LIFECYCLE_LABEL}")
    document["runImage"] = {
        "image": base.repository,
        "reference": str(base),
        "topLayer": below[-1] if below else "",
    }
    return _encode(document).decode()


def _history(base: Base, layers: int) -> list[dict[str, Any]]:
    history = base.config.get("history") or []
    made = [entry for entry in history if isinstance(entry, dict) and not entry.get("empty_layer")]
    return history if len(made) == layers else [_past(f"layer of {base.ref}") for _ in range(layers)]


def _past(title: str) -> dict[str, Any]:
    return {"created": CREATED, "created_by": title}


def to_blob(entry: Any, source: str) -> Blob:
    """An OCI descriptor. Raises RegistryError, naming ``source``, for what is none."""
    try:
        digest, size, media_type = Digest.parse(entry["digest"]), entry["size"], entry["mediaType"]
    except (KeyError, TypeError, UsageError) as error:
        raise RegistryError(f"{source} has a malformed manifest") from error
    if not isinstance(size, int) or size < 0 or not isinstance(media_type, str):
        raise RegistryError(f"{source} has a malformed manifest")
    return Blob(digest, size, media_type)


def _descriptor(blob: Blob) -> dict[str, Any]:
    return {"mediaType": blob.media_type, "digest": blob.digest, "size": blob.size}


def _encode(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
