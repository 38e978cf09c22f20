"""The BuildpackSource of ports.py: images in registries, archives on the web, kept below the data folder."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gitreceive.buildpacks.allowed import Allowed
from gitreceive.cancellation import Cancellation
from gitreceive.engines.buildpackages.contents import Work, take_archive, take_layers
from gitreceive.engines.buildpackages.download import Downloads
from gitreceive.engines.buildpackages.kept import BUILDPACKS, Kept
from gitreceive.engines.buildpackages.unpack import Limits, UnsafeError
from gitreceive.errors import CanceledError, DetectError, UnavailableError, UsageError
from gitreceive.model import Blob, BuildpackRef, Digest, ImageRef, RefKind
from gitreceive.ports import FetchedBuildpack, Log

_IMAGE = "docker://"
_FRAGMENT = "#sha256="


class Images(Protocol):
    """What is wanted of registries."""

    def resolve(self, reference: str, cancel: Cancellation) -> ImageRef:
        """The digest that HOST[:PORT]/NAME[:TAG] has now. Raises RegistryError, CanceledError, UsageError."""

    def labels(self, image: ImageRef, cancel: Cancellation) -> Mapping[str, str]:
        """What the image says of itself. Raises RegistryError, CanceledError."""

    def blobs(self, image: ImageRef) -> tuple[Blob, ...]:
        """The layers, bottom first. Raises RegistryError."""

    def fetch(self, image: ImageRef, blob: Blob, path: Path, cancel: Cancellation) -> None:
        """Download a layer, checked, to ``path``. Raises RegistryError, CanceledError."""


@dataclass(frozen=True)
class Bounds:
    """What one buildpack may take: ``packed`` bytes as it comes, what ``unpacked`` says then, and ``seconds`` for all."""

    packed: int = 1 << 28
    unpacked: Limits = Limits()  # noqa: RUF009 - frozen
    seconds: float = 600.0


class BuildpackSources:
    """``own`` are registries asked with the server's logins, for what ``allowed`` lists; ``strange`` all others, without any."""

    def __init__(
        self,
        folder: Path,
        allowed: Allowed,
        downloads: Downloads,
        *,
        own: Images,
        strange: Images,
        bounds: Bounds = Bounds(),
    ) -> None:
        self._kept = Kept(folder)
        self._allowed = allowed
        self._downloads = downloads
        self._own = own
        self._strange = strange
        self._bounds = bounds

    def pin(self, ref: BuildpackRef, cancel: Cancellation) -> BuildpackRef:
        """An image's tag is looked up; what an archive holds is said by whoever names it."""
        _check_kind(ref)
        listed = self._allowed.check(ref.text)
        if ref.pinned:
            return ref
        if ref.kind is RefKind.ARCHIVE:
            raise _not_pinned(ref)
        with self._bounded(ref, cancel) as bounded:
            image = self._images(listed=listed).resolve(ref.text.removeprefix(_IMAGE), bounded)
        place = ref.text.removeprefix(_IMAGE)
        head, slash, last = place.rpartition("/")
        return BuildpackRef.parse(f"{_IMAGE}{head}{slash}{last.partition(':')[0]}@{image.digest}")

    def fetch(self, ref: BuildpackRef, log: Log, cancel: Cancellation) -> FetchedBuildpack:
        """What is kept is not asked for again, but the settings are, each time."""
        _check_kind(ref)
        listed = self._allowed.check(ref.text)
        if not ref.pinned:
            raise _not_pinned(ref)
        digest = _digest(ref)
        with _disk_speaks(ref), _named(ref):
            kept = self._kept.find(digest)
            if kept:
                return kept
            log.detail(f"fetching {_short(ref)}")
            with self._kept.making() as scratch, self._bounded(ref, cancel) as bounded:
                new = scratch / "new"
                new.mkdir()
                work = Work(scratch, self._bounds.unpacked, bounded.raise_if_requested)
                take = self._image if ref.kind is RefKind.IMAGE else self._archive
                identity, version = take(ref, new / BUILDPACKS, work, bounded, listed=listed)
                return self._kept.keep(digest, new, identity, version)

    def _archive(
        self, ref: BuildpackRef, target: Path, work: Work, cancel: Cancellation, *, listed: bool
    ) -> tuple[str, str]:
        del listed  # the way knows, for each address that it is sent on to
        url, digest = ref.text.partition("#")[0], _digest(ref)
        file = work.scratch / "archive"
        self._downloads.fetch(url, digest, file, self._bounds.packed, cancel)
        return take_archive(file, target, f"archive-{digest.short}", work)

    def _image(
        self, ref: BuildpackRef, target: Path, work: Work, cancel: Cancellation, *, listed: bool
    ) -> tuple[str, str]:
        images = self._images(listed=listed)
        image = images.resolve(ref.text.removeprefix(_IMAGE), cancel)
        labels = images.labels(image, cancel)
        blobs = images.blobs(image)
        if sum(blob.size for blob in blobs) > self._bounds.packed:
            raise UnsafeError(f"it is larger than {self._bounds.packed >> 20} MiB")
        layers = []
        for at, blob in enumerate(blobs):
            layers.append(work.scratch / f"layer-{at}")
            images.fetch(image, blob, layers[-1], cancel)
        return take_layers(layers, labels, target, work)

    def _images(self, *, listed: bool) -> Images:
        return self._own if listed else self._strange

    @contextmanager
    def _bounded(self, ref: BuildpackRef, cancel: Cancellation) -> Iterator[Cancellation]:
        """Raises UnavailableError where it takes longer than the bounds say."""
        bounded = Cancellation()
        timer = threading.Timer(self._bounds.seconds, lambda: bounded.request("it takes too long"))
        timer.daemon = True
        timer.start()
        try:
            with cancel.stopping(lambda: bounded.request("the work was canceled")):
                yield bounded
        except CanceledError as error:
            cancel.raise_if_requested()
            raise UnavailableError(
                f"fetching {_short(ref)} took longer than {self._bounds.seconds:.0f} seconds",
                hint="try again later",
            ) from error
        finally:
            timer.cancel()


