"""Layers as they come out of a build: checked, hashed, compressed and spooled in one pass, in constant memory."""

import hashlib
import json
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

from isal import isal_zlib

from gitreceive.errors import BuildError
from gitreceive.lifecycle.frames import StreamFile
from gitreceive.lifecycle.secrets import Finder
from gitreceive.model import Blob, Digest, Layer

MEDIA_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"

_GZIP = 31  # zlib's window bits for a gzip header, whose date isal leaves at 0
_READ = 1 << 18
_TAR_READ = 1 << 15  # tarfile copies what is left of a read with each header
# what a layer that is no buildpack's may hold
_OWN_PLACES = {
    "app": ("workspace",),
    "launcher": ("cnb/lifecycle",),
    "config": ("cnb/process", "layers/config", "app"),  # Heroku's folder, as a link
    "sbom": ("layers/sbom/launch",),
}
_ABOUT = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_MOST_ABOUT = 1 << 20  # bytes
_SLICE = re.compile(r"slice [1-9][0-9]*")


def take_layer(
    title: str,
    chunks: Iterator[bytes],
    path: Path,
    previous: Mapping[Digest, Blob],
    patterns: Mapping[str, tuple[bytes, ...]],
    look: Callable[[str, int], object] = lambda _path, _size: None,
) -> Layer:
    """Read one tar to its end into ``path``; nothing is kept where ``previous`` has the same layer.

    ``patterns`` are how each secret could be written, by its name; ``look`` is told the path and size of each member. Raises BuildError for a path outside the layer's own place,
    for what images do not hold, and for a secret.
    """
    with open(path, "wb") as file:
        tee = _Tee(StreamFile(chunks), file, patterns)
        try:
            _check(title, tee, look)
        except tarfile.TarError as error:
            raise BuildError(f"layer {title} is not a tar: {error}") from error
        diff_id, digest, size = tee.finish()
    if diff_id in previous:
        path.unlink()
        return Layer(title, diff_id, previous[diff_id], None)
    return Layer(title, diff_id, Blob(digest, size, MEDIA_TYPE), path)


def refuse_leaks(event: Mapping[str, Any], patterns: Mapping[str, tuple[bytes, ...]]) -> None:
    """Raise BuildError for a secret in what goes into the image's config: labels, metadata of layers, processes."""
    text = json.dumps(event, ensure_ascii=False).encode(errors="replace")
    for secret, wanted in patterns.items():
        if Finder(wanted).feed(text) is not None:
            raise BuildError(
                f"build secret {secret} is in the image's labels",
                hint="nothing was published; write the value into no launch.toml and no layer's metadata",
            )


def places_of(title: str) -> tuple[str, ...]:
    """Folders (no slash in front) that the layer of this title may fill."""
    if title in _OWN_PLACES:
        return _OWN_PLACES[title]
    if _SLICE.fullmatch(title):
        return _OWN_PLACES["app"]
    buildpack, _, name = title.rpartition(":")
    if not buildpack or "/" in name or name in {"", ".", ".."}:
        raise BuildError(f"the build sent a layer with the title {title!r}")
    return (f"layers/{buildpack.replace('/', '_')}/{name}",)


def _check(title: str, tee: "_Tee", look: Callable[[str, int], object]) -> None:
    places = places_of(title)
    with tarfile.open(fileobj=cast("IO[bytes]", tee), mode="r|", bufsize=_TAR_READ, tarinfo=_Member) as tar:
        for member in tar:
            _check_member(title, member, places)
            look(member.name, member.size)
            tee.refuse_leak(title, member)
            tar.members.clear()  # type: ignore[attr-defined]  # else every header stays in memory
    tee.drain()
    tee.refuse_leak(title, None)


def _check_member(title: str, member: tarfile.TarInfo, places: tuple[str, ...]) -> None:
    name = member.name.rstrip("/")
    inside = any(name == place or name.startswith(f"{place}/") for place in places)
    parent = member.isdir() and any(place.startswith(f"{name}/") for place in places)
    if not (inside or parent) or ".." in name.split("/"):
        raise BuildError(f"layer {title} would write to /{name}")
    if not (member.isreg() or member.isdir() or member.issym()):
        raise BuildError(f"layer {title}: /{name} is no file, folder or symbolic link")
    if name.rpartition("/")[2].startswith(".wh."):
        raise BuildError(
            f"layer {title}: images cannot hold the name {name!r}",
            hint="names that begin with .wh. mean a deletion there (OCI image spec): rename the file",
        )


class _Member(tarfile.TarInfo):
    """One whose headers about headers, which the reader takes into memory whole, are of a sane size."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _ABOUT and self.size > _MOST_ABOUT:
            raise BuildError(f"a header of a layer has more than {_MOST_ABOUT >> 20} MiB")
        member: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return member


class _Tee:
    """Passes the tar on to who checks it, and takes hashes, compression and secrets on the way."""

    def __init__(
        self, source: StreamFile, file: IO[bytes], patterns: Mapping[str, tuple[bytes, ...]]
    ) -> None:
        self._source = source
        self._file = file
        self._finders = {name: Finder(wanted) for name, wanted in patterns.items()}
        self._leak: tuple[int, str] | None = None  # where, and which secret
        self._raw = hashlib.sha256()
        self._packed = hashlib.sha256()
        self._size = 0
        self._deflate = isal_zlib.compressobj(1, isal_zlib.DEFLATED, _GZIP)

    def read(self, size: int) -> bytes:
        piece = self._source.read(size)
        if piece:
            self._raw.update(piece)
            self._store(self._deflate.compress(piece))
            found = [
                (at, name) for name, finder in self._finders.items() if (at := finder.feed(piece)) is not None
            ]
            self._leak = self._leak or min(found, default=None)
        return piece

    def drain(self) -> None:
        while self.read(_READ):
            pass

    def refuse_leak(self, title: str, member: tarfile.TarInfo | None) -> None:
        """Raise BuildError once the member that holds the secret is known; None: at the end."""
        if self._leak is None:
            return
        at, secret = self._leak
        if member is None or at < member.offset_data + member.size:
            where = f"/{member.name}" if member else "a file"
            raise BuildError(
                f"build secret {secret} is in layer {title}: {where}",
                hint="nothing was published; let the build read /platform/secrets and write the value nowhere",
            )

    def finish(self) -> tuple[Digest, Digest, int]:
        """diff_id, digest and size of what was stored."""
        self._store(self._deflate.flush())
        return (
            Digest(f"sha256:{self._raw.hexdigest()}"),
            Digest(f"sha256:{self._packed.hexdigest()}"),
            self._size,
        )

    def _store(self, packed: bytes) -> None:
        self._packed.update(packed)
        self._size += len(packed)
        self._file.write(packed)
