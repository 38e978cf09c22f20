"""Who is killed, in which order, and how it comes back."""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field

import docker

from gitreceive.engines.docker_target.containers import owner
from scripts.survival.ground import Ground, Service
from scripts.survival.looking import engine_of, reading, states
from tests.crash_points import POINTS
from tests.e2e.world import Server, wait_until

VICTIMS = {"server": 4, "point": 6, "build": 4, "docker": 2, "registry": 2}  # how often, one to another
RESUMES_WITHIN = 10.0  # seconds from a server's start to the first job claimed, as promised
_PATIENCE = 15.0  # seconds in which a build to be killed may come
_POINT_PATIENCE = 45.0  # seconds in which a job may come by
_TRIES = 10  # for a point that is to be reached for sure


@dataclass(frozen=True)
class Kill:
    """One of the order that a seed gives. ``point`` is where the server kills itself, where that is the victim."""

    victim: str
    pause: float  # seconds before it
    down: float  # seconds until it is started again
    point: str
    sure: bool = False  # until it has come about


def order(seed: int, victims: tuple[str, ...]) -> Iterator[Kill]:
    """Without an end; the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311
    weights = [VICTIMS[victim] for victim in victims]
    while True:
        (victim,) = chance.choices(victims, weights)
        yield Kill(victim, chance.uniform(0.1, 2.0), chance.uniform(0.0, 1.0), chance.choice(POINTS))


def each_point(seed: int) -> Iterator[Kill]:
    """All of them, in their order."""
    chance = random.Random(seed)  # noqa: S311
    for point in POINTS:
        yield Kill("point", chance.uniform(0.1, 1.0), 0.0, point, sure=True)


@dataclass
class Killer:
    """``kills`` counts what was killed, and at which stage of which job; ``resumed`` and ``ended`` are
    seconds; ``wrong`` what must not have happened.
    """

    server: Server
    ground: Ground
    kills: Counter[str] = field(default_factory=Counter)
    stages: Counter[str] = field(default_factory=Counter)
    resumed: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def number(self) -> int:
        return sum(self.kills.values())

    def carry_out(self, kill: Kill) -> None:
        time.sleep(kill.pause)
        ways: dict[str, Callable[[Kill], None]] = {
            "server": self._kill_server,
            "point": self._kill_at_point,
            "build": self._kill_build,
            "docker": lambda kill: self._kill_service(self.ground.docker, kill),
            "registry": lambda kill: self._kill_service(self.ground.registry, kill),
        }
        ways[kill.victim](kill)

    def _kill_server(self, kill: Kill) -> None:
        self._count(kill.victim)
        self.server.stop(signal.SIGKILL)
        time.sleep(kill.down)
        self._start()

    def _kill_at_point(self, kill: Kill) -> None:
        """A server that is told to end hands its jobs over; the next one dies at the point, where a job comes by."""
        for _ in range(_TRIES if kill.sure else 1):
            if self._end_server() != 0:
                self.wrong.append("a server that was told to end did not do so well")
            self._start(kill.point)
            died = self._dies_within(_POINT_PATIENCE)
            if died:
                self.kills["point"] += 1
                self.stages[kill.point] += 1
                time.sleep(kill.down)
            self._start()
            if died:
                return
        if kill.sure:
            self.wrong.append(f"no job has come by {kill.point!r}")

    def _kill_build(self, kill: Kill) -> None:
        until = time.monotonic() + _PATIENCE
        with closing(engine_of(self.server)) as engine:
            while time.monotonic() < until:
                mark = f"gitreceive.data={owner(self.server.folder / 'data')}"
                found = engine.containers.list(filters={"label": [mark, "gitreceive.job"]})
                builds = [container for container in found if "gitreceive.network" not in container.labels]
                for container in builds[:1]:
                    with suppress(docker.errors.APIError):
                        container.kill("SIGKILL")
                        self._count(kill.victim)
                        return
                time.sleep(0.02)

    def _kill_service(self, service: Service | None, kill: Kill) -> None:
        assert service is not None
        self._count(kill.victim)
        service.kill()
        time.sleep(kill.down)
        service.start()

    def _count(self, victim: str) -> None:
        self.kills[victim] += 1
        for stage in states(self.server).values() or ["idle"]:
            self.stages[stage] += 1
        objects = self.server.folder.glob("data/repos/*.git/objects/*incoming-*")
        self.stages["receiving"] += sum(1 for _ in objects)

    def _dies_within(self, seconds: float) -> bool:
        """Where nobody comes by, the server is ended: it must not die later, unseen."""
        until = time.monotonic() + seconds
        assert self.server.process is not None
        while time.monotonic() < until:
            if self.server.process.poll() is not None:
                return True
            time.sleep(0.02)
        return self._end_server() == -signal.SIGKILL  # in the last moment

    def _end_server(self) -> int:
        began = time.monotonic()
        code = self.server.stop()
        self.ended.append(time.monotonic() - began)
        return code

    def _start(self, point: str = "") -> None:
        """How long it takes from its start until the first of the jobs that were left is claimed is kept."""
        waiting = set(states(self.server))
        self.server.settings = {**self.server.settings, "GITRECEIVE_TEST_CRASH_AT": point}
        began = time.monotonic()
        self.server.start(may_die=bool(point))
        if waiting and not point:
            wait_until(lambda: self._goes_on(waiting), "a job that was left is claimed", 60)
            self.resumed.append(time.monotonic() - began)

    def _goes_on(self, waiting: set[int]) -> bool:
        """One of them is claimed by the server that runs, or has ended."""
        assert self.server.process is not None
        mine = f"%:{self.server.process.pid}:%"
        with closing(reading(self.server)) as book:
            rows = book.execute("SELECT id FROM jobs WHERE ended_at IS NULL AND holder NOT LIKE ?", (mine,))
            left = {row["id"] for row in rows}
            rows = book.execute("SELECT id FROM jobs WHERE ended_at IS NULL AND holder IS NULL")
            left |= {row["id"] for row in rows}
        return not waiting <= left
