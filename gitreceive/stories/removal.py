"""How an app goes: with its review apps, what runs, its volumes, its repository, its builds and releases."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from gitreceive.errors import ConflictError, GitreceiveError
from gitreceive.model import App, Job
from gitreceive.ports import Log, Platform
from gitreceive.stories.scripts import say_farewell

_HOLDER = "removal"
_HOLD_SECONDS = 120.0  # as long as builds wait where a removal was killed


def remove(platform: Platform, app: App, log: Log) -> None:
    """May be called again where it stopped half-way. Raises ConflictError, with nothing removed, where it or a review app of it is locked, or has a
    build that has not ended. A push that comes while it goes waits, and the app stays then for the push to be deployed: raises ConflictError, too.
    """
    reviews = platform.ledger.reviews(app.name)
    for going in (app, *reviews):
        _require_quiet(platform, going)
    for going in (*reviews, app):
        with _held(platform, going):
            _remove(platform, going, log)


@contextmanager
def _held(platform: Platform, app: App) -> Iterator[None]:
    """No build of it is begun meanwhile: what it made would be taken away under it. Whoever removes holds it alike, so that what was killed can
    be gone on with.
    """
    if not platform.ledger.hold(app.name, _HOLDER, _HOLD_SECONDS):
        raise ConflictError(
            f"a build of {app.name} was asked for just now, or what is no longer kept of it goes",
            hint="try again in a moment",
        )
    try:
        yield
    finally:
        platform.ledger.let_go(app.name, _HOLDER)


def _require_quiet(platform: Platform, app: App) -> None:
    app.require_unlocked()
    jobs = platform.ledger.jobs(app.name, sys.maxsize)
    under_way = next((job for job in jobs if not job.state.ended), None)
    if under_way is not None:
        raise ConflictError(
            f"build {under_way.id} of {under_way.app} is {under_way.state}",
            hint=f"wait for it, or stop it: gitreceive builds cancel {under_way.id}",
        )


def _remove(platform: Platform, app: App, log: Log) -> None:
    jobs = platform.ledger.jobs(app.name, sys.maxsize)
    live = platform.ledger.current_release(app.name)
    if app.review and live:
        say_farewell(platform.target, live, log)
    log.step(f"Removing what runs of {app.name}{_stored(platform, app)}")
    platform.target.destroy(app.name)
    platform.builder.forget(app.name)
    if app.review:
        platform.sources.remove(app.review.of, app.deploy_ref)
    platform.sources.delete(app.name)
    _remove_images(platform, jobs, log)
    for job in jobs:
        platform.logbook.delete(job.id)
    platform.ledger.delete_app(app.name)
    if app.name not in {there.name for there in platform.ledger.apps()}:
        platform.sources.delete(app.name)  # again: until the app was gone, a push made it anew


def _stored(platform: Platform, app: App) -> str:
    volumes = ", ".join(volume.name for volume in platform.target.volumes(app.name))
    services = ", ".join(f"{each.name} ({each.title})" for each in platform.target.services(app.name))
    parts = (("volumes", volumes), ("services", services))
    return "".join(f", and its {what} with what is in them: {names}" for what, names in parts if names)


def _remove_images(platform: Platform, jobs: tuple[Job, ...], log: Log) -> None:
    """Other apps have their own, also where they were promoted. What the registry does not remove is left to whoever keeps it."""
    images = {job.image.ref: None for job in jobs if job.image}
    try:
        platform.target.forget_images(images)
        for image in images:
            platform.registry.remove(image)
    except GitreceiveError as error:
        log.error(f"images of it stay: {error.message}", error.hint)


def remove_overdue_reviews(platform: Platform, now: datetime, log: Log) -> None:
    """Those whose time is over, but for what is locked or being built, which has to wait. What fails is told, and tried again the next time."""
    for app in platform.ledger.reviews():
        if app.review is None or app.review.until > now or app.lock:
            continue
        if any(not job.state.ended for job in platform.ledger.jobs(app.name, 1)):
            continue
        log.step(f"The time of review app {app.name} is over")
        try:
            remove(platform, app, log)
        except GitreceiveError as error:
            log.error(f"{app.name} could not be removed: {error.message}", error.hint)
