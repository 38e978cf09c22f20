"""Blobs and manifests of one registry: looked for, mounted, sent, fetched (OCI distribution spec)."""

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

from gitreceive.engines.oci_registry.manifest import ACCEPT, MANIFEST, digest_of
from gitreceive.engines.oci_registry.reference import Repository
from gitreceive.engines.oci_registry.transport import (
    Answer,
    Body,
    Call,
    Errand,
    PassingError,
    Transport,
    error_codes,
    refusal,
)
from gitreceive.errors import RegistryError
from gitreceive.model import Blob, Digest

_PIECE = 1 << 18
# an upload that lost a part of what was sent is begun anew
_SPOILT = frozenset({"BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "SIZE_INVALID"})


def exists(transport: Transport, place: Repository, digest: Digest, errand: Errand) -> bool:
    """Whether the repository has the blob."""
    path = f"/v2/{place.name}/blobs/{digest}"
    call = Call("HEAD", place.host, path, (place.push,), accept=frozenset({200, 404}))
    return transport.send(call, errand).status == 200


def mount(
    transport: Transport, place: Repository, digest: Digest, origin: Repository, errand: Errand
) -> bool:
    """Take the blob over from another repository of the same registry; False where the registry does not."""
    query = urlencode({"mount": digest, "from": origin.name})
    call = Call(
        "POST",
        place.host,
        f"/v2/{place.name}/blobs/uploads/?{query}",
        (place.push, origin.pull),
        accept=frozenset({201, 202}),
        body=Body.of(b""),
    )
    answer = transport.send(call, errand)
    if answer.status == 202:
        abandon(transport, place, answer, errand)
    return answer.status == 201


def send_file(transport: Transport, place: Repository, blob: Blob, path: Path, errand: Errand) -> None:
    """Upload the file, which is the blob. Raises RegistryError, CanceledError."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise RegistryError(
            f"the file of layer {blob.digest.short} is gone: {error}", hint="push again"
        ) from error
    if size != blob.size:
        raise RegistryError(
            f"the file of layer {blob.digest.short} has {size} bytes and should have {blob.size}",
            hint="see that the server's disk is not full, then push again",
        )
    _send(transport, place, blob.digest, Body(partial(_pieces, path), blob.size), errand)


def send_bytes(transport: Transport, place: Repository, content: bytes, errand: Errand) -> None:
    """Upload the content."""
    _send(transport, place, digest_of(content), Body.of(content), errand)


def begin(transport: Transport, place: Repository, errand: Errand) -> Answer:
    """Begin an upload; its Location is where to go on."""
    path = f"/v2/{place.name}/blobs/uploads/"
    return transport.once(
        Call("POST", place.host, path, (place.push,), accept=frozenset({202}), body=Body.of(b"")), errand
    )


def abandon(transport: Transport, place: Repository, begun: Answer, errand: Errand) -> None:
    """End an upload that is not wanted. Registries that cannot (405) sweep it up themselves."""
    accept = frozenset({200, 202, 204, 404, 405})
    transport.send(Call("DELETE", place.host, _location(place, begun), (place.push,), accept=accept), errand)


def fetch(transport: Transport, place: Repository, blob: Blob, path: Path, errand: Errand) -> None:
    """Download the blob to ``path`` and check it. Raises RegistryError, CanceledError."""

    def attempt() -> None:
        url = f"/v2/{place.name}/blobs/{blob.digest}"
        transport.once(Call("GET", place.host, url, (place.pull,), save=path, most=blob.size), errand)
        digest = hashlib.sha256()
        for piece in _pieces(path):
            errand.raise_if_requested()
            digest.update(piece)
        _must_be(blob.digest, f"sha256:{digest.hexdigest()}", place, PassingError)

    transport.patience.retry(attempt, errand)


def read(transport: Transport, place: Repository, digest: Digest, errand: Errand) -> bytes:
    """A small blob, such as a config, checked. Raises RegistryError, CanceledError."""
    call = Call("GET", place.host, f"/v2/{place.name}/blobs/{digest}", (place.pull,))
    content = transport.send(call, errand).content
    _must_be(digest, digest_of(content), place, RegistryError)
    return content


def read_manifest(
    transport: Transport, place: Repository, reference: str, errand: Errand
) -> tuple[bytes, str] | None:
    """A manifest and its media type, checked where ``reference`` is a digest; None where there is none."""
    call = Call(
        "GET",
        place.host,
        f"/v2/{place.name}/manifests/{reference}",
        (place.pull,),
        {"Accept": ACCEPT},
        accept=frozenset({200, 404}),
    )
    answer = transport.send(call, errand)
    if answer.status == 404:
        return None
    if reference.startswith("sha256:"):
        _must_be(Digest(reference), digest_of(answer.content), place, RegistryError)
    return answer.content, answer.headers.get("content-type", "").partition(";")[0].strip()


def has_manifest(transport: Transport, place: Repository, digest: Digest, errand: Errand) -> bool:
    path = f"/v2/{place.name}/manifests/{digest}"
    accept = frozenset({200, 404})
    call = Call("HEAD", place.host, path, (place.pull,), {"Accept": ACCEPT}, accept=accept)
    return transport.send(call, errand).status == 200


def delete_manifest(transport: Transport, place: Repository, digest: Digest, errand: Errand) -> bool:
    """False where there was none. Asked once, so that what is asked for here never happens long after. Raises RegistryError, with the remedy where
    the registry deletes nothing.
    """
    path = f"/v2/{place.name}/manifests/{digest}"
    call = Call("DELETE", place.host, path, (place.delete,), accept=frozenset({200, 202, 404, 405}))
    answer = transport.once(call, errand)
    if answer.status == 405:  # OCI distribution spec: "deletion is disabled"
        raise RegistryError(
            f"the registry {place.host} deletes nothing",
            hint="allow it (Docker's registry: storage.delete.enabled: true), or see to its images there",
        )
    return answer.status != 404


def put_manifest(
    transport: Transport, place: Repository, content: bytes, media_type: str, errand: Errand, tag: str = ""
) -> Digest:
    """Store the manifest, tagged for people, else with the first digits of its digest: what has no tag is swept away by some
    registries. The digest is returned only once the registry has confirmed it. Raises RegistryError, CanceledError.
    """
    _put(transport, place, content, media_type, errand, tag)
    return digest_of(content)


def put_referrer(
    transport: Transport, place: Repository, content: bytes, tag: str, errand: Errand
) -> tuple[Digest, bool]:
    """As ``put_manifest``; and whether the registry lists it by itself (OCI distribution spec 1.1, ``OCI-Subject``)."""
    answer = _put(transport, place, content, MANIFEST, errand, tag)
    return digest_of(content), "oci-subject" in answer.headers


def _put(
    transport: Transport, place: Repository, content: bytes, media_type: str, errand: Errand, tag: str
) -> Answer:
    digest = digest_of(content)
    call = Call(
        "PUT",
        place.host,
        f"/v2/{place.name}/manifests/{tag or digest.short}",
        (place.push,),
        {"Content-Type": media_type},
        Body.of(content),
        frozenset({201, 400, 404}),
    )
    answer = transport.send(call, errand)
    if answer.status != 201:
        raise _manifest_refused(call, answer)
    confirmed = answer.headers.get("docker-content-digest")
    if confirmed is None:  # the header is optional (OCI distribution spec, "Pushing Manifests")
        stored = read_manifest(transport, place, digest, errand)
        confirmed = digest_of(stored[0]) if stored else "nothing"
    _must_be(digest, confirmed, place, RegistryError)
    return answer


def _send(transport: Transport, place: Repository, digest: Digest, body: Body, errand: Errand) -> None:
    def attempt() -> None:
        location = _location(place, begin(transport, place, errand))
        url = f"{location}{'&' if '?' in location else '?'}{urlencode({'digest': digest})}"
        call = Call(
            "PUT",
            place.host,
            url,
            (place.push,),
            {"Content-Type": "application/octet-stream"},
            body,
            frozenset({201, 400, 404, 416}),
        )
        answer = transport.once(call, errand)
        if answer.status != 201:
            error = refusal(call, answer)
            raise PassingError(error.message, hint=error.hint) if error_codes(answer) & _SPOILT else error
        _must_be(digest, answer.headers.get("docker-content-digest", digest), place, RegistryError)

    transport.patience.retry(attempt, errand)


def _location(place: Repository, begun: Answer) -> str:
    location: str = begun.headers.get("location", "")
    if not location.startswith(("/", "http://", "https://")):
        raise RegistryError(
            f"the registry {place.host} does not say where to upload to", hint="see the registry's own log"
        )
    return location


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _must_be(expected: Digest, seen: str, place: Repository, kind: Callable[..., RegistryError]) -> None:
    if seen != expected:
        raise kind(
            f"the registry {place.host} confirmed {seen[:80]} where {expected} was meant",
            hint="a proxy or a failing disk changes what passes; nothing was released",
        )


def _manifest_refused(call: Call, answer: Answer) -> RegistryError:
    error = refusal(call, answer)
    if error_codes(answer) & {"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"}:
        return RegistryError(
            error.message, hint="layers were deleted meanwhile; push again with: git push -o nocache"
        )
    return error
