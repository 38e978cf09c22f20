"""What makes an image, and what keeps it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from gitreceive.cancellation import Cancellation
from gitreceive.model import (
    AppName,
    Blob,
    Build,
    BuildpackRef,
    Check,
    Choice,
    Digest,
    ImageFacts,
    ImageRef,
    JobId,
    Layer,
    NewReferrer,
    Project,
    PushOptions,
    Referrer,
    Source,
    SourceEntry,
    Stack,
    TreeEntry,
)
from gitreceive.ports.logs import Log


@dataclass(frozen=True)
class BuildRequest:
    """All that a builder is told. ``previous`` maps the diff_ids of layers that the registry is known to hold; ``tree`` may be
    called more than once, or never. ``finished`` may be told of each layer whose file is whole, while others are made. ``read``
    is a file of the source by its path, at most so many bytes of it; None where there is no such file. ``choice`` and
    ``project`` are what was read of the whole source: nothing is left out of that yet.
    """

    job: JobId
    source: Source
    options: PushOptions
    stack: Stack | None  # None: only a Dockerfile can be built
    previous: Mapping[Digest, Blob]
    archive: AbstractContextManager[BinaryIO]
    root: tuple[SourceEntry, ...]
    tree: Callable[[], Iterator[TreeEntry]]
    finished: Callable[[Layer], None] = lambda _layer: None
    read: Callable[[str, int], bytes | None] = lambda _path, _limit: None
    choice: Choice = field(default_factory=Choice)
    project: Project = field(default_factory=Project)


@dataclass(frozen=True)
class FetchedBuildpack:
    """A buildpack from elsewhere, on the server's disk. ``folder`` is laid like a folder of buildpacks that has no ``order.toml``:
    a Cloud Native Buildpack is ``ID/VERSION`` in it, with each slash in the id written _, and a composite one's parts lie beside
    it; a classic one is ``NAME``, and its id ``classic/NAME``. It stays as it is.
    """

    id: str
    version: str
    folder: Path


class BuildpackSource(Protocol):
    """Where buildpacks that the server does not have come from: images in registries, and archives."""

    def pin(self, ref: BuildpackRef, cancel: Cancellation) -> BuildpackRef:
        """The same with its digest, asked for where it has none; a pinned one comes back as it is, and nobody is asked.

        Raises ForbiddenError where ``build.buildpack_sources`` does not have it, UsageError for what is no image or archive,
        RegistryError, UnavailableError, CanceledError.
        """

    def fetch(self, ref: BuildpackRef, log: Log, cancel: Cancellation) -> FetchedBuildpack:
        """A pinned one, checked and unpacked; one that was fetched before is taken as it was kept, and nobody is asked.

        Raises as ``pin``, UsageError for one that is not pinned, and DetectError for what is no buildpack.
        """


class Builder(Protocol):
    def build(self, request: BuildRequest, log: Log, cancel: Cancellation) -> AbstractContextManager[Build]:
        """Detect and build. Leaving the context removes containers (soon, where it went well) and spooled layers.

        Raises DetectError, BuildError, BuildLimitError, CanceledError, UnavailableError.
        """

    def forget(self, app: AppName) -> None:
        """Remove the app's caches."""

    def cached(self) -> frozenset[AppName]:
        """The apps of which there are caches. Raises UnavailableError."""

    def sweep(self) -> None:
        """Remove what the builds of a killed server left. Called once, before the first build."""

    def check(self) -> Iterable[Check]:
        """What doctor wants to know; first, and cheaply, whether all that builds stand on answers."""


