"""What is no longer kept goes: ``retention`` decides, the engines remove. Safe beside pushes, and may be broken off and begun again.

While anything of an app goes, the app is held: its jobs wait, and it is not begun while one is under way. Releases are forgotten before their
images go, in one change of the ledger that looks once more at what is asked for; who asks later finds them no longer kept. What is for all apps
goes when nothing was built with it for long.
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from gitreceive.config import RetentionSettings
from gitreceive.errors import GitreceiveError, LeaseLostError
from gitreceive.model import AppName, Digest, ImageRef, Job, JobId
from gitreceive.ports import Log, Platform
from gitreceive.stories.retention import Going, old_logs, what_goes

_HOLD_SECONDS = 120.0  # longer than a registry takes to remove one image, as it is renewed before each
_ALL = sys.maxsize
_DAY = 86400.0


@dataclass(frozen=True)
class Request:
    """``only``: this app alone, and nothing that is for all. ``dry``: look, and leave all as it is. ``holder`` is new for each."""

    settings: RetentionSettings
    holder: str
    now: datetime
    only: AppName | None = None
    dry: bool = False


@dataclass
class Collected:
    """What went, or would go. ``disk`` is bytes of this machine; ``registry`` those that no image names any more once it is done, which the
    registry gives back when it sweeps. ``problems`` is what could not be done, and why.
    """

    apps: list[Going] = field(default_factory=list)
    waiting: list[AppName] = field(default_factory=list)  # a job of them is under way: the next time
    logs: int = 0
    caches: list[AppName] = field(default_factory=list)
    unused: dict[str, int] = field(default_factory=dict)  # how many, by what they are
    disk: int = 0
    registry: int = 0
    problems: list[GitreceiveError] = field(default_factory=list)


def collect(request: Request, platform: Platform, log: Log) -> Collected:
    """Each part by itself: what cannot be done is told and leaves the others alone. Raises UnavailableError where the ledger does not answer."""
    done, blobs = Collected(), _Blobs(request, platform)
    for app in platform.ledger.apps():
        if request.only in {None, app.name}:
            with _told(done, log):
                _collect_app(request, platform, app.name, blobs, log, done)
    with _told(done, log):
        _collect_logs(request, platform, done)
    if request.only is None:
        with _told(done, log):
            _collect_caches(request, platform, done)
        for shelf in platform.shelves:
            with _told(done, log):
                unused = shelf.unused(request.settings.unused_days * _DAY)
                for name, size in unused.items():
                    if request.dry or shelf.drop(name, request.settings.unused_days * _DAY):
                        done.unused[shelf.title] = done.unused.get(shelf.title, 0) + 1
                        done.disk += size
    return done


def _collect_app(
    request: Request, platform: Platform, app: AppName, blobs: "_Blobs", log: Log, done: Collected
) -> None:
    going = _going(request, platform, app)
    if going is None:
        done.waiting.append(app)
    elif request.dry:
        _add(done, going, blobs, log, dry=True)
    else:
        with _held(request, platform, app) as held:
            going = _going(request, platform, app) if held else None
            if going is None:
                done.waiting.append(app)
                return
            numbers = platform.ledger.collect(app, request.holder, going.releases)
            # once more: what was asked for in between stays, and so does its image
            after = _going(request, platform, app)
            going = Going(app, numbers, after.images if after else ())
            _add(done, going, blobs, log, dry=False)
            _remove_images(request, platform, going)
        _tidy(platform, app, done)


def _going(request: Request, platform: Platform, app: AppName) -> Going | None:
    """Jobs are read before releases: what a job has brought live in between is then among the releases."""
    ledger = platform.ledger
    jobs, unended = ledger.jobs(app, _ALL), ledger.unended()
    return what_goes(app, ledger.releases(app, _ALL), jobs, unended, request.settings)


def _add(done: Collected, going: Going, blobs: "_Blobs", log: Log, *, dry: bool) -> None:
    if not going.releases and not going.images:
        return
    done.apps.append(going)
    done.registry += blobs.freed_by(going)
    log.detail(f"{going.app}: {_described(going)} {'would go' if dry else 'go'}")


def _described(going: Going) -> str:
    numbers, images = going.releases, len(going.images)
    releases = {0: "no release", 1: f"v{numbers[0]}" if numbers else ""}.get(
        len(numbers), f"{len(numbers)} releases up to v{max(numbers, default=0)}"
    )
    return f"{releases} and {images} image{'' if images == 1 else 's'}"


class _Blobs:
    """What of the registry is no image's any more once some are gone. Looked at when it is first wanted, as it takes a look at all that stays."""

    def __init__(self, request: Request, platform: Platform) -> None:
        self._request = request
        self._platform = platform
        self._counted: set[Digest] = set()

    def freed_by(self, going: Going) -> int:
        """Bytes that no image has that stays, of any app or stack, and that were not counted before."""
        registry = self._platform.registry
        sizes = {blob.digest: blob.size for image in going.images for blob in registry.contents(image)}
        freed = {digest for digest in sizes.keys() - self._counted if digest not in self._staying}
        self._counted |= freed
        return sum(sizes[digest] for digest in freed)

    @cached_property
    def _staying(self) -> frozenset[Digest]:
        registry = self._platform.registry
        images = {image.digest: image for image in self._images_that_stay()}
        return frozenset(blob.digest for image in images.values() for blob in registry.contents(image))

    def _images_that_stay(self) -> Iterator[ImageRef]:
        ledger = self._platform.ledger
        for stack in ledger.stack_versions():
            yield from (stack.build, stack.run)
        for app in ledger.apps():
            asked = self._request.only in {None, app.name}
            going = _going(self._request, self._platform, app.name) if asked else None
            numbers = going.releases if going else ()
            for release in ledger.releases(app.name, _ALL):
                if release.kept and release.number not in numbers:
                    yield release.image.ref