def _check_kind(ref: BuildpackRef) -> None:
    if ref.kind not in {RefKind.IMAGE, RefKind.ARCHIVE}:
        raise UsageError(f"{ref.text[:160]!r} is no image and no archive", hint="such are not fetched")


def _not_pinned(ref: BuildpackRef) -> UsageError:
    if ref.kind is RefKind.ARCHIVE:
        hint = (
            f"add {_FRAGMENT} and what sha256sum says of the file: {ref.text.partition('#')[0]}{_FRAGMENT}…"
        )
    else:
        hint = "name it by its digest: docker://HOST/REPOSITORY@sha256:…"
    return UsageError(f"buildpack {ref.text[:160]!r} says no digest", hint=hint)


def _digest(ref: BuildpackRef) -> Digest:
    if ref.kind is RefKind.IMAGE:
        return Digest.parse(ref.text.rpartition("@")[2])
    return Digest.parse(f"sha256:{ref.text.lower().rpartition(_FRAGMENT)[2]}")


def _short(ref: BuildpackRef) -> str:
    """For people, who have the whole before them: without the digest."""
    return ref.text.partition("@" if ref.kind is RefKind.IMAGE else "#")[0]


@contextmanager
def _named(ref: BuildpackRef) -> Iterator[None]:
    """Errors of what is in it say which buildpack it is."""
    try:
        yield
    except UnsafeError as error:
        raise DetectError(
            f"buildpack {_short(ref)} cannot be used: {error.message}", hint=error.hint
        ) from error


@contextmanager
def _disk_speaks(ref: BuildpackRef) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnavailableError(
            f"buildpack {_short(ref)} cannot be kept: {error.strerror or error}",
            hint="see to the disk of the data folder",
        ) from error
