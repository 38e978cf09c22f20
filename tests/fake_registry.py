"""A Registry that is a dictionary. It keeps the contract of tests/engines/test_registry.py."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from gitreceive.cancellation import Cancellation
from gitreceive.errors import RegistryError
from gitreceive.model import (
    Blob,
    Build,
    Check,
    Digest,
    ImageFacts,
    ImageRef,
    KeptPart,
    Layer,
    NewReferrer,
    Referrer,
)
from gitreceive.ports import Log


@dataclass
class FakeRegistry:
    """``images`` by reference, ``held`` the blobs of each repository. ``failure`` is raised by the next publish."""

    address: str = "registry.test"
    images: dict[ImageRef, Build] = field(default_factory=dict)
    held: dict[str, set[Digest]] = field(default_factory=dict)
    failure: Exception | None = None
    deletes_nothing: bool = False
    during_remove: Callable[[ImageRef], object] = lambda _image: None
    contents_of: dict[Digest, bytes] = field(default_factory=dict)  # blobs that somebody may read
    kept: dict[ImageRef, dict[Digest, Referrer]] = field(default_factory=dict)
    named: dict[str, Digest] = field(default_factory=dict)  # REPOSITORY:TAG of referrers
    attach_failure: Exception | None = None  # raised by the next that is to be attached

    def publish(self, build: Build, repository: str, log: Log, cancel: Cancellation) -> ImageRef:
        cancel.raise_if_requested()
        if self.failure:
            failure, self.failure = self.failure, None
            raise failure
        held = self.held.setdefault(repository, set())
        for layer in build.layers:
            if layer.path is None and layer.blob.digest not in held:
                raise RegistryError(f"the registry no longer has the layer {layer.title}")
            held.add(layer.blob.digest)
            if layer.path and layer.path.is_file():
                self.contents_of[layer.blob.digest] = layer.path.read_bytes()
        what = [
            build.engine_image,
            str(build.run_image),
            [x.diff_id for x in build.layers],
            dict(build.config),
        ]
        digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
        ref = ImageRef(f"{self.address}/{repository}", Digest(f"sha256:{digest}"))
        self.images[ref] = build
        log.detail(f"digest {ref.digest}")
        return ref

    @contextmanager
    def sending(self, repository: str, log: Log, cancel: Cancellation) -> Iterator[Callable[[Layer], None]]:
        cancel.raise_if_requested()
        yield lambda layer: self.held.setdefault(repository, set()).add(layer.blob.digest)

    def layers(self, image: ImageRef) -> Mapping[Digest, Blob]:
        build = self.images.get(image)
        return {layer.diff_id: layer.blob for layer in build.layers} if build else {}

    def size(self, image: ImageRef) -> int:
        return sum(layer.blob.size for layer in self._found(image).layers)

    def facts(self, image: ImageRef) -> ImageFacts:
        build = self._found(image)
        labels = dict(self.facts(build.run_image).labels) if build.run_image in self.images else {}
        labels |= cast(Mapping[str, str], build.config.get("Labels", {}))
        if build.run_image:
            below = {"reference": str(build.run_image), "topLayer": build.run_image.digest}
            labels["io.buildpacks.lifecycle.metadata"] = json.dumps({"runImage": below})
        return ImageFacts("linux", "amd64", "", labels)

    def rebase(
        self, image: ImageRef, run_image: ImageRef, repository: str, log: Log, cancel: Cancellation
    ) -> ImageRef:
        build = self._found(image)
        if build.run_image is None:
            raise RegistryError(f"{image} does not say which of its layers are its run image's")
        self._found(run_image)
        return self.publish(replace(build, run_image=run_image), repository, log, cancel)

    def copy(self, reference: str, repository: str, log: Log, cancel: Cancellation) -> ImageRef:
        cancel.raise_if_requested()
        found = self._found(ImageRef.parse(reference))
        ref = ImageRef(f"{self.address}/{repository}", ImageRef.parse(reference).digest)
        self.held.setdefault(repository, set()).update(layer.blob.digest for layer in found.layers)
        self.images[ref] = found
        log.detail(f"digest {ref.digest}")
        return ref

    def contents(self, image: ImageRef) -> tuple[Blob, ...]:
        build = self.images.get(image)
        if build is None:
            return ()
        below = self.contents(build.run_image) if build.run_image else ()
        return (Blob(image.digest, 100, "config"), *below, *(layer.blob for layer in build.layers))

    def remove(self, image: ImageRef) -> bool:
        if self.deletes_nothing:
            raise RegistryError("the registry deletes nothing", hint="allow it")
        self.during_remove(image)
        self.kept.pop(image, None)
        return self.images.pop(image, None) is not None

    def fetch(self, image: ImageRef, blob: Blob, path: Path, cancel: Cancellation) -> None:
        cancel.raise_if_requested()
        if blob.digest not in self.contents_of:
            raise RegistryError(f"the registry no longer has {blob.digest}")
        path.write_bytes(self.contents_of[blob.digest])

    def attach(self, image: ImageRef, new: NewReferrer, cancel: Cancellation) -> Digest:
        cancel.raise_if_requested()
        if self.attach_failure:
            failure, self.attach_failure = self.attach_failure, None
            raise failure
        self._found(image)
        parts = []
        for part in new.parts:
            blob = Blob(_digest(part.content), len(part.content), part.media_type)
            self.contents_of[blob.digest] = part.content
            parts.append(KeptPart(blob, dict(part.annotations)))
        digest = _digest(repr((image.digest, new)).encode())
        kept = Referrer(digest, new.artifact_type, tuple(parts), dict(new.annotations))
        self.kept.setdefault(image, {})[digest] = kept
        if new.tag:
            self.named[f"{image.repository}:{new.tag}"] = digest
        return digest

    def detach(self, image: ImageRef, referrer: Digest, cancel: Cancellation) -> None:
        cancel.raise_if_requested()
        self.kept.get(image, {}).pop(referrer, None)

    def referrers(self, image: ImageRef) -> tuple[Referrer, ...]:
        return tuple(self.kept.get(image, {}).values())

    def document(self, image: ImageRef, blob: Blob) -> bytes:
        if blob.digest not in self.contents_of:
            raise RegistryError(f"the registry no longer has {blob.digest}")
        return self.contents_of[blob.digest]

    def copy_referrers(self, image: ImageRef, to: ImageRef, cancel: Cancellation) -> int:
        cancel.raise_if_requested()
        self._found(to)
        kept = self.kept.get(image, {})
        self.kept.setdefault(to, {}).update(kept)
        return len(kept)

    def check(self) -> Iterator[Check]:
        yield Check("registry answers", ok=True, seen=self.address)

    def close(self) -> None:
        """Nothing to let go of."""

    def _found(self, image: ImageRef) -> Build:
        if image not in self.images:
            raise RegistryError(f"the registry no longer has {image}")
        return self.images[image]


def _digest(content: bytes) -> Digest:
    return Digest(f"sha256:{hashlib.sha256(content).hexdigest()}")
