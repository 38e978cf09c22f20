"""What of an app is no longer kept. Values in, a plan out; nothing is asked of anybody and nothing is changed."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from gitreceive.config import RetentionSettings
from gitreceive.model import AppName, ImageRef, Job, JobId, Promotion, Push, Rebase, Release, Rollback


@dataclass(frozen=True)
class Going:
    """What of an app goes: releases by number, newest first, and images that none of the others needs."""

    app: AppName
    releases: tuple[int, ...] = ()
    images: tuple[ImageRef, ...] = ()


def what_goes(
    app: AppName,
    releases: Iterable[Release],
    jobs: Iterable[Job],
    unended: Iterable[Job],
    settings: RetentionSettings,
) -> Going | None:
    """``releases`` are all that were live and ``jobs`` all of the app, each newest first; ``unended`` are the jobs of all apps that have not
    ended. None: a job of the app is under way, so all of it stays for now. One that is only queued does not count: it waits.

    The newest ``settings.releases`` stay, the live one among them, and what a job is about to bring back or to promote. An image stays that one of
    these has, or that the next build takes layers of; of the others, those go that a job of this app made.
    """
    jobs = tuple(jobs)
    if any(not job.state.ended and job.fence for job in jobs):
        return None
    kept = [release for release in releases if release.kept]
    asked_for = named(app, unended)
    going = [r for r in kept[max(1, settings.releases) :] if r.number not in asked_for]
    numbers = {release.number for release in going}
    needed = {release.image.ref.digest for release in kept if release.number not in numbers}
    needed |= {job.image.ref.digest for job in _newest_made(jobs) if job.image}
    made = {job.image.ref: None for job in jobs if job.image and job.image.ref.digest not in needed}
    return Going(app, tuple(release.number for release in going), tuple(made))


def named(app: AppName, jobs: Iterable[Job]) -> set[int]:
    """The releases of the app that jobs name which have not ended: its own, to bring them back; other apps', to have them promoted."""
    found = set()
    for job in jobs:
        match job.cause:
            case Rollback(app=of, to=number) | Promotion(origin=of, number=number):
                if of == app and not job.state.ended:
                    found.add(number)
    return found


def old_logs(
    logs: Collection[JobId], jobs: Iterable[Job], now: datetime, settings: RetentionSettings
) -> tuple[JobId, ...]:
    """Of jobs that ended before ``settings.log_days``, and of those that nobody knows any more. ``logs`` was read before ``jobs``."""
    known = {job.id: job for job in jobs}
    limit = now - timedelta(days=settings.log_days)
    return tuple(sorted(log for log in logs if log not in known or _ended_before(known[log], limit)))


def _ended_before(job: Job, limit: datetime) -> bool:
    return job.state.ended and job.ended_at is not None and job.ended_at < limit


def _newest_made(jobs: Iterable[Job]) -> tuple[Job, ...]:
    """The job whose layers the next build goes on from, as in ``chapters``: the newest that made an image, live or not."""
    made = (job for job in jobs if isinstance(job.cause, Push | Rebase) and job.image)
    first = next(made, None)
    return (first,) if first else ()
