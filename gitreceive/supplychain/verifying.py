"""Whether what is kept beside an image holds: one finding for each of digest, signature, bill of materials and provenance."""

import json
from collections.abc import Iterator, Sequence

from gitreceive.model import Check, ImageRef, KeptPart, Referrer
from gitreceive.ports import Registry
from gitreceive.supplychain import bill, provenance
from gitreceive.supplychain.kinds import (
    BILL_TYPE,
    ENVELOPE_TYPE,
    PAYLOAD,
    SIGNATURE_NOTE,
    STATEMENT_TYPE,
    kept,
)
from gitreceive.supplychain.signing import PublicKey, names

_AGAIN = "roll out anew: gitreceive redeploy"
_MAKE = "push again: it is made with the image"
_STRANGE = "do not run it: find out who wrote to the registry, and push again"


def checks(registry: Registry, image: ImageRef, key: PublicKey | None) -> Iterator[Check]:
    """The registry checks each document that it gives against its digest. ``key`` None: nothing can be said of who signed. Raises RegistryError
    where it does not answer.
    """
    if not registry.contents(image):
        yield Check("image", ok=False, seen=f"the registry no longer has {image}", fix="push again")
        return
    yield Check("image", ok=True, seen=str(image))
    referrers = registry.referrers(image)
    yield _signature(registry, image, referrers, key)
    sealed = list(_sealed(registry, image, referrers, key)) if key else None
    yield _bill(registry, image, referrers, sealed)
    yield _provenance(registry, image, referrers, sealed)


def is_signature(registry: Registry, image: ImageRef, part: KeptPart, key: PublicKey) -> bool:
    """Whether the part is a signature of the image with the key."""
    content = registry.document(image, part.blob)
    return names(content, image) and key.verifies(part.annotations.get(SIGNATURE_NOTE, ""), content)


def _signature(
    registry: Registry, image: ImageRef, referrers: Sequence[Referrer], key: PublicKey | None
) -> Check:
    parts = list(kept(referrers, PAYLOAD))
    if key is None:
        seen = f"{len(parts)} there, and no public key to check them with" if parts else "not signed"
        return Check(
            "signature", ok=False, seen=seen, fix="give the public key: --key FILE" if parts else _SIGN
        )
    if any(is_signature(registry, image, part, key) for part in parts):
        return Check("signature", ok=True, seen=f"by {key.id}")
    if parts:
        return Check("signature", ok=False, seen=f"none of {len(parts)} is by {key.id}", fix=_STRANGE)
    return Check("signature", ok=False, seen="not signed", fix=_AGAIN)


_SIGN = "set supply_chain.signing_key_file, then roll out anew: gitreceive redeploy"


def _sealed(
    registry: Registry, image: ImageRef, referrers: Sequence[Referrer], key: PublicKey
) -> Iterator[bytes]:
    """The statements that the key has signed."""
    for part in kept(referrers, ENVELOPE_TYPE):
        opened = key.opens(registry.document(image, part.blob))
        if opened is not None:
            yield opened


def _bill(
    registry: Registry, image: ImageRef, referrers: Sequence[Referrer], sealed: Sequence[bytes] | None
) -> Check:
    """With a key, the bill has to be the one that was signed, word by word."""
    found = [registry.document(image, part.blob) for part in kept(referrers, BILL_TYPE)]
    if not found:
        return Check("SBOM", ok=False, seen="there is none", fix=_MAKE)
    try:
        components = bill.count(found[0])
    except ValueError:
        return Check("SBOM", ok=False, seen="it is no CycloneDX document", fix=_STRANGE)
    if sealed is None:
        return Check("SBOM", ok=True, seen=f"{components} components; whose it is was not checked")
    signed = [
        json.loads(one)["predicate"] for one in sealed if provenance.is_about(one, image, provenance.BILL)
    ]
    if any(json.loads(one) not in signed for one in found):
        return Check("SBOM", ok=False, seen="what is there was not signed with the key", fix=_STRANGE)
    return Check("SBOM", ok=True, seen=f"{components} components, signed")


def _provenance(
    registry: Registry, image: ImageRef, referrers: Sequence[Referrer], sealed: Sequence[bytes] | None
) -> Check:
    found = [
        registry.document(image, part.blob)
        for referrer in referrers
        if referrer.artifact_type == STATEMENT_TYPE
        for part in referrer.parts
    ]
    if not found:
        return Check("provenance", ok=False, seen="there is none", fix=_MAKE)
    if not all(provenance.is_about(one, image, provenance.PROVENANCE) for one in found):
        return Check("provenance", ok=False, seen="it is of another image", fix=_STRANGE)
    told = provenance.invocation(found[-1])
    if sealed is None:
        return Check("provenance", ok=True, seen=f"{told}; whose it is was not checked")
    if any(one not in sealed for one in found):
        return Check("provenance", ok=False, seen="what is there was not signed with the key", fix=_STRANGE)
    return Check("provenance", ok=True, seen=f"{told}, signed")
