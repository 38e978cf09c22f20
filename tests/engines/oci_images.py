"""Layers and builds for tests."""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from gitreceive.model import Blob, Build, Digest, ImageRef, Layer

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


class Notes:
    """A Log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def step(self, text: str) -> None:
        self.lines.append(text)

    detail = warn = step

    def error(self, text: str, hint: str = "") -> None:
        self.lines.append(text)

    def write(self, chunk: bytes) -> None:
        self.lines.append(chunk.decode())

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def digest(content: bytes) -> Digest:
    return Digest(f"sha256:{hashlib.sha256(content).hexdigest()}")


def tar(files: Mapping[str, bytes | str]) -> bytes:
    """Bytes are files, a string is a link's target."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                archive.addfile(entry)
            else:
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def layer(folder: Path, title: str, content: bytes | None = None) -> Layer:
    plain = content if content is not None else tar({title: title.encode() * 2000})
    packed = gzip.compress(plain, 1, mtime=0)
    path = folder / f"{digest(packed).short}.tar.gz"
    path.write_bytes(packed)
    return Layer(title, digest(plain), Blob(digest(packed), len(packed), LAYER), path)


def build(
    *layers: Layer, run_image: ImageRef | None = None, config: Mapping[str, object] | None = None
) -> Build:
    return Build(("test@1",), (), None, run_image, layers, config or {})
