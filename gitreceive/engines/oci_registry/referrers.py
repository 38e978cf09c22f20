"""What refers to an image (OCI distribution spec 1.1, "Listing Referrers"), also in registries that do not list it themselves.

There an index lists it, under a tag that is made of the image's digest ("Referrers Tag Schema"). No registry changes a tag only where it still
names what was seen, so the index is changed by one at a time here, and read once more afterwards: what somebody else has written over is
changed again. What stays possible: somebody else reads the index before a change of ours and writes theirs only after our look at it. Then
ours is lost, until the image is rolled out again.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from random import SystemRandom
from typing import Any

from gitreceive.engines.oci_registry import blobs
from gitreceive.engines.oci_registry.manifest import INDEX, MANIFEST, digest_of, parse
from gitreceive.engines.oci_registry.reference import Repository
from gitreceive.engines.oci_registry.referring import (
    empty_index,
    encode,
    read_referrer,
    referrer_manifest,
    with_entry,
    without_entries,
)
from gitreceive.engines.oci_registry.transport import Call, Errand, Transport
from gitreceive.errors import RegistryError
from gitreceive.model import Blob, Digest, NewReferrer, Referrer

_ATTEMPTS = 6
_APART = 0.05  # seconds
_MOST_PAGES = 50

Send = Callable[[Repository, bytes, Errand], object]  # a blob, unless the repository has it
Change = Callable[[Mapping[str, Any]], dict[str, Any]]  # of an index


class Referrers:
    """Thread-safe."""

    def __init__(self, transport: Transport, send: Send) -> None:
        self._transport = transport
        self._send = send
        self._lock = threading.Lock()

    def attach(self, place: Repository, subject: Digest, new: NewReferrer, errand: Errand) -> Digest:
        """Keep it; what is kept already is kept once. Raises RegistryError where the subject is not there."""
        found = blobs.read_manifest(self._transport, place, subject, errand)
        if found is None:
            raise RegistryError(f"the registry no longer has {place}@{subject}", hint="push again")
        below = Blob(subject, len(found[0]), found[1] or MANIFEST)
        raw, config = referrer_manifest(below, new)
        for content in (config, *(part.content for part in new.parts)):
            self._send(place, content, errand)
        return self._put(place, subject, raw, new.tag, errand)

    def copy(self, origin: Repository, place: Repository, subject: Digest, errand: Errand) -> int:
        """Bring all that refers to the image into another repository of the same registry, where the image is; how many."""
        names = {digest: tag for tag, digest in self._tagged(origin, subject, errand)}
        copied = 0
        for digest in self.entries(origin, subject, errand):
            found = blobs.read_manifest(self._transport, origin, digest, errand)
            if found is None:
                continue
            document = parse(found[0], f"{origin}@{digest}")
            for part in (document.get("config"), *(document.get("layers") or ())):
                if isinstance(part, dict):
                    raw = Digest.parse(str(part.get("digest")))
                    if not blobs.mount(self._transport, place, raw, origin, errand):
                        self._send(place, blobs.read(self._transport, origin, raw, errand), errand)
            self._put(place, subject, found[0], names.get(digest, ""), errand)
            copied += 1
        return copied

    def read(self, place: Repository, subject: Digest, errand: Errand) -> tuple[Referrer, ...]:
        """All that can be read as such, in the registry's order; what is listed and is not there is left out."""
        found = []
        for digest in self.entries(place, subject, errand):
            raw = blobs.read_manifest(self._transport, place, digest, errand)
            if raw is not None:
                found.append(read_referrer(raw[0], digest, f"{place}@{digest}"))
        return tuple(found)

    def remove(self, place: Repository, subject: Digest, errand: Errand) -> None:
        """All that refers to the image, and the index of it. Raises RegistryError."""
        with self._lock:
            for digest in self.entries(place, subject, errand):
                blobs.delete_manifest(self._transport, place, digest, errand)
            index = blobs.read_manifest(self._transport, place, _tag(subject), errand)
            if index is not None:
                blobs.delete_manifest(self._transport, place, digest_of(index[0]), errand)

    def drop(self, place: Repository, subject: Digest, digest: Digest, errand: Errand) -> None:
        """One of them. Raises RegistryError."""
        blobs.delete_manifest(self._transport, place, digest, errand)
        self._change(place, subject, lambda index: without_entries(index, {digest}), errand)

    def entries(self, place: Repository, subject: Digest, errand: Errand) -> dict[Digest, Mapping[str, Any]]:
        """Descriptors of what refers to the image, by digest: by the API where the registry has it, else as the index lists them; and what has
        cosign's tags, which need not refer to it.
        """
        listed = self._listed(place, subject, errand)
        if listed is None:
            index = blobs.read_manifest(self._transport, place, _tag(subject), errand)
            listed = [parse(index[0], f"{place}:{_tag(subject)}")] if index else []
        found: dict[Digest, Mapping[str, Any]] = {}
        for document in listed:
            for entry in document.get("manifests") or ():
                if isinstance(entry, dict):
                    found[Digest.parse(str(entry.get("digest")))] = entry
        for _, digest in self._tagged(place, subject, errand):
            found.setdefault(digest, {})
        return found

    def _listed(self, place: Repository, subject: Digest, errand: Errand) -> list[dict[str, Any]] | None:
        """The pages of the registry's own list; None where it has none (404, or no index)."""
        path = f"/v2/{place.name}/referrers/{subject}"
        pages: list[dict[str, Any]] = []
        while path and len(pages) < _MOST_PAGES:
            call = Call("GET", place.host, path, (place.pull,), {"Accept": INDEX}, accept=_NO_LIST | {200})
            answer = self._transport.send(call, errand)
            kind = answer.headers.get("content-type", "").partition(";")[0].strip()
            if answer.status != 200 or kind != INDEX:
                return None
            pages.append(parse(answer.content, f"the referrers of {place}@{subject}"))
            path = _next(answer.headers.get("link", ""))
        return pages

    def _put(self, place: Repository, subject: Digest, raw: bytes, tag: str, errand: Errand) -> Digest:
        digest, listed = blobs.put_referrer(self._transport, place, raw, tag, errand)
        if not listed:
            self._change(place, subject, lambda index: with_entry(index, raw), errand)
        return digest

    def _change(self, place: Repository, subject: Digest, change: Change, errand: Errand) -> None:
        """Until a look at the index shows nothing more to change. Raises RegistryError where others write over it each time."""
        replaced: set[Digest] = set()
        with self._lock:
            for attempt in range(_ATTEMPTS):
                if attempt > 1:  # who writes as we do falls out of step
                    errand.wait(SystemRandom().uniform(0, _APART * 2**attempt))
                index = blobs.read_manifest(self._transport, place, _tag(subject), errand)
                document = parse(index[0], f"{place}:{_tag(subject)}") if index else empty_index()
                standing = {digest_of(index[0])} if index else set()
                fresh = change(document)
                if fresh == document:
                    self._clear(place, replaced - standing, errand)
                    return
                raw = encode(fresh)
                replaced |= {*standing, digest_of(raw)}
                blobs.put_manifest(self._transport, place, raw, INDEX, errand, _tag(subject))
        raise RegistryError(
            f"the list of what refers to {place}@{subject.short} is written by others all the time",
            hint="see that one server alone writes to this repository",
        )

    def _clear(self, place: Repository, indexes: Iterable[Digest], errand: Errand) -> None:
        """Nothing names them any more. Where that cannot be done it does no harm, and registries that sweep do it too."""
        for digest in indexes:
            with suppress(RegistryError):
                blobs.delete_manifest(self._transport, place, digest, errand)

    def _tagged(self, place: Repository, subject: Digest, errand: Errand) -> Iterator[tuple[str, Digest]]:
        for tag in tags_of(subject):
            manifest = blobs.read_manifest(self._transport, place, tag, errand)
            if manifest is not None:
                yield tag, digest_of(manifest[0])


# 404: no such API (distribution spec 1.1); the others are what registries say to a path that they do not know
_NO_LIST = frozenset({400, 404, 405, 501})


def tags_of(subject: Digest) -> tuple[str, str]:
    """Where cosign looks for signatures and for attestations (cosign's signature specification, "Discovery")."""
    return f"{_tag(subject)}.sig", f"{_tag(subject)}.att"


def _tag(subject: Digest) -> str:
    """OCI distribution spec 1.1, "Referrers Tag Schema"."""
    return subject.replace(":", "-")


def _next(link: str) -> str:
    """The next page (RFC 5988)."""
    target, _, rest = link.partition(">")
    return target.removeprefix("<") if 'rel="next"' in rest else ""
