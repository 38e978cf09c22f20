"""What is in an image that somebody else made: the programs that builds stand on, and its packages."""

import re
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from posixpath import dirname, join, normpath
from typing import Protocol

from gitreceive.cancellation import Cancellation
from gitreceive.engines.stacks.rootfs import plain_name, read_packages
from gitreceive.errors import BuildError, GitreceiveError
from gitreceive.model import Blob, ImageRef
from gitreceive.ports import Log

_PYTHON = re.compile(r"python3\.([0-9]{1,3})")
_OLDEST_PYTHON = 11
_STATUS = "var/lib/dpkg/status"
_MOST_LINKS = 16


class Layers(Protocol):
    def blobs(self, image: ImageRef) -> tuple[Blob, ...]: ...

    def fetch(self, image: ImageRef, blob: Blob, path: Path, cancel: Cancellation) -> None: ...


@dataclass
class _Tree:
    """Names in an image: a link's target, or "" for anything else."""

    names: dict[str, str] = field(default_factory=dict)
    status: bytes = b""


def inspect(images: Layers, image: ImageRef, log: Log, cancel: Cancellation) -> tuple[str, ...]:
    """The image's Debian packages, NAME=VERSION; none where it has no dpkg. Raises BuildError unless it has /usr/bin/python3, 3.11 or
    newer, and /bin/bash, which every build and every start needs; RegistryError, CanceledError.
    """
    tree = _Tree()
    with tempfile.TemporaryDirectory(prefix="gitreceive-inspect-") as folder:
        path = Path(folder) / "layer"
        for blob in images.blobs(image):
            images.fetch(image, blob, path, cancel)
            try:
                _read(path, tree, cancel)
            except (tarfile.TarError, OSError, EOFError) as error:
                raise BuildError(
                    f"layer {blob.digest.short} of {image} cannot be read: {error}",
                    hint="use an image whose layers are tar files, plain or compressed with gzip",
                ) from error
    python = resolve(tree.names, "usr/bin/python3")
    match = _PYTHON.fullmatch(python.rpartition("/")[2]) if python else None
    if not match or int(match[1]) < _OLDEST_PYTHON:
        raise _unfit(
            image, f"/usr/bin/python3 of 3.{_OLDEST_PYTHON} or newer", f"/{python}" if python else "nothing"
        )
    if not resolve(tree.names, "bin/bash"):
        raise _unfit(image, "/bin/bash", "nothing")
    log.detail(f"it has /{python} and /bin/bash")
    return read_packages(tree.status)


def resolve(names: dict[str, str], path: str) -> str | None:
    """Follow links, in folders too; the real name, or None where there is nothing."""
    for _ in range(_MOST_LINKS):
        parts = path.split("/")
        for end in range(1, len(parts) + 1):
            head = "/".join(parts[:end])
            if names.get(head):
                path = normpath(join(dirname(head), names[head], *parts[end:])).lstrip("/")
                break
        else:
            return path if path in names else None
    return None


def _unfit(image: ImageRef, wanted: str, seen: str) -> GitreceiveError:
    return BuildError(
        f"{image} lacks {wanted}: there is {seen}", hint="put it into the image; builds and starts need it"
    )


def _read(path: Path, tree: _Tree, cancel: Cancellation) -> None:
    with tarfile.open(path, "r:*") as layer:
        for entry in layer:
            cancel.raise_if_requested()
            name = plain_name(entry.name)
            folder, _, last = name.rpartition("/")
            if last.startswith(".wh."):  # OCI image spec, "Whiteouts"
                _forget(tree, folder if last == ".wh..wh..opq" else f"{folder}/{last[4:]}".lstrip("/"))
                continue
            tree.names[name] = entry.linkname if entry.issym() else ""
            if name == _STATUS:
                stream = layer.extractfile(entry)
                tree.status = stream.read() if stream else b""


def _forget(tree: _Tree, gone: str) -> None:
    tree.names = {n: link for n, link in tree.names.items() if n != gone and not n.startswith(f"{gone}/")}
