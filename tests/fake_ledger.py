"""A ledger in memory, held to the same contract as the real one."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gitreceive import acting
from gitreceive.errors import ConflictError, LeaseLostError, NotFoundError, UsageError
from gitreceive.model import (
    ZERO_COMMIT,
    App,
    AppName,
    AppSettings,
    Cause,
    Check,
    CommitId,
    ConfigChange,
    Declared,
    Happening,
    Image,
    ImageRef,
    InLine,
    Job,
    JobId,
    JobState,
    LedgerMeasures,
    Outcome,
    Push,
    PushOptions,
    QueueLimits,
    QuotaKind,
    Release,
    Secret,
    SettingsChange,
    UserName,
    Waiting,
)
from gitreceive.stories.retention import named
from tests.fake_apps import FakeApps


def _utc_now() -> datetime:
    return datetime.now(UTC)


class FakeLedger(FakeApps):
    """``clock`` stands for the database's time; a test may hand in its own."""

    def __init__(self, clock: Callable[[], datetime] = _utc_now, queue: QueueLimits | None = None) -> None:
        super().__init__(clock)
        self._queue = queue or QueueLimits()
        self._leases: dict[JobId, datetime] = {}
        self._holders: dict[JobId, str] = {}
        self._intended: dict[JobId, Release] = {}
        self._live: dict[AppName, list[Release]] = {}
        self._kept: dict[AppName, dict[str, Secret]] = {}
        self._holds: dict[AppName, tuple[str, datetime]] = {}
        self._last_id = 0

    # apps

    def config(self, app: AppName) -> dict[str, Secret]:
        with self._lock:
            self.app(app)
            live = self.current_release(app)
            return dict(live.config if live else self._kept.get(app, {}))

    def keep_config(self, app: AppName, before: Mapping[str, Secret], after: Mapping[str, Secret]) -> None:
        with self._lock:
            if self.config(app) != before:
                raise ConflictError(f"the config of {app} was changed just now")
            self._unlocked(app)
            if self._unended(app) or self.current_release(app):
                raise ConflictError(f"the first release of {app} is being made")
            self._kept[app] = dict(after)
            self._note("config set", " ".join(sorted(before.keys() ^ after.keys())), app)

    def delete_app(self, name: AppName) -> None:
        with self._lock:
            self._unlocked(name)
            if unended := self._unended(name):
                raise ConflictError(f"build {unended[0].id} of {name} has not ended")
            del self._apps[name]
            self._drains = [drain for drain in self._drains if drain.app != name]
            self._live.pop(name, None)
            self._kept.pop(name, None)
            self._settings.pop(name, None)
            self._domains = {host: app for host, app in self._domains.items() if app != name}
            self._certificates = {key: kept for key, kept in self._certificates.items() if key[0] != name}
            self._jobs = {id_: job for id_, job in self._jobs.items() if job.app != name}
            self._given = [given for given in self._given if given.app != name]
            self._quotas.pop((QuotaKind.APP, name), None)
            self._note("apps destroy", "with its builds and releases", name)

    def keep_settings(self, app: AppName, before: AppSettings, after: AppSettings) -> None:
        with self._lock:
            if self.settings(app) != before:
                raise ConflictError(f"the settings of {app} were changed just now")
            self._unlocked(app)
            if self._unended(app) or self.current_release(app):
                raise ConflictError(f"the first release of {app} is being made")
            self._claim(app, after.routing.domains)
            self._put(app, after)
            self._note("settings", "", app)

    def settle(self, job: JobId, fence: int, settings: AppSettings, seconds: Mapping[str, float]) -> Job:
        with self._lock:
            held = self._held(job, fence)
            self._put(held.app, settings)
            return self._end(held, JobState.LIVE, "", seconds)

    # jobs

    def enqueue(self, cause: Cause) -> Job:
        with self._lock:
            self._unlocked(cause.app)
            if isinstance(cause, SettingsChange):
                self._claim(cause.app, cause.domains)
            unended = self._unended()
            users = sum(job.user == cause.user for job in unended)
            waiting = Waiting(len(unended), users, len(self._unended(cause.app)))
            self._queue.require_room(cause.app, cause.user, waiting)
            self._last_id += 1
            job = Job(JobId(self._last_id), cause, JobState.QUEUED, self._clock())
            self._jobs[job.id] = job
            self._note(cause.kind, f"build {job.id}: {job.title}", job.app)
            return job

    def job(self, job: JobId) -> Job:
        with self._lock:
            if job not in self._jobs:
                raise NotFoundError(f"there is no build {job}")
            return self._jobs[job]

    def jobs(self, app: AppName | None = None, limit: int = 20) -> tuple[Job, ...]:
        with self._lock:
            found = [job for job in reversed(self._jobs.values()) if app in {None, job.app}]
            return tuple(found[:limit])

    def in_line(self) -> tuple[InLine, ...]:
        with self._lock:
            return tuple(
                InLine(job.id, job.app, job.user, job.state, job.started_at or job.created_at)
                for job in self._unended()
            )

    def held_back(self, job: JobId) -> str:
        with self._lock:
            time = self._clock()
            return self._quota(self.job(job), [id_ for id_, until in self._leases.items() if until > time])

    def claim(self, holder: str, lease_seconds: float) -> Job | None:
        with self._lock:
            time = self._clock()
            under_way = [id_ for id_, until in self._leases.items() if until > time]
            busy = [self._jobs[id_].user for id_ in under_way]
            firsts = {job.app: job for job in reversed(self._unended())}
            held = {app for app, (_, until) in self._holds.items() if until > time}
            free = [
                job
                for job in firsts.values()
                if job.id not in under_way and job.app not in held and not self._quota(job, under_way)
            ]
            if not free:
                return None
            job = min(
                free, key=lambda job: (job.fence == 0, busy.count(job.user), self._served(job.user), job.id)
            )
            self._leases[job.id] = time + timedelta(seconds=lease_seconds)
            self._holders[job.id] = holder
            return self._set(replace(job, fence=job.fence + 1, started_at=job.started_at or time))

    def hand_over(self, holder: str) -> tuple[JobId, ...]:
        with self._lock:
            held = [job for job in self._unended() if self._holders.get(job.id) == holder]
            for job in held:
                del self._leases[job.id], self._holders[job.id]
                self._set(replace(job, fence=job.fence + 1))
            return tuple(job.id for job in held)

    def _served(self, user: UserName) -> datetime:
        """When a job of theirs was begun last; what had ended before the oldest that waits was asked for does not count."""
        since = min(job.created_at for job in self._unended())
        begun = [
            job.started_at
            for job in self._jobs.values()
            if job.user == user and job.started_at and (job.ended_at is None or job.ended_at >= since)
        ]
        return max(begun, default=datetime.min.replace(tzinfo=UTC))

    def renew(self, job: JobId, fence: int, lease_seconds: float) -> Job:
        with self._lock:
            held = self._held(job, fence)
            self._leases[job] = self._clock() + timedelta(seconds=lease_seconds)
            return held

    def request_cancel(self, job: JobId, by: str) -> Job:
        with self._lock:
            found = self.job(job)
            if found.state.ended:
                raise ConflictError(f"build {job} has ended already: it is {found.state}")
            found = self._set(replace(found, cancel_requested_by=found.cancel_requested_by or by))
            self._note("builds cancel", f"build {job}: {found.title}", found.app)
            if found.state is JobState.QUEUED:
                return self._end(found, JobState.CANCELED, f"canceled by {found.cancel_requested_by}", {})
            return found

    def advance(self, job: JobId, fence: int, state: JobState, *, image: Image | None = None) -> Job:
        if state.ended:
            raise UsageError(f"a job does not advance to {state}: it ends so")
        with self._lock:
            held = self._held(job, fence)
            return self._set(replace(held, state=state, image=image or held.image))

    def end(self, job: JobId, fence: int, state: JobState, reason: str, seconds: Mapping[str, float]) -> Job:
        if state not in {JobState.FAILED, JobState.CANCELED}:
            raise UsageError(f"a job does not end as {state} here")
        with self._lock:
            held = self._held(job, fence)
            self._intended.pop(job, None)
            return self._end(replace(held, release=None), state, reason, seconds)

    # releases

    def intend_release(
        self,
        job: JobId,
        fence: int,
        image: Image,
        commit: CommitId,
        description: str,
        config: Mapping[str, Secret] | None = None,
        settings: AppSettings | None = None,
        declared: Declared | None = None,
    ) -> Release:
        with self._lock:
            held = self._held(job, fence)
            if job not in self._intended:
                last = self.current_release(held.app)
                self._intended[job] = Release(
                    app=held.app,
                    number=last.number + 1 if last else 1,
                    image=image,
                    commit=commit,
                    config=dict(self.config(held.app) if config is None else config),
                    user=held.user,
                    description=description,
                    created_at=self._clock(),
                    settings=settings or self.settings(held.app),
                    declared=declared or (last.declared if last else Declared()),
                )
                self._set(replace(held, release=self._intended[job].number))
            return self._intended[job]

    def go_live(self, job: JobId, fence: int, seconds: Mapping[str, float]) -> Release:
        with self._lock:
            held = self._held(job, fence)
            if job not in self._intended:
                raise ConflictError(f"build {job} has no release that could go live")
            release = self._intended.pop(job)
            self._live.setdefault(held.app, []).append(release)
            self._kept.pop(held.app, None)
            self._put(held.app, release.settings)
            self._end(held, JobState.LIVE, "", seconds)
            return release

    def current_release(self, app: AppName) -> Release | None:
        return next(iter(self.releases(app, 1)), None)

    def release(self, app: AppName, number: int) -> Release:
        with self._lock:
            found = (release for release in self._live.get(app, []) if release.number == number)
            release = next(found, None)
        if release is None:
            raise NotFoundError(f"there is no release v{number} of {app}")
        if not release.kept:
            raise NotFoundError(f"{app} v{number} is no longer kept")
        return self._now(release)

    def releases(self, app: AppName, limit: int = 20) -> tuple[Release, ...]:
        with self._lock:
            found = tuple(reversed(self._live.get(app, [])))[:limit]
            return tuple(self._now(release) for release in found)

    # archive

    def backup(self, path: Path) -> None:
        raise UsageError("the ledger is in memory, and no file")

    def take_over(
        self, app: App, config: Mapping[str, Secret], settings: AppSettings, releases: Sequence[Release]
    ) -> App:
        with self._lock:
            if app.name in self._apps:
                raise ConflictError(f"there is an app {app.name} already")
            self._claim(app.name, settings.routing.domains)
            self._apps[app.name] = app
            if not releases:
                self._kept[app.name] = dict(config)
            for release in releases:
                push = Push(
                    app.name, release.user, app.deploy_ref, ZERO_COMMIT, release.commit, PushOptions()
                )
                self._last_id += 1
                self._set(
                    Job(
                        JobId(self._last_id),
                        push,
                        JobState.LIVE,
                        release.created_at,
                        started_at=release.created_at,
                        ended_at=self._clock(),
                        fence=1,
                        image=release.image if release.kept else None,
                        release=release.number,
                        reason="imported",
                    )
                )
            self._settings[app.name] = settings
            self._live[app.name] = list(releases)
            return app

    # retention

    def hold(self, app: AppName, holder: str, seconds: float) -> bool:
        with self._lock:
            if app not in self._apps:
                return False
            by, until = self._holds.get(app, ("", self._clock()))
            held = until > self._clock()
            if (held and by != holder) or (not held and self._unended(app)):
                return False
            self._holds[app] = (holder, self._clock() + timedelta(seconds=seconds))
            return True

    def unended(self) -> tuple[Job, ...]:
        with self._lock:
            return tuple(self._unended())

    def measures(self, after_event: int) -> LedgerMeasures:
        with self._lock:
            jobs = self._unended()
            queued = [job.created_at for job in jobs if job.state is JobState.QUEUED]
            counted = [event.happening for event in self._events if event.id > after_event]
            return LedgerMeasures(
                jobs=Counter(job.state for job in jobs),
                oldest_queued_seconds=(self._clock() - min(queued)).total_seconds() if queued else 0.0,
                apps=len(self._apps),
                events=Counter((event.verb, event.outcome) for event in counted),
                newest_event=max(after_event, len(self._events)),
                size=None,
            )

    def let_go(self, app: AppName, holder: str) -> None:
        with self._lock:
            if self._holds.get(app, ("",))[0] == holder:
                del self._holds[app]

    def collect(self, app: AppName, holder: str, numbers: Collection[int]) -> tuple[int, ...]:
        with self._lock:
            by, until = self._holds.get(app, ("", self._clock()))
            if by != holder or until <= self._clock():
                raise LeaseLostError(f"{app} is held no longer")
            live = self._live.get(app, [])
            stays = {release.number for release in live[-1:]} | named(app, self._unended())
            going = {r.number for r in live if r.kept and r.number in numbers and r.number not in stays}
            self._live[app] = [replace(r, kept=False, config={}) if r.number in going else r for r in live]
            return tuple(sorted(going, reverse=True))

    def forget_images(self, app: AppName, images: Collection[ImageRef]) -> None:
        with self._lock:
            for job in list(self._jobs.values()):
                if job.app == app and job.state.ended and job.image and job.image.ref in images:
                    self._set(replace(job, image=None))

    # the ledger itself

    def reseal(self) -> int:
        return 0

    def rotate_key(self) -> int:
        return 0

    def check(self) -> Iterable[Check]:
        return (Check("ledger", ok=True, seen="in memory"),)

    def close(self) -> None:
        """Nothing to let go of."""

    def _now(self, release: Release) -> Release:
        settings = self.settings(release.app).running(release.settings.runtime)
        return replace(release, settings=settings)

    def _quota(self, job: Job, under_way: list[JobId]) -> str:
        """The quota that holds a push back."""
        building = [self._jobs[id_] for id_ in under_way if isinstance(self._jobs[id_].cause, Push)]
        for quota in self.quotas() if isinstance(job.cause, Push) else ():
            people = () if quota.kind is QuotaKind.APP else self._people(quota)
            mine = [other for other in building if other.app == quota.name or other.user in people]
            holds = quota.name == job.app if quota.kind is QuotaKind.APP else job.user in people
            if holds and quota.builds is not None and len(mine) >= quota.builds:
                number = f"{quota.builds} build{'' if quota.builds == 1 else 's'} at once"
                return f"the quota of {quota.label} is {number}"
        return ""

    def _held(self, job: JobId, fence: int) -> Job:
        found = self.job(job)
        if found.state.ended or found.fence != fence:
            raise LeaseLostError(f"build {job} is held no longer")
        return found

    def _end(self, job: Job, state: JobState, reason: str, seconds: Mapping[str, float]) -> Job:
        self._leases.pop(job.id, None)
        self._holders.pop(job.id, None)
        if isinstance(job.cause, ConfigChange):
            job = replace(job, cause=job.cause.without_values())
        self.record(
            Happening(
                user=job.user,
                via=acting.SERVER.user,
                address="",
                verb="build",
                app=job.app,
                what=f"build {job.id}: {job.title}",
                outcome=Outcome.DONE if state is JobState.LIVE else Outcome.FAILED,
                reason=reason,
            )
        )
        return self._set(
            replace(job, state=state, reason=reason, seconds=dict(seconds), ended_at=self._clock())
        )

    def _set(self, job: Job) -> Job:
        self._jobs[job.id] = job
        return job