class Registry(Protocol):
    def sending(
        self, repository: str, log: Log, cancel: Cancellation
    ) -> AbstractContextManager[Callable[[Layer], None]]:
        """While inside, what is called with a layer sends it in the background, so that it is there when ``publish`` wants it. It does
        not wait and does not fail: ``publish`` does both. Raises CanceledError.
        """

    def publish(self, build: Build, repository: str, log: Log, cancel: Cancellation) -> ImageRef:
        """Send what is missing; the digest is the one that the registry confirmed. ``repository`` is without the registry's
        address, e.g. ``shop``. May be called twice. Raises RegistryError, CanceledError.
        """

    def layers(self, image: ImageRef) -> Mapping[Digest, Blob]:
        """diff_id to blob of an image; empty where the registry no longer has it whole. Raises RegistryError."""

    def size(self, image: ImageRef) -> int:
        """Compressed bytes of all layers. Raises RegistryError."""

    def facts(self, image: ImageRef) -> ImageFacts:
        """What the image says of itself. Raises RegistryError, also where the registry no longer has it."""

    def rebase(
        self, image: ImageRef, run_image: ImageRef, repository: str, log: Log, cancel: Cancellation
    ) -> ImageRef:
        """Publish what ``image`` would have been on ``run_image``: its own layers, untouched, on that one's. Nothing is checked but
        that this can be done: whether it should be is the caller's to know. May be called twice. Raises RegistryError,
        CanceledError.
        """

    def copy(self, reference: str, repository: str, log: Log, cancel: Cancellation) -> ImageRef:
        """Bring an image, HOST[:PORT]/NAME@DIGEST or :TAG, from any registry into ours, unchanged: one platform's digest stays. Within
        ours nothing is sent. May be called twice. Raises RegistryError, CanceledError, UsageError.
        """

    def contents(self, image: ImageRef) -> tuple[Blob, ...]:
        """All blobs that the image consists of, its config among them; none where the registry no longer has it. Raises RegistryError."""

    def remove(self, image: ImageRef) -> bool:
        """The registry no longer has the image, under no tag, nor what refers to it; False where it had no such image. Its blobs stay until the
        registry sweeps up those that no image names. Raises RegistryError, also where the registry removes nothing.
        """

    def fetch(self, image: ImageRef, blob: Blob, path: Path, cancel: Cancellation) -> None:
        """Download a layer of the image to ``path``, checked. Raises RegistryError, CanceledError."""

    def attach(self, image: ImageRef, new: NewReferrer, cancel: Cancellation) -> Digest:
        """Keep a referrer beside the image, which has to be there; its digest. The same one twice is kept once. Raises RegistryError,
        CanceledError.
        """

    def detach(self, image: ImageRef, referrer: Digest, cancel: Cancellation) -> None:
        """No longer keep it; no error where it is gone. Raises RegistryError, CanceledError."""

    def referrers(self, image: ImageRef) -> tuple[Referrer, ...]:
        """All that is kept beside the image, whoever brought it; none where the image is gone. Raises RegistryError."""

    def document(self, image: ImageRef, blob: Blob) -> bytes:
        """A part of one of the image's referrers, checked. Raises RegistryError."""

    def copy_referrers(self, image: ImageRef, to: ImageRef, cancel: Cancellation) -> int:
        """What is kept beside ``image`` is kept beside ``to`` as well, its copy in another repository of the same registry; how many those
        are. May be called twice. Raises RegistryError, CanceledError.
        """

    def check(self) -> Iterable[Check]: ...

    def close(self) -> None:
        """Let go of the connections."""


class Shelf(Protocol):
    """Things that are made or fetched once for all apps, and again when they are missed."""

    title: str  # what they are, for people

    def unused(self, seconds: float) -> Mapping[str, int]:
        """Those that nothing was built with for so long: name to bytes. Raises UnavailableError."""

    def drop(self, name: str, seconds: float) -> bool:
        """Remove it unless it was used meanwhile; False then. Raises UnavailableError, RegistryError."""


class RunImages(Protocol):
    """Run images of stacks with the system packages that apps ask for."""

    def run_image(self, stack: Stack, packages: Sequence[str], log: Log, cancel: Cancellation) -> ImageRef:
        """The stack's run image with the packages, NAME or NAME=VERSION: made now, or before, for any app. Raises SourceError for a package
        that there is not, BuildError, BuildLimitError, UnavailableError, RegistryError, CanceledError.
        """
