"""What is known of layers, kept in files: one that was read once, for any app or stack, is not fetched again."""

import json
import os
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from gitreceive.cancellation import Cancellation
from gitreceive.errors import UnavailableError
from gitreceive.model import Blob, Digest, ImageRef
from gitreceive.ports import Registry
from gitreceive.room import require_room
from gitreceive.supplychain.layer import LayerFacts, read_layer


class Inventory:
    """A Shelf. Files may go at any time: what is missed is read again. A layer is fetched only where ``reserved`` bytes stay free on the disk
    beside it: builds and roll-outs go on meanwhile. Thread-safe.
    """

    title = "inventories of layers that nothing was built with"

    def __init__(self, folder: Path, reserved: int = 0) -> None:
        self._folder = folder
        self._reserved = reserved
        self._lock = (
            threading.Lock()
        )  # one layer at a time: it is work for one core, beside what serves pushes

    def layers(self, image: ImageRef, registry: Registry, cancel: Cancellation) -> list[LayerFacts]:
        """Of all layers, bottom first. Raises RegistryError, UnavailableError, CanceledError."""
        stored = registry.contents(image)
        return [
            self._layer(image, blob, registry, cancel)
            for blob in stored
            if ".layer." in blob.media_type or ".rootfs." in blob.media_type
        ]

    def unused(self, seconds: float) -> Mapping[str, int]:
        limit, found = time.time() - seconds, {}
        for path in self._folder.glob("*.json"):
            with suppress(FileNotFoundError):
                seen = path.stat()
                if seen.st_mtime < limit:
                    found[path.name] = seen.st_size
        return found

    def drop(self, name: str, seconds: float) -> bool:
        if name not in self.unused(seconds):
            return False
        (self._folder / name).unlink(missing_ok=True)
        return True

    def _layer(self, image: ImageRef, blob: Blob, registry: Registry, cancel: Cancellation) -> LayerFacts:
        with self._lock:
            return self._known(blob.digest) or self._read(image, blob, registry, cancel)

    def _known(self, digest: Digest) -> LayerFacts | None:
        path = self._path(digest)
        try:
            facts = LayerFacts.from_document(json.loads(path.read_bytes()))
            os.utime(path)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None  # missed, or of another version: it is read from the layer itself
        return facts

    def _read(self, image: ImageRef, blob: Blob, registry: Registry, cancel: Cancellation) -> LayerFacts:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            require_room(self._folder, self._reserved + blob.size)
            with tempfile.TemporaryDirectory(prefix="layer-", dir=self._folder) as folder:
                spooled = Path(folder) / "layer"
                registry.fetch(image, blob, spooled, cancel)
                facts = read_layer(spooled, cancel)
                written = Path(folder) / "facts"
                written.write_text(json.dumps(facts.to_document()), encoding="utf-8")
                written.replace(self._path(blob.digest))
        except OSError as error:
            raise UnavailableError(
                f"{self._folder} cannot be written to: {error.strerror}",
                hint="see that the server's disk is not full",
            ) from error
        return facts

    def _path(self, digest: Digest) -> Path:
        return self._folder / f"{digest.removeprefix('sha256:')}.json"
