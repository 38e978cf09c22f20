"""A buildpack package as layers: one for each buildpack, the same bytes for the same content."""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from isal import isal_zlib

from gitreceive.buildpacks.package import PLACE, Package, labels
from gitreceive.errors import UnavailableError, UsageError
from gitreceive.lifecycle.folder import Buildpack
from gitreceive.lifecycle.pack import Tar
from gitreceive.lifecycle.source import FOLDER_MODE, Entry
from gitreceive.model import Blob, Build, Digest, Layer

_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_NOT_ADDED = frozenset({".git", "__pycache__"})
_OWNER = (0, 0)
_GZIP = 31  # zlib's window bits for a gzip header, whose date isal leaves at 0
_COMPRESSION = 3


def pack(package: Package, spool: Path) -> Build:
    """An image of nothing but the package's buildpacks; its layers are files in ``spool``.

    Folders and executable files have mode 755, other files 644, all a fixed date and no owner. Raises UsageError for what a
    package cannot hold, UnavailableError where the disk does not take it.
    """
    try:
        layers = {part: _layer(part, spool / f"{at}.tar.gz") for at, part in enumerate(package.parts)}
    except OSError as error:
        raise UnavailableError(
            f"the package cannot be made: {error}", hint="see that all of it can be read, and to the disk"
        ) from error
    said = labels(package, {part: layer.diff_id for part, layer in layers.items()})
    return Build(
        buildpacks=tuple(f"{part.id}@{part.version}" for part in package.parts),
        processes=(),
        port=None,
        run_image=None,
        layers=tuple(layers.values()),
        config={"Labels": said},
    )


def _layer(part: Buildpack, path: Path) -> Layer:
    diff_id, digest, size = _compress(_tar(part), path)
    return Layer(f"{part.id}@{part.version}", diff_id, Blob(digest, size, _LAYER), path)


def _tar(part: Buildpack) -> Iterator[bytes]:
    tar = Tar(_OWNER)
    inside = f"{PLACE}/{part.folder}/{part.version}"
    names = inside.split("/")
    for at in range(1, len(names)):
        parent = "/".join(names[:at])
        yield from tar.entry(parent, Entry(parent, FOLDER_MODE))
    yield from _tree(tar, part.path, inside)
    yield from tar.end()


def _tree(tar: Tar, folder: Path, name: str) -> Iterator[bytes]:
    yield from tar.entry(name, Entry(name, FOLDER_MODE))
    with os.scandir(folder) as listing:
        found = sorted(
            (entry for entry in listing if entry.name not in _NOT_ADDED), key=lambda e: os.fsencode(e.name)
        )
    for entry in found:
        inner = f"{name}/{entry.name}"
        if entry.is_symlink():
            yield from tar.entry(inner, Entry(inner, 0o777, target=_target(entry)))
        elif entry.is_dir(follow_symlinks=False):
            yield from _tree(tar, Path(entry.path), inner)
        elif entry.is_file(follow_symlinks=False):
            yield from _file(tar, entry.path, inner)
        else:
            raise UsageError(f"{entry.path} is no file, folder or symbolic link", hint="remove it")


def _file(tar: Tar, path: str, name: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        seen = os.fstat(file.fileno())
        mode = 0o755 if seen.st_mode & stat.S_IXUSR else 0o644
        yield from tar.entry(name, Entry(name, mode, seen.st_size, content=file))


def _target(entry: "os.DirEntry[str]") -> str:
    target = os.readlink(entry.path)  # noqa: PTH115 - as it is written
    if target.startswith("/"):
        raise UsageError(
            f"the link {entry.path} leads to {target}, a place of this machine",
            hint="make it a relative link",
        )
    return target


def _compress(pieces: Iterable[bytes], path: Path) -> tuple[Digest, Digest, int]:
    """The digest of what is packed, and of the file, and the file's size."""
    plain, packed = hashlib.sha256(), hashlib.sha256()
    deflate = isal_zlib.compressobj(_COMPRESSION, isal_zlib.DEFLATED, _GZIP)

    def compressed() -> Iterator[bytes]:
        for piece in pieces:
            plain.update(piece)
            yield deflate.compress(piece)
        yield deflate.flush()

    with path.open("wb") as file:
        for piece in compressed():
            packed.update(piece)
            file.write(piece)
        size = file.tell()
    return Digest(f"sha256:{plain.hexdigest()}"), Digest(f"sha256:{packed.hexdigest()}"), size
