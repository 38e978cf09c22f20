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
from scripts.survival.looking import reading, states
from scripts.survival.on_docker import engine_of
from scripts.survival.spare import QuickServer
from scripts.survival.stages import STAGES, most_advanced, stages_of_points, under_way
from tests.crash_points import POINTS

VICTIMS = {
    "server": 4,
    "point": 6,
    "build": 2,
    "docker": 1,
    "registry": 2,
    "cluster": 2,
}  # how often, one to another
RESUMES_WITHIN = 10.0  # seconds from a server's start to the first job that goes on, as promised
_WIDE = STAGES[:-1]  # long enough for somebody from outside to come in time
_SELDOM = {"receiving": 2, "publishing": 2, "recording": 2, "ended": 3}  # these stages are short
_STAGE_PATIENCE = 5.0  # seconds in which a job may come to a stage
_POINT_PATIENCE = 20.0  # … to a point
_SURE_PATIENCE = 60.0  # … to one that is to be reached
_TRIES = 10  # for such a one
_BUILD_PATIENCE = 8.0  # seconds in which a build to be killed may come
_POLL = 0.04


@dataclass(frozen=True)
class Kill:
    """One of the order that a seed gives. ``stage`` is what is waited for; ``point`` where the server kills itself, where that is the victim."""

    victim: str
    stage: str
    late: float  # seconds into the stage
    down: float  # seconds until it is started again
    point: str
    sure: bool = False  # until it has come about


