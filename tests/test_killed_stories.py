"""More than five hundred deaths: jobs that are told by one server after the other, each of which dies at some step, end once and as they should."""

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.errors import RolloutError
from gitreceive.jobs import work
from gitreceive.model import CommitId, Job, JobId, JobState, ProcessType, Push
from scripts.survival.invariants import AppFacts, Instance, JobFacts, Seen, complaints
from tests.crash_points import DEPLOYING, FAILING, watched
from tests.platform import MAIN, SHOP, World

_ROUNDS = 40  # worlds
_PUSHES = 5  # of each
_DEATHS = 12  # of each push, at most
_APP_JSON = '{"scripts": {"postdeploy": "seed"}}'


class Killed(BaseException):
    """As by SIGKILL: nothing of the server's does anything any more."""


@dataclass
class Server:
    """Dies when it has reached so many points, and stays dead."""

    lives: int
    at: str = ""

    def reached(self, name: str) -> None:
        if self.at:
            raise Killed
        self.lives -= 1
        if self.lives < 0:
            self.at = name
            raise Killed


@dataclass
class Story:
    """One world, its servers, and where they died."""

    chance: random.Random
    world: World = field(default_factory=World)
    deaths: Counter[str] = field(default_factory=Counter)
    servers: int = 0

    def push(self, number: int, *parents: CommitId) -> Job:
        """To its end, over as many servers as it takes."""
        files = {"app.py": str(number), "app.json": _APP_JSON}
        job = self.world.enqueue(self.world.commit_files(files, *parents))
        for _ in range(_DEATHS):
            if self._told(Server(self.chance.randrange(34)), job.id):
                break
        else:
            assert self._told(Server(10_000), job.id)
        return self.world.ledger.job(job.id)

    def _told(self, server: Server, job: JobId) -> bool:
        """Whether this server lived to see its end."""
        self.servers += 1
        holder = f"server-{self.servers}"
        platform = watched(self.world.platform, server.reached)
        try:
            claimed = platform.ledger.claim(holder, 3600)
            assert claimed is not None or self.world.ledger.job(job).state.ended
            if claimed is not None:
                assert claimed.id == job
                work(claimed, platform, Cancellation())
        except Killed:
            self.deaths[server.at] += 1
            self.world.ledger.hand_over(holder)
            return False
        return True

    def seen(self) -> Seen:
        world = self.world
        releases = world.ledger.releases(SHOP, limit=100)
        newest = releases[0]
        running = world.target.running(SHOP)
        app = AppFacts(
            str(SHOP),
            releases=tuple(release.number for release in releases),
            commit=newest.commit,
            digest=str(newest.image.ref.digest),
            processes={"web": 1},
            head=world.head,
            running=(Instance("web", running or 0, str(newest.image.ref.digest)),),
        )
        strays = ("a build container",) * world.builder.open_builds
        jobs = tuple(self._facts(job) for job in world.ledger.jobs(limit=100))
        return Seen(jobs, (app,), strays=strays)

    def _facts(self, job: Job) -> JobFacts:
        assert isinstance(job.cause, Push)
        commit, log = job.cause.new, self.world.log(job)
        return JobFacts(job.id, str(job.app), job.state, job.reason, commit, job.release, log)


def _stories() -> list[Story]:
    return [Story(random.Random(seed)) for seed in range(_ROUNDS)]


def _run(story: Story) -> None:
    world = story.world
    world.builder.processes = (*world.builder.processes, ProcessType("release", ("migrate",)))
    live: list[CommitId] = []
    for number in range(_PUSHES):
        fails = bool(live) and story.chance.random() < 0.3
        world.target.failure = RolloutError("web crashed") if fails else None
        job = story.push(number, *live[-1:])
        assert isinstance(job.cause, Push)
        assert job.state is (JobState.FAILED if fails else JobState.LIVE), (job.reason, world.log(job))
        if not fails:
            live.append(job.cause.new)
        assert world.sources.head(SHOP, MAIN) == live[-1]


@pytest.fixture(scope="module")
def stories() -> list[Story]:
    told = _stories()
    for story in told:
        _run(story)
    return told


def test_nothing_is_lost_however_often_servers_die(stories: list[Story]) -> None:
    for story in stories:
        assert complaints(story.seen()) == ()


def test_five_hundred_servers_have_died_over_all_stages(stories: list[Story]) -> None:
    deaths = sum((story.deaths for story in stories), Counter[str]())
    assert sum(deaths.values()) >= 500
    assert set(deaths) >= {*DEPLOYING, *FAILING} - {"sources.release done"}
