"""Manifests of what refers to an image, and indexes of them (OCI image spec 1.1). Pure: values in, bytes and values out."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from gitreceive.engines.oci_registry.manifest import (
    CONFIG,
    CREATED,
    INDEX,
    MANIFEST,
    digest_of,
    parse,
    to_blob,
)
from gitreceive.model import Blob, Digest, KeptPart, NewReferrer, Referrer

_EMPTY = "application/vnd.oci.empty.v1+json"  # OCI image spec, "Guidance for an Empty Descriptor"


def referrer_manifest(subject: Blob, new: NewReferrer) -> tuple[bytes, bytes]:
    """The manifest, and the config that it names. The same input gives the same bytes."""
    config, kind = (_as_cosign(new), CONFIG) if new.cosign else (b"{}", _EMPTY)
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": new.artifact_type,
        "config": _descriptor(Blob(digest_of(config), len(config), kind)),
        "layers": [
            _descriptor(Blob(digest_of(part.content), len(part.content), part.media_type), part.annotations)
            for part in new.parts
        ],
        "subject": _descriptor(subject),
        "annotations": dict(new.annotations),
    }
    return encode({name: value for name, value in document.items() if value != {}}), config


def read_referrer(raw: bytes, digest: Digest, source: str) -> Referrer:
    """Raises RegistryError for what is no manifest."""
    document = parse(raw, source)
    config = document.get("config")
    kind = document.get("artifactType") or (config.get("mediaType") if isinstance(config, dict) else "")
    layers = document.get("layers")
    parts = tuple(
        KeptPart(to_blob(entry, source), _annotations(entry))
        for entry in (layers if isinstance(layers, list) else ())
    )
    return Referrer(digest, str(kind), parts, _annotations(document))


def empty_index() -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}


def with_entry(index: Mapping[str, Any], raw: bytes) -> dict[str, Any]:
    """The index with the manifest; as it is where it has it. OCI distribution spec 1.1, "Pushing Manifests with Subject"."""
    digest, document = digest_of(raw), parse(raw, "a referrer")
    listed = [entry for entry in index.get("manifests") or () if isinstance(entry, dict)]
    if any(entry.get("digest") == digest for entry in listed):
        return dict(index)
    entry = {
        "mediaType": MANIFEST,
        "digest": digest,
        "size": len(raw),
        "artifactType": document.get("artifactType") or document["config"]["mediaType"],
        **({"annotations": document["annotations"]} if document.get("annotations") else {}),
    }
    return {**index, "manifests": [*listed, entry]}


def without_entries(index: Mapping[str, Any], digests: Collection[Digest]) -> dict[str, Any]:
    listed = [entry for entry in index.get("manifests") or () if isinstance(entry, dict)]
    return {**index, "manifests": [entry for entry in listed if entry.get("digest") not in digests]}


def encode(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _as_cosign(new: NewReferrer) -> bytes:
    """An image's config: its layers are plain, so their own digests are those of their contents."""
    ids = [digest_of(part.content) for part in new.parts]
    past = [{"created": CREATED} for _ in ids]
    rootfs = {"type": "layers", "diff_ids": ids}
    document = {
        "architecture": "",
        "os": "",
        "created": CREATED,
        "config": {},
        "history": past,
        "rootfs": rootfs,
    }
    return encode(document)


def _annotations(entry: Mapping[str, Any]) -> dict[str, str]:
    found = entry.get("annotations")
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _descriptor(blob: Blob, annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
    document: dict[str, Any] = {"mediaType": blob.media_type, "digest": blob.digest, "size": blob.size}
    return document | ({"annotations": dict(annotations)} if annotations else {})