def order(seed: int, victims: tuple[str, ...]) -> Iterator[Kill]:
    """Without an end; the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311
    weights = [VICTIMS[victim] for victim in victims]
    points = stages_of_points()
    while True:
        (victim,) = chance.choices(victims, weights)
        stages = {"point": STAGES, "build": ("building",)}.get(victim, _WIDE)
        (stage,) = chance.choices(stages, [_SELDOM.get(name, 1) for name in stages])
        point = chance.choice([name for name in POINTS if points[name] == stage] or list(POINTS))
        late, down = chance.uniform(0.0, 0.4), chance.uniform(0.0, 0.2)
        if victim in {"docker", "registry", "cluster"}:
            down = chance.choice((0.0, 0.5, 3.0))
        yield Kill(victim, stage, late, down, point)


def each_point(seed: int) -> Iterator[Kill]:
    """All of them, in their order."""
    chance = random.Random(seed)  # noqa: S311
    for point, stage in stages_of_points().items():
        yield Kill("point", stage, 0.0, chance.uniform(0.0, 0.5), point, sure=True)


@dataclass
class Killer:
    """``kills`` counts by victim and stage, ``points`` those of them that came at a named point; ``resumed``, of servers started from their beginning or forked, and
    ``ended`` are seconds;
    ``wrong`` is what must not have happened. ``at_rest`` is called whenever a server lies dead, and nothing moves on its disk.
    """

    server: QuickServer
    ground: Ground
    at_rest: Callable[[], None] = lambda: None
    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    points: Counter[str] = field(default_factory=Counter)
    resumed: list[float] = field(default_factory=list)
    resumed_forked: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    _armed: str = ""
    _began: float = 0.0
    _left: set[int] = field(default_factory=set)  # jobs of which none has gone on yet

    @property
    def number(self) -> int:
        return sum(self.kills.values())

    def carry_out(self, kill: Kill, following: Kill | None = None) -> None:
        """Where a server is killed at a point next, the one that is started here is to die there."""
        point = following.point if following and following.victim == "point" else ""
        ways: dict[str, Callable[[], None]] = {
            "server": lambda: self._kill_server(kill, point),
            "point": lambda: self._kill_at_point(kill, point),
            "build": self._kill_build,
            "docker": lambda: self._kill_service(self.ground.docker, kill),
            "registry": lambda: self._kill_service(self.ground.registry, kill),
            "cluster": lambda: self._kill_service(self.ground.cluster, kill),
        }
        ways[kill.victim]()

    def disarm(self) -> None:
        """The server that runs from here on dies nowhere by itself."""
        assert self.server.process is not None
        if self._armed and self.server.process.poll() is None:
            self._hand_over("")
        elif self._armed:
            self._start()

    def _kill_server(self, kill: Kill, then: str) -> None:
        self._await(kill)
        self._end_by_force()
        self._lies_dead(kill, "server")
        self._start(then)

    def _kill_at_point(self, kill: Kill, then: str) -> None:
        """Where a job comes by; else the server is killed where it is."""
        for _ in range(_TRIES if kill.sure else 1):
            if self._armed != kill.point:
                self._hand_over(kill.point)
            if self._dies_within(_SURE_PATIENCE if kill.sure else _POINT_PATIENCE):
                self.points[kill.point] += 1
                self._lies_dead(kill, "point")
                self._start(then)
                return
            self._end_by_force()
            self._lies_dead(kill, "server")
            self._start("" if kill.sure else then)
        if kill.sure:
            self.wrong.append(f"no job has come by {kill.point!r}")

    def _lies_dead(self, kill: Kill, victim: str) -> None:
        self._count(kill.stage, victim, at=kill.stage if victim == "point" else "")
        self.at_rest()
        time.sleep(kill.down)

    def _kill_build(self) -> None:
        until = time.monotonic() + _BUILD_PATIENCE
        with closing(engine_of(self.server)) as engine:
            while time.monotonic() < until:
                mark = f"gitreceive.data={owner(self.server.folder / 'data')}"
                found = engine.containers.list(
                    ignore_removed=True, filters={"label": [mark, "gitreceive.job"]}
                )
                builds = [container for container in found if "gitreceive.network" not in container.labels]
                for container in builds[:1]:
                    with suppress(docker.errors.APIError):
                        container.kill("SIGKILL")
                        self._count("building", "build", at="building")
                        return
                self._notice()
                time.sleep(2 * _POLL)

    def _kill_service(self, service: Service | None, kill: Kill) -> None:
        assert service is not None
        self._await(kill)
        service.kill()
        self._count(kill.stage, kill.victim)
        time.sleep(kill.down)
        service.start()

    def _count(self, wished: str, victim: str, at: str = "") -> None:
        """Each kill counts once: at the stage that was waited for, where somebody was there, else where most was at stake."""
        found = under_way(self.server)
        self.kills[victim, at or (wished if wished in found else most_advanced(found))] += 1

    def _await(self, kill: Kill) -> None:
        """Until a job has been at that stage for a moment, but not for ever."""
        until = time.monotonic() + _STAGE_PATIENCE
        while time.monotonic() < until and kill.stage not in under_way(self.server):
            self._notice()
            time.sleep(_POLL)
        late = time.monotonic() + kill.late
        while time.monotonic() < late:
            self._notice()
            time.sleep(_POLL)

    def _dies_within(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        assert self.server.process is not None
        while time.monotonic() < until:
            if self.server.process.poll() is not None:
                return True
            self._notice()
            time.sleep(_POLL)
        return False

    def _end_by_force(self) -> None:
        if (code := self.server.stop(signal.SIGKILL)) != -signal.SIGKILL:
            self.wrong.append(f"a server that nobody had killed ended with {code}")

    def _hand_over(self, point: str) -> None:
        """A server that is told to end hands its jobs over to the next."""
        began = time.monotonic()
        code = self.server.stop()
        if code != 0 and not (self._armed and code == -signal.SIGKILL):  # it came by its point meanwhile
            self.wrong.append(f"a server that was told to end did so with {code}")
        self.ended.append(time.monotonic() - began)
        self._start(point)

    def _start(self, point: str = "") -> None:
        self._armed = point
        self._left = set(states(self.server))
        self.server.settings = {**self.server.settings, "GITRECEIVE_TEST_CRASH_AT": point}
        self._began = time.monotonic()
        self.server.start(may_die=bool(point))
        self._notice()

    def _notice(self) -> None:
        """How long it takes from a server's start until the first of the jobs that were left goes on is kept."""
        if self._left and self._goes_on():
            found = self.resumed if self.server.whole else self.resumed_forked
            found.append(time.monotonic() - self._began)
            self._left = set()

    def _goes_on(self) -> bool:
        """One of them is claimed by the server that runs, or has ended."""
        assert self.server.process is not None
        mine = f"%:{self.server.process.pid}:%"
        with closing(reading(self.server)) as book:
            rows = book.execute(
                "SELECT id FROM jobs WHERE ended_at IS NULL AND (holder IS NULL OR holder NOT LIKE ?)",
                (mine,),
            )
            return not self._left <= {row["id"] for row in rows}
