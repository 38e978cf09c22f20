"""The Attestor of ports: what is made here is kept in the registry, beside the image, where every tool finds it (docs/supply-chain.md)."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from gitreceive.cancellation import Cancellation
from gitreceive.errors import RegistryError
from gitreceive.model import Check, ImageRef, NewReferrer, Referrer, ReferrerPart
from gitreceive.ports import Attested, Origin, Papers, Registry
from gitreceive.supplychain import bill, provenance, verifying
from gitreceive.supplychain.inventory import Inventory
from gitreceive.supplychain.kinds import (
    ATTESTATIONS,
    BILL_TYPE,
    BUILD_NOTE,
    ENVELOPE_TYPE,
    KEY_NOTE,
    PAYLOAD,
    SIGNATURE_NOTE,
    SIGNATURES,
    STATEMENT_TYPE,
    cosign_tag,
    kept,
)
from gitreceive.supplychain.signing import PublicKey, SigningKey, payload_for

_JOININGS = 5


@dataclass(frozen=True)
class RegistryAttestor:
    """``key`` reads the signing key when it is first wanted; None: nothing is signed. ``builder`` is the URI of this server."""

    registry: Registry
    inventory: Inventory
    builder: str
    key: Callable[[], SigningKey | None]
    first: bool = False

    def sign(self, image: ImageRef, cancel: Cancellation) -> str | None:
        key = self.key()
        if key is None:
            return None
        standing = self.registry.referrers(image)
        if not any(
            verifying.is_signature(self.registry, image, part, key.public) for part in kept(standing, PAYLOAD)
        ):
            content = payload_for(image)
            notes = {SIGNATURE_NOTE: key.sign(content), KEY_NOTE: key.public.id}
            self._add(image, SIGNATURES, ReferrerPart(PAYLOAD, content, notes), standing, cancel)
        return key.public.id

    def attest(self, image: ImageRef, origin: Origin | None, cancel: Cancellation) -> Attested:
        facts = self.registry.facts(image)
        found = bill.bill_of(image.digest, facts, self.inventory.layers(image, self.registry, cancel))
        self._keep(image, BILL_TYPE, found.content, {}, cancel)
        signed = [(provenance.BILL, provenance.about(image, provenance.BILL, json.loads(found.content)))]
        if origin is not None:
            said = provenance.statement(image, facts, origin, self.builder)
            notes = {BUILD_NOTE: str(origin.job.id), "predicateType": provenance.PROVENANCE}
            self._keep(image, STATEMENT_TYPE, said, notes, cancel)
            signed.append((provenance.PROVENANCE, said))
        if key := self.key():
            self._seal(image, key, signed, cancel)
        return Attested(found.components, found.missed)

    def papers(self, image: ImageRef) -> Papers:
        referrers = self.registry.referrers(image)
        content = self._first(image, referrers, BILL_TYPE)
        built = (r.annotations.get(BUILD_NOTE, "") for r in referrers if r.artifact_type == STATEMENT_TYPE)
        keys = (part.annotations.get(KEY_NOTE, "unknown") for part in kept(referrers, PAYLOAD))
        return Papers(
            components=_count(content) if content else None,
            built=tuple(sorted({build for build in built if build})),
            keys=tuple(sorted(set(keys))),
        )

    def bill(self, image: ImageRef) -> bytes | None:
        return self._first(image, self.registry.referrers(image), BILL_TYPE)

    def provenance(self, image: ImageRef, build: int | None = None) -> bytes | None:
        found = [r for r in self.registry.referrers(image) if r.artifact_type == STATEMENT_TYPE]
        found.sort(key=lambda r: _number(r.annotations.get(BUILD_NOTE, "")))
        of_build = [r for r in found if r.annotations.get(BUILD_NOTE) == str(build)]
        return self._first(image, (of_build or found)[-1:], STATEMENT_TYPE)

    def verify(self, image: ImageRef, key: bytes | None = None) -> tuple[Check, ...]:
        own = self.key() if key is None else None
        public = PublicKey.parse(key) if key is not None else own.public if own else None
        return tuple(verifying.checks(self.registry, image, public))

    def _keep(
        self, image: ImageRef, kind: str, content: bytes, notes: dict[str, str], cancel: Cancellation
    ) -> None:
        new = NewReferrer(kind, (ReferrerPart(kind, content),), notes)
        self.registry.attach(image, new, cancel)

    def _seal(
        self, image: ImageRef, key: SigningKey, statements: list[tuple[str, bytes]], cancel: Cancellation
    ) -> None:
        standing = self.registry.referrers(image)
        known = {
            opened
            for part in kept(standing, ENVELOPE_TYPE)
            if (opened := key.public.opens(self.registry.document(image, part.blob))) is not None
        }
        for kind, content in statements:
            there = (
                content in known
                if kind == provenance.PROVENANCE
                else any(provenance.is_about(one, image, kind) for one in known)
            )
            if not there:
                notes = {SIGNATURE_NOTE: "", "predicateType": kind, KEY_NOTE: key.public.id}
                part = ReferrerPart(ENVELOPE_TYPE, key.seal(content), notes)
                standing = self._add(image, ATTESTATIONS, part, standing, cancel)

    def _add(
        self,
        image: ImageRef,
        kind: str,
        part: ReferrerPart,
        standing: tuple[Referrer, ...],
        cancel: Cancellation,
    ) -> tuple[Referrer, ...]:
        """To what others have signed, under the one tag where cosign looks: what stood there goes into the new one. Somebody who does so at the
        same moment takes the tag, so it is looked whether ours is the only one then, and what is there is joined until it is. What stands after
        that is returned. Raises RegistryError, CanceledError.
        """
        for _ in range(_JOININGS):
            old = _with(part.media_type, standing)
            fresh = self.registry.attach(image, self._joined(image, kind, part, old), cancel)
            for referrer in old:
                if referrer.digest != fresh:
                    self.registry.detach(image, referrer.digest, cancel)
            standing = self.registry.referrers(image)
            if [referrer.digest for referrer in _with(part.media_type, standing)] == [fresh]:
                return standing
        raise RegistryError(
            f"others sign {image.repository}@{image.digest.short} all the time",
            hint="see that one server alone signs what is in this repository",
        )

    def _joined(self, image: ImageRef, kind: str, part: ReferrerPart, old: list[Referrer]) -> NewReferrer:
        """In one order, so that two that join the same make the same of it."""
        parts = [
            ReferrerPart(p.blob.media_type, self.registry.document(image, p.blob), p.annotations)
            for referrer in old
            for p in referrer.parts
        ]
        unique = {(p.content, tuple(sorted(p.annotations.items()))): p for p in (*parts, part)}
        joined = tuple(unique[key] for key in sorted(unique))
        return NewReferrer(kind, joined, {}, cosign_tag(image.digest, kind), cosign=True)

    def _first(
        self, image: ImageRef, referrers: tuple[Referrer, ...] | list[Referrer], kind: str
    ) -> bytes | None:
        for referrer in referrers:
            if referrer.artifact_type == kind and referrer.parts:
                return self.registry.document(image, referrer.parts[0].blob)
        return None


def _with(media_type: str, referrers: tuple[Referrer, ...]) -> list[Referrer]:
    return [r for r in referrers if any(p.blob.media_type == media_type for p in r.parts)]


def _count(content: bytes) -> int | None:
    with suppress(ValueError):
        return bill.count(content)
    return None


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
