"""A ledger, log book and job runner in memory, for what receiving needs of them."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from gitreceive.errors import ConflictError, LeaseLostError, NotFoundError, StaleError
from gitreceive.model import App, AppName, Image, Job, JobId, JobState, PublicKey, Push, User, UserName
from gitreceive.ports import SourceStore
from gitreceive.voice import Voice

Run = Callable[[Job, Voice], None]


class FakeLedger:
    """Apps, keys and jobs, as ports.py promises them."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._apps: dict[AppName, App] = {}
        self._users: dict[UserName, User] = {}
        self._keys: dict[str, PublicKey] = {}
        self._jobs: dict[JobId, Job] = {}
        self._leases: dict[JobId, float] = {}

    def create_app(self, name: AppName, owner: UserName, branch: str) -> App:
        with self._lock:
            if name in self._apps:
                raise ConflictError(f"{name} exists already")
            self._apps[name] = App(name, owner, branch, datetime.now(UTC))
            return self._apps[name]

    def app(self, name: AppName) -> App:
        with self._lock:
            if name not in self._apps:
                raise NotFoundError(f"there is no app {name}")
            return self._apps[name]

    def apps(self) -> tuple[App, ...]:
        with self._lock:
            return tuple(self._apps[name] for name in sorted(self._apps))

    def delete_app(self, name: AppName) -> None:
        with self._lock:
            self.app(name)
            if any(not job.state.ended for job in self._jobs.values() if job.app == name):
                raise ConflictError(f"a build of {name} is under way")
            del self._apps[name]

    def add_key(
        self, user: UserName, algorithm: str, blob: str, comment: str, fingerprint: str, *, admin: bool
    ) -> PublicKey:
        with self._lock:
            if any(key.blob == blob for key in self._keys.values()):
                raise ConflictError("the key is known")
            known = self._users.get(user)
            self._users[user] = User(user, admin or bool(known and known.admin))
            key = PublicKey(user, algorithm, blob, comment, fingerprint, datetime.now(UTC))
            self._keys[fingerprint] = key
            return key

    def keys(self, user: UserName | None = None) -> tuple[PublicKey, ...]:
        with self._lock:
            return tuple(key for key in self._keys.values() if user in {None, key.user})

    def remove_key(self, fingerprint: str) -> PublicKey:
        with self._lock:
            if fingerprint not in self._keys:
                raise NotFoundError("no such key")
            return self._keys.pop(fingerprint)

    def user(self, name: UserName) -> User:
        with self._lock:
            if name not in self._users:
                raise NotFoundError(f"there is no user {name}")
            return self._users[name]

    def user_of_key(self, algorithm: str, blob: str) -> User | None:
        with self._lock:
            found = [k for k in self._keys.values() if (k.algorithm, k.blob) == (algorithm, blob)]
            return self._users[found[0].user] if found else None

    def enqueue(self, push: Push) -> Job:
        with self._lock:
            self.app(push.app)
            job = Job(JobId(len(self._jobs) + 1), push, JobState.QUEUED, datetime.now(UTC))
            self._jobs[job.id] = job
            return job

    def job(self, job: JobId) -> Job:
        with self._lock:
            if job not in self._jobs:
                raise NotFoundError(f"there is no build {job}")
            return self._jobs[job]

    def jobs(self, app: AppName | None = None, limit: int = 20) -> tuple[Job, ...]:
        with self._lock:
            newest = sorted(self._jobs.values(), key=lambda job: -job.id)
            return tuple(job for job in newest if app in {None, job.app})[:limit]

    def ahead(self, job: JobId) -> tuple[Job, ...]:
        with self._lock:
            here = self.job(job)
            return tuple(
                j for j in self._jobs.values() if j.app == here.app and j.id < job and not j.state.ended
            )

    def claim(self, holder: str, lease_seconds: float) -> Job | None:
        with self._lock:
            for job in self._jobs.values():
                free = time.monotonic() > self._leases.get(job.id, 0)
                if free and not job.state.ended and not self.ahead(job.id):
                    self._leases[job.id] = time.monotonic() + lease_seconds
                    return self._put(replace(job, fence=job.fence + 1))
            return None

    def renew(self, job: JobId, fence: int, lease_seconds: float) -> Job:
        with self._lock:
            self._leases[job] = time.monotonic() + lease_seconds
            return self._held(job, fence)

    def request_cancel(self, job: JobId, by: str) -> Job:
        with self._lock:
            found = self.job(job)
            if found.state.ended:
                raise ConflictError(f"build {job} has ended")
            state = JobState.CANCELED if found.state is JobState.QUEUED else found.state
            return self._put(replace(found, state=state, cancel_requested_by=by, reason=f"canceled by {by}"))

    def advance(self, job: JobId, fence: int, state: JobState, *, image: Image | None = None) -> Job:
        with self._lock:
            found = self._held(job, fence)
            started = found.started_at or datetime.now(UTC)
            return self._put(replace(found, state=state, started_at=started, image=image or found.image))

    def end(self, job: JobId, fence: int, state: JobState, reason: str, seconds: Mapping[str, float]) -> Job:
        with self._lock:
            found = self._held(job, fence)
            ended = replace(
                found, state=state, reason=reason, seconds=dict(seconds), ended_at=datetime.now(UTC)
            )
            return self._put(ended)

    def _held(self, job: JobId, fence: int) -> Job:
        found = self.job(job)
        if found.fence != fence:
            raise LeaseLostError(f"build {job} was taken over")
        return found

    def _put(self, job: Job) -> Job:
        self._jobs[job.id] = job
        return job


class FakeLogBook:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._logs: dict[JobId, bytes] = {}

    def append(self, job: JobId, chunk: bytes) -> None:
        with self._lock:
            self._logs[job] = self._logs.get(job, b"") + chunk

    def close(self, job: JobId) -> None: ...

    def read(self, job: JobId, offset: int, limit: int = 65536) -> bytes:
        with self._lock:
            return self._logs.get(job, b"")[offset : offset + limit]

    def size(self, job: JobId) -> int:
        with self._lock:
            return len(self._logs.get(job, b""))

    def delete(self, job: JobId) -> None:
        with self._lock:
            self._logs.pop(job, None)


class BuildFailed(Exception):
    """Raised by what a test has a build do."""


def _nothing(job: Job, voice: Voice) -> None:
    voice.step("Nothing to build")


@dataclass
class FakeRunner:
    """Takes jobs up one at a time, as the real one does: ``run``, then the ref moves, then the job is live."""

    ledger: FakeLedger
    logbook: FakeLogBook
    sources: SourceStore
    run: Run = _nothing
    paused: threading.Event = field(default_factory=threading.Event)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._loop)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()

    def _loop(self) -> None:
        while not self._stop.wait(0.005):
            job = None if self.paused.is_set() else self.ledger.claim("runner", 600)
            if job:
                self._work(self.ledger.advance(job.id, job.fence, JobState.BUILDING))

    def _work(self, job: Job) -> None:
        voice = Voice(lambda chunk: self.logbook.append(job.id, chunk))
        push = job.push
        try:
            self.run(job, voice)
            self.sources.move(push.app, push.ref, push.old, push.new)
        except (BuildFailed, StaleError) as error:
            voice.error(str(error))
            self.logbook.close(job.id)
            self.ledger.end(job.id, job.fence, JobState.FAILED, str(error), {})
            return
        voice.step(f"v{job.id} is live")
        self.logbook.close(job.id)
        self.ledger.end(job.id, job.fence, JobState.LIVE, "", {})
