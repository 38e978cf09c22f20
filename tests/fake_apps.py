"""The part of the ledger in memory that keeps apps, what is set for them, and stacks."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from gitreceive.errors import ConflictError, NotFoundError
from gitreceive.model import (
    MOST_DRAINS,
    App,
    AppName,
    AppSettings,
    Certificate,
    Domain,
    Drain,
    Job,
    JobId,
    Lock,
    Review,
    ReviewRules,
    Secret,
    Stack,
    UserName,
)
from tests.fake_people import FakePeople


class FakeApps(FakePeople):
    def __init__(self, clock: Callable[[], datetime]) -> None:
        super().__init__(clock)
        self._jobs: dict[JobId, Job] = {}
        self._stacks: dict[str, list[Stack]] = {}
        self._settings: dict[AppName, AppSettings] = {}
        self._domains: dict[Domain, AppName] = {}
        self._certificates: dict[tuple[AppName, str], Certificate] = {}
        self._drains: list[Drain] = []
        self._last_drain = 0

    def create_app(self, name: AppName, owner: UserName, branch: str, review: Review | None = None) -> App:
        with self._lock:
            if name in self._apps:
                raise ConflictError(f"there is an app {name} already")
            self._apps[name] = App(name, owner, branch, self._clock(), review=review)
            self._note("apps create", f"owner {owner}, branch {branch}", name)
            return self._apps[name]

    def app(self, name: AppName) -> App:
        with self._lock:
            if name not in self._apps:
                raise NotFoundError(f"there is no app {name}")
            return self._apps[name]

    def apps(self) -> tuple[App, ...]:
        with self._lock:
            return tuple(self._apps[name] for name in sorted(self._apps))

    def set_buildpacks(self, name: AppName, before: tuple[str, ...], after: tuple[str, ...]) -> App:
        with self._lock:
            app = self._unlocked(name)
            if app.buildpacks != before:
                raise ConflictError(f"the buildpacks of {name} were changed just now")
            self._apps[name] = replace(app, buildpacks=after)
            self._note("buildpacks set", ", ".join(after) or "none", name)
            return self._apps[name]

    def lock_app(self, name: AppName, user: UserName, reason: str) -> App:
        with self._lock:
            app = self._unlocked(name)
            self._apps[name] = replace(app, lock=Lock(user, reason, self._clock()))
            self._note("lock", reason, name)
            return self._apps[name]

    def unlock_app(self, name: AppName) -> App:
        with self._lock:
            self._apps[name] = replace(self.app(name), lock=None)
            self._note("unlock", "", name)
            return self._apps[name]

    def _unlocked(self, name: AppName) -> App:
        app = self.app(name)
        app.require_unlocked()
        return app

    def set_reviews(self, name: AppName, before: ReviewRules, after: ReviewRules) -> App:
        with self._lock:
            app = self._unlocked(name)
            if app.reviews != before:
                raise ConflictError(f"what is set for reviews of {name} was changed just now")
            self._apps[name] = replace(app, reviews=after)
            self._note("reviews set", "", name)
            return self._apps[name]

    def keep_review(self, name: AppName, until: datetime) -> App:
        with self._lock:
            app = self.app(name)
            if app.review is None:
                raise NotFoundError(f"{name} is no review app")
            self._apps[name] = replace(app, review=replace(app.review, until=until))
            return self._apps[name]

    def reviews(self, of: AppName | None = None) -> tuple[App, ...]:
        return tuple(app for app in self.apps() if app.review and of in {None, app.review.of})

    def settings(self, app: AppName) -> AppSettings:
        with self._lock:
            self.app(app)
            return self._settings.get(app, AppSettings())

    def _put(self, app: AppName, settings: AppSettings) -> None:
        for host in set(self.settings(app).routing.domains) - set(settings.routing.domains):
            del self._domains[host]
        self._settings[app] = settings

    def _claim(self, app: AppName, hosts: Iterable[Domain]) -> None:
        for host in hosts:
            for other, holder in list(self._domains.items()):
                if holder != app and (host.covers(other) or other.covers(host)):
                    if other in self.settings(holder).routing.domains or self._unended(holder):
                        raise ConflictError(f"{host} is taken by another app of this server")
                    del self._domains[other]
            self._domains[host] = app

    def keep_certificate(self, app: AppName, certificate: Certificate) -> None:
        with self._lock:
            self._certificates[app, certificate.fingerprint] = certificate

    def certificate(self, app: AppName, fingerprint: str) -> Certificate:
        with self._lock:
            if (app, fingerprint) not in self._certificates:
                raise NotFoundError(f"{app} has no certificate {fingerprint[:12]}")
            return self._certificates[app, fingerprint]

    def forget_certificates(self, app: AppName) -> None:
        with self._lock:
            named = self.settings(app).routing.certificates
            for key in list(self._certificates):
                if key[0] == app and key[1] not in named and not self._unended(app):
                    del self._certificates[key]

    def add_drain(self, app: AppName, user: UserName, url: Secret, headers: Mapping[str, Secret]) -> Drain:
        with self._lock:
            self.app(app)
            there = self.drains(app)
            if url in {drain.url for drain in there} or len(there) >= MOST_DRAINS:
                raise ConflictError(f"{app} has that log drain already, or as many as it may")
            self._last_drain += 1
            self._drains.append(Drain(self._last_drain, app, user, url, self._clock(), dict(headers)))
            self._note("log-drains add", f"log drain {self._last_drain}", app)
            return self._drains[-1]

    def drains(self, app: AppName | None = None) -> tuple[Drain, ...]:
        with self._lock:
            return tuple(drain for drain in self._drains if app in {None, drain.app})

    def remove_drain(self, app: AppName, drain: int) -> Drain:
        with self._lock:
            found = next((one for one in self.drains(app) if one.id == drain), None)
            if found is None:
                raise NotFoundError(f"{app} has no log drain {drain}")
            self._drains.remove(found)
            self._note("log-drains remove", f"log drain {drain}", app)
            return found

    def put_stack(self, stack: Stack) -> Stack:
        with self._lock:
            versions = self._stacks.setdefault(stack.name, [])
            versions.append(replace(stack, version=len(versions) + 1))
            return versions[-1]

    def stack(self, name: str, version: int | None = None) -> Stack | None:
        found = (stack for stack in self.stack_versions(name) if version in {None, stack.version})
        return next(found, None)

    def stacks(self) -> tuple[Stack, ...]:
        with self._lock:
            return tuple(self._stacks[name][-1] for name in sorted(self._stacks))

    def stack_versions(self, name: str | None = None) -> tuple[Stack, ...]:
        with self._lock:
            names = sorted(self._stacks) if name is None else [name]
            return tuple(stack for each in names for stack in reversed(self._stacks.get(each, [])))

    def _unended(self, app: AppName | None = None) -> list[Job]:
        return [job for job in self._jobs.values() if not job.state.ended and app in {None, job.app}]
