"""The types under which documents are kept beside images, and their annotations."""

from collections.abc import Iterable, Iterator

from gitreceive.model import Digest, KeptPart, Referrer

BILL_TYPE = "application/vnd.cyclonedx+json"
STATEMENT_TYPE = "application/vnd.in-toto+json"
ENVELOPE_TYPE = "application/vnd.dsse.envelope.v1+json"
# cosign's signature specification: what a signature is of, and where it stands
PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE_NOTE = "dev.cosignproject.cosign/signature"
SIGNATURES = "application/vnd.dev.cosign.artifact.sig.v1+json"
ATTESTATIONS = ENVELOPE_TYPE

BUILD_NOTE = "io.gitreceive.build"  # the number of the build that a provenance is of
KEY_NOTE = "io.gitreceive.key"  # the id of the key that is said to have signed


def cosign_tag(digest: Digest, kind: str) -> str:
    """Where cosign looks (cosign's signature specification, "Discovery")."""
    return f"{digest.replace(':', '-')}.{'sig' if kind == SIGNATURES else 'att'}"


def kept(referrers: Iterable[Referrer], media_type: str) -> Iterator[KeptPart]:
    """All parts of the type, of whichever referrer."""
    return (part for referrer in referrers for part in referrer.parts if part.blob.media_type == media_type)
