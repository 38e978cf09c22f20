"""A bootstrapped tree as a reproducible layer: the user ``app``, the folders of the buildpack contract, nothing of the host."""

import hashlib
import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from isal import isal_zlib

from gitreceive.cancellation import Cancellation
from gitreceive.errors import BuildError
from gitreceive.model import Digest

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

EPOCH = 315532801  # 1980-01-01T00:00:01Z, as Cloud Native Buildpacks have it
USER_ID = GROUP_ID = 1000
PROGRAM_FOLDER = "usr/local/bin"
_COMPRESSION = 3
_XATTR = "SCHILY.xattr."

# of the host, of the moment, or made again by whoever needs it
_LEFT_OUT = (
    "dev/*",
    "etc/hostname",
    "etc/resolv.conf",
    "etc/machine-id",
    "etc/apt/apt.conf.d/99mmdebstrap",
    "etc/.pwd.lock",
    "etc/passwd-",
    "etc/group-",
    "etc/shadow-",
    "etc/gshadow-",
    "run/*",
    "tmp/*",
    "var/cache/apt/*",
    "var/cache/ldconfig/*",
    "var/cache/debconf/*-old",
    "var/lib/apt/lists/*",
    "var/lib/dpkg/*-old",
    "var/lib/systemd/*",
    "var/log/*",
)
_ACCOUNT = {
    "etc/passwd": f"app:x:{USER_ID}:{GROUP_ID}::/home/app:/bin/bash\n",
    "etc/group": f"app:x:{GROUP_ID}:\n",
    "etc/shadow": "app:!:3652:0:99999:7:::\n",
    "etc/gshadow": "app:!::\n",
}
_STATUS = "var/lib/dpkg/status"


@dataclass(frozen=True)
class Program:
    """One file for PROGRAM_FOLDER."""

    name: str
    version: str
    content: bytes


@dataclass(frozen=True)
class Made:
    """The layer, and the packages in it as NAME=VERSION, sorted."""

    diff_id: Digest
    digest: Digest
    size: int
    packages: tuple[str, ...]


def finish(source: Path, target: Path, programs: Sequence[Program], cancel: Cancellation) -> Made:
    """Write ``target``, a compressed layer, from the tree in the tar file ``source``. The same packages give the same bytes.

    Raises BuildError where the tree is cut off or not a Debian one, CanceledError.
    """
    try:
        with target.open("wb") as file, Compressed(file) as compressed:
            packages = _write(source, compressed, programs, cancel)
            compressed.finish()
    except (tarfile.TarError, OSError) as error:
        raise BuildError(
            f"the layer cannot be written: {error}", hint="see that the disk is not full"
        ) from error
    if not packages:
        raise BuildError("the tree has no dpkg status", hint="see that mmdebstrap ran to its end")
    return Made(compressed.diff_id, compressed.digest, compressed.size, packages)


def read_packages(status: bytes) -> tuple[str, ...]:
    """NAME=VERSION of what dpkg's status file says is installed, sorted."""
    found = []
    for paragraph in status.decode(errors="replace").split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and line[0] != " "
        )
        if fields.get("Status", "").endswith(" installed"):
            found.append(f"{fields['Package']}={fields['Version']}")
    return tuple(sorted(found))


def plain_name(name: str) -> str:
    """A member's name without ``./`` before and ``/`` behind."""
    return name.removeprefix("./").strip("/")


def _write(
    source: Path, target: "Compressed", programs: Sequence[Program], cancel: Cancellation
) -> tuple[str, ...]:
    packages: tuple[str, ...] = ()
    with (
        tarfile.open(source, "r|") as tree,
        tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT) as layer,
    ):
        for entry in tree:
            cancel.raise_if_requested()
            packages = _carry_over(entry, tree, layer) or packages
        _add(layer, programs)
    return packages


def _carry_over(entry: tarfile.TarInfo, tree: tarfile.TarFile, layer: tarfile.TarFile) -> tuple[str, ...]:
    entry.name = plain_name(entry.name)
    if entry.name in {"", "."} or _is_left_out(entry):
        return ()
    if entry.islnk():
        entry.linkname = plain_name(entry.linkname)
    entry.mtime = EPOCH
    entry.uname = entry.gname = ""
    entry.pax_headers = {k: v for k, v in entry.pax_headers.items() if k.startswith(_XATTR)}
    if not entry.isreg():
        layer.addfile(entry)
        return ()
    stream = tree.extractfile(entry)
    content = stream.read() if stream else b""
    changed = _changed(entry.name, content)
    entry.size = len(changed)
    layer.addfile(entry, io.BytesIO(changed))
    return read_packages(content) if entry.name == _STATUS else ()


def _is_left_out(entry: tarfile.TarInfo) -> bool:
    if entry.isdir():  # programs expect their folders, such as /var/log/nginx
        return False
    return entry.isdev() or any(fnmatchcase(entry.name, pattern) for pattern in _LEFT_OUT)


def _changed(name: str, content: bytes) -> bytes:
    if name in _ACCOUNT:
        return content + _ACCOUNT[name].encode()
    if name == "etc/apt/sources.list":
        return _open_sources(content)
    if name.endswith(".pyc") and content[4:8] == b"\x03\0\0\0":
        # PEP 552: checked by the source's hash → never checked; nothing changes it in an image, and start-up stays fast
        return content[:4] + b"\x01" + content[5:]
    return content


def _open_sources(content: bytes) -> bytes:
    """The mirrors that the image was made from, so that ``apt-get`` works in it; none whose address has a login in it."""
    return b"".join(line for line in content.splitlines(keepends=True) if b"@" not in line)


def _add(layer: tarfile.TarFile, programs: Sequence[Program]) -> None:
    # /layers and /workspace belong to the app's user (CNB Platform spec, "Build Image"); /cnb is the platform's
    for name, owner in (("home/app", USER_ID), ("workspace", USER_ID), ("layers", USER_ID), ("cnb", 0)):
        folder = tarfile.TarInfo(name)
        folder.type, folder.mode, folder.mtime, folder.uid, folder.gid = (
            tarfile.DIRTYPE,
            0o755,
            EPOCH,
            owner,
            owner,
        )
        layer.addfile(folder)
    for program in programs:
        file = tarfile.TarInfo(f"{PROGRAM_FOLDER}/{program.name}")
        file.size, file.mode, file.mtime = len(program.content), 0o755, EPOCH
        layer.addfile(file, io.BytesIO(program.content))


class Compressed(io.RawIOBase):
    """A file to write to that compresses, counts and hashes what passes. No time is written into it."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._compressor = isal_zlib.compressobj(_COMPRESSION, wbits=31)
        self._plain = hashlib.sha256()
        self._packed = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, piece: "ReadableBuffer", /) -> int:
        self._plain.update(piece)
        self._put(self._compressor.compress(piece))
        return memoryview(piece).nbytes

    def finish(self) -> None:
        """Write what the compressor still holds. Nothing may be written after it."""
        self._put(self._compressor.flush())

    @property
    def diff_id(self) -> Digest:
        return Digest(f"sha256:{self._plain.hexdigest()}")

    @property
    def digest(self) -> Digest:
        return Digest(f"sha256:{self._packed.hexdigest()}")

    def _put(self, packed: bytes) -> None:
        self._packed.update(packed)
        self.size += len(packed)
        self._file.write(packed)
