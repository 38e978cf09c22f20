"""Layers and images for tests: their files as a mapping, in a registry that is a dictionary."""

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

from gitreceive.cancellation import Cancellation
from gitreceive.model import Blob, Build, ImageRef, Layer
from tests.engines.oci_images import LAYER, Notes, digest
from tests.fake_registry import FakeRegistry

DEBIAN = {
    "var/lib/dpkg/status": b"""Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u10
Description: GNU C Library
 with more lines

Package: nano
Status: deinstall ok config-files
Architecture: amd64
Version: 7.2-1
""",
    "usr/lib/os-release": b'ID=debian\nVERSION_CODENAME=bookworm\nPRETTY_NAME="Debian"\n',
}
FLASK = {
    "layers/x/deps/lib/python3.11/site-packages/flask-3.0.0.dist-info/METADATA": (
        b"Metadata-Version: 2.1\nName: Flask\nVersion: 3.0.0\nLicense-Expression: BSD-3-Clause\n\nName: no header\n"
    )
}


def tar_of(files: Mapping[str, bytes], mode: int = 0o644) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def write(folder: Path, files: Mapping[str, bytes], mode: int = 0o644) -> Path:
    packed = gzip.compress(tar_of(files, mode), 1, mtime=0)
    path = folder / f"{digest(packed).short}.tar.gz"
    path.write_bytes(packed)
    return path


def layer(folder: Path, files: Mapping[str, bytes], mode: int = 0o644) -> Layer:
    path = write(folder, files, mode)
    packed = path.read_bytes()
    return Layer("layer", digest(gzip.decompress(packed)), Blob(digest(packed), len(packed), LAYER), path)


def publish(
    registry: FakeRegistry,
    folder: Path,
    *layers: Mapping[str, bytes],
    labels: Mapping[str, object] | None = None,
) -> ImageRef:
    plain = {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in (labels or {}).items()
    }
    made = tuple(layer(folder, files) for files in layers)
    build = Build((), (), None, None, made, {"Labels": plain})
    return registry.publish(build, "shop", Notes(), Cancellation())
