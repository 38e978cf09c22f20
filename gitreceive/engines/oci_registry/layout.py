"""An image as one file: an uncompressed tar of an OCI image layout (OCI image spec, "Image Layout")."""

import io
import json
import os
import tarfile
import tempfile
from pathlib import Path

from gitreceive.engines.oci_registry.manifest import EMPTY_BASE, INDEX, MANIFEST, assemble, digest_of
from gitreceive.engines.oci_registry.reference import architecture
from gitreceive.errors import RegistryError, UnavailableError
from gitreceive.model import Build, Digest


def save(build: Build, path: Path) -> Digest:
    """Write the image, which stands on no other, to ``path``, whole or not at all; the digest of its manifest.

    The same build gives the same bytes. Raises RegistryError for a build on a run image, UnavailableError where it cannot be written.
    """
    if build.run_image or build.engine_image:
        raise RegistryError("only an image that stands on no other can be saved as a file")
    image = assemble(EMPTY_BASE, build)
    blobs = {image.digest: image.manifest, digest_of(image.config): image.config}
    files = {layer.blob.digest: layer.path for layer in build.layers if layer.path}
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with open(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w|") as tar:
                _add(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
                _add(tar, "index.json", _index(image.digest, len(image.manifest)))
                for blob in sorted({*blobs, *files}):
                    _add(tar, f"blobs/sha256/{blob.removeprefix('sha256:')}", blobs.get(blob) or files[blob])
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UnavailableError(
            f"{path} cannot be written: {error.strerror}", hint="name a file in a folder that is there"
        ) from error
    return image.digest


def _index(digest: Digest, size: int) -> bytes:
    platform = {"os": "linux", "architecture": architecture()}
    entry = {"mediaType": MANIFEST, "digest": digest, "size": size, "platform": platform}
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _add(tar: tarfile.TarFile, name: str, content: bytes | Path) -> None:
    """Owned by nobody, of no date."""
    with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
        info = tarfile.TarInfo(name)
        info.size = file.seek(0, os.SEEK_END)
        file.seek(0)
        tar.addfile(info, file)