def _remove_images(request: Request, platform: Platform, going: Going) -> None:
    """One that is gone already is forgotten as well. Raises RegistryError where the registry removes nothing: they are tried again the next time."""
    for image in going.images:
        if not platform.ledger.hold(going.app, request.holder, _HOLD_SECONDS):
            raise LeaseLostError(f"{going.app} was held too long", hint="the rest goes the next time")
        platform.target.forget_images((image,))
        platform.registry.remove(image)
        platform.ledger.forget_images(going.app, (image,))


def _tidy(platform: Platform, app: AppName, done: Collected) -> None:
    """What was held for jobs that ended unseen, then git's own collection. Refs are read before jobs: one that is new has its job there."""
    # of all apps: a review app's jobs hold their commits in its parent's repository
    for job in platform.sources.kept(app) - _unended(platform.ledger.unended()):
        platform.sources.release(app, job)
    done.disk += platform.sources.tidy(app)


def _unended(jobs: Iterable[Job]) -> set[JobId]:
    return {job.id for job in jobs if not job.state.ended}


def _collect_logs(request: Request, platform: Platform, done: Collected) -> None:
    logs = platform.logbook.all()  # before the jobs: what is not known then has no job any more
    jobs = platform.ledger.jobs(request.only, _ALL)
    if request.only is not None:
        known = {job.id for job in jobs}
        logs = {job: size for job, size in logs.items() if job in known}
    for job in old_logs(logs, jobs, request.now, request.settings):
        if not request.dry:
            platform.logbook.delete(job)
        done.logs += 1
        done.disk += logs[job]


def _collect_caches(request: Request, platform: Platform, done: Collected) -> None:
    """Caches are listed before apps: one whose app is not there then is of an app that is gone."""
    cached = platform.builder.cached()
    for app in sorted(cached - {app.name for app in platform.ledger.apps()}):
        if not request.dry:
            platform.builder.forget(app)
        done.caches.append(app)


@contextmanager
def _held(request: Request, platform: Platform, app: AppName) -> Iterator[bool]:
    held = platform.ledger.hold(app, request.holder, _HOLD_SECONDS)
    try:
        yield held
    finally:
        platform.ledger.let_go(app, request.holder)


@contextmanager
def _told(done: Collected, log: Log) -> Iterator[None]:
    try:
        yield
    except GitreceiveError as error:
        if not any(known.message == error.message for known in done.problems):
            log.error(error.message, error.hint)
            done.problems.append(error)
