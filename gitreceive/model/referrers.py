"""What is kept beside an image in its registry and refers to it (OCI image spec, ``subject``): signatures, bills of materials, provenance."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gitreceive.model.builds import Blob
from gitreceive.model.names import Digest


@dataclass(frozen=True)
class ReferrerPart:
    """One document of a referrer that is to be kept."""

    media_type: str
    content: bytes
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class NewReferrer:
    """``tag`` names it besides, for tools that look for it by that; what the tag named before stays a referrer until it is removed. ``cosign``: laid
    as an image whose layers the parts are, as cosign does it.
    """

    artifact_type: str
    parts: tuple[ReferrerPart, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)
    tag: str = ""
    cosign: bool = False


@dataclass(frozen=True)
class KeptPart:
    blob: Blob
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Referrer:
    """One that the registry has. ``digest`` is its manifest's."""

    digest: Digest
    artifact_type: str
    parts: tuple[KeptPart, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)
