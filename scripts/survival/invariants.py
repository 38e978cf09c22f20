"""What must hold of a ledger and its world once nothing is under way, whatever was killed before."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class JobFacts:
    """``log`` is all that its log says."""

    id: int
    app: str
    state: str
    reason: str
    commit: str
    release: int | None
    log: str


@dataclass(frozen=True)
class Instance:
    """A process that runs: of which release, and which image, by digest."""

    process: str
    release: int
    digest: str


@dataclass(frozen=True)
class AppFacts:
    """``releases`` are the numbers of all that were live. Of the live one: its commit, its image's digest, and how many of each process it
    has. ``head`` is where the deploy branch is; empty: nowhere. ``held`` says by whom the app's jobs are kept waiting, or its lock's
    reason; empty: by nobody. ``answers`` is what its address says, None where it does not answer; ``says`` what it should.
    """

    name: str
    releases: tuple[int, ...] = ()
    commit: str = ""
    digest: str = ""
    processes: Mapping[str, int] = field(default_factory=dict)
    head: str = ""
    held: str = ""
    running: tuple[Instance, ...] = ()
    answers: str | None = None
    says: str | None = None


@dataclass(frozen=True)
class Seen:
    """``accepted`` are the commits, by app, of which a client was told that they are live; ``begun`` the builds that a client was told of;
    ``strays`` is whatever of a job or an app is still there and belongs to none, in words.
    """

    jobs: tuple[JobFacts, ...]
    apps: tuple[AppFacts, ...]
    accepted: Mapping[str, frozenset[str]] = field(default_factory=dict)
    begun: frozenset[int] = frozenset()
    strays: tuple[str, ...] = ()


def complaints(seen: Seen) -> tuple[str, ...]:
    """What does not hold, each in a sentence of its own; empty where nothing was lost."""
    found = [*_of_jobs(seen), *_of_clients(seen)]
    for app in seen.apps:
        found += [*_of_releases(app, seen), *_of_what_runs(app)]
    return (*found, *(f"left behind: {stray}" for stray in seen.strays))


def complaints_at_rest(seen: Seen) -> tuple[str, ...]:
    """What must hold at any moment, of a ledger and repositories that were left in the midst of something."""
    found = [*_of_clients(seen)]
    for app in seen.apps:
        found += _of_numbers(app, seen)
        rolling_out = {job.commit for job in seen.jobs if job.app == app.name and job.state == "rolling_out"}
        if app.head not in {app.commit, *rolling_out}:
            yet = f"and no build that rolls out has brought {app.head[:10] or 'nothing'}"
            found.append(f"the branch of {app.name} is not at its live commit {app.commit[:10]}, {yet}")
    return tuple(found)


def _of_jobs(seen: Seen) -> Iterator[str]:
    for job in seen.jobs:
        if job.state not in {"live", "failed", "canceled"}:
            yield f"build {job.id} of {job.app} has not ended: it is {job.state}"
        elif job.state != "live" and not job.reason:
            yield f"build {job.id} of {job.app} is {job.state}, and nobody knows why"
        elif not _is_whole(job):
            last = (job.log.strip().splitlines() or ["nothing"])[-1]
            yield f"the log of build {job.id} of {job.app} lacks its end ({job.state}); its last line: {last}"


def _is_whole(job: JobFacts) -> bool:
    if job.state == "live":
        return f"{job.app} v{job.release} is live after" in job.log
    said = " ".join(job.log.split())
    return " ".join(job.reason.split())[:60] in said


def _of_clients(seen: Seen) -> Iterator[str]:
    known = {job.id for job in seen.jobs}
    for number in sorted(seen.begun - known):
        yield f"a client was told of build {number}, which the ledger does not know"
    for app, commits in seen.accepted.items():
        live = {job.commit for job in seen.jobs if job.app == app and job.state == "live"}
        for commit in sorted(commits - live):
            yield f"a client was told that {commit[:10]} of {app} is live, but no build of it ended so"


def _of_releases(app: AppFacts, seen: Seen) -> Iterator[str]:
    yield from _of_numbers(app, seen)
    if app.head != app.commit:
        yield f"the branch of {app.name} is at {app.head[:10] or 'nothing'}, its live commit is {app.commit[:10] or 'none'}"
    if app.held:
        yield f"{app.name} is locked: {app.held}"


def _of_numbers(app: AppFacts, seen: Seen) -> Iterator[str]:
    expected = list(range(1, len(app.releases) + 1))
    if sorted(app.releases) != expected:
        yield f"{app.name} has the releases {sorted(app.releases)}, not {expected}"
    made = [job.release for job in seen.jobs if job.app == app.name and job.state == "live"]
    if sorted(number for number in made if number) != sorted(app.releases):
        yield f"{app.name} has the releases {sorted(app.releases)}, but its live builds made {made}"


def _of_what_runs(app: AppFacts) -> Iterator[str]:
    newest = max(app.releases, default=0)
    for one in app.running:
        if (one.release, one.digest) != (newest, app.digest):
            yield f"{app.name} runs {one.process} of v{one.release} ({one.digest[:19]}), not of v{newest} ({app.digest[:19]})"
    counted = {name: sum(one.process == name for one in app.running) for name in app.processes}
    if counted != dict(app.processes):
        yield f"{app.name} runs {counted}, not {dict(app.processes)}"
    if app.answers != app.says:
        yield f"{app.name} answers {app.answers!r}, not {app.says!r}"
