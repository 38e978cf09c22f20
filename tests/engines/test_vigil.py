"""Processes that serve on the docker target are asked how they are, by a clock of the test's own."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from pathlib import Path

import pytest

from gitreceive.engines.docker_target.containers import Container, Place, Stage
from gitreceive.engines.docker_target.findings import Finding, Findings
from gitreceive.engines.docker_target.vigil import Vigil
from gitreceive.errors import UnavailableError
from gitreceive.model import AppName, CheckKind, HealthCheck

READY = HealthCheck(CheckKind.READINESS, command=("ready",), attempts=2, wait=5)
ALIVE = HealthCheck(CheckKind.LIVENESS, command=("alive",), attempts=2, wait=5)
UP = HealthCheck(CheckKind.STARTUP, command=("up",), attempts=3, wait=5)


class ScriptedEngine:
    """What each command ends with, until it is said otherwise."""

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}
        self.asked: list[str] = []
        self.restarted: list[str] = []
        self.gone = False

    def run_in(self, container: str, command: Sequence[str], seconds: float) -> tuple[int, str]:
        if self.gone:
            raise UnavailableError("Docker does not answer: refused")
        self.asked.append(command[0])
        code = self.codes.get(command[0], 0)
        return code, "no luck" if code else ""

    def restart(self, container: str, grace: int) -> None:
        self.restarted.append(container)


class Round:
    """The vigil, looked at each second."""

    def __init__(self, folder: Path, *health: HealthCheck) -> None:
        self.engine = ScriptedEngine()
        self.findings = Findings(folder / "data" / "health.json")
        self.now = 0.0
        self.vigil = Vigil(self.engine, self.findings, lambda: self.now)
        self.container = a_container(health)

    def seconds(self, count: int, containers: Sequence[Container] | None = None) -> None:
        for _ in range(count):
            self.now += 1
            self.look([self.container] if containers is None else containers)
        self.look([self.container] if containers is None else containers)

    def look(self, containers: Sequence[Container]) -> None:
        self.vigil.look(containers)
        asking = [c.asking for c in self.vigil._charges.values() if c.asking]
        wait(asking, timeout=60)

    @property
    def finding(self) -> Finding:
        return self.findings.all().get(self.container.id, Finding())


def a_container(
    health: Sequence[HealthCheck], stage: Stage = Stage.LIVE, state: str = "running"
) -> Container:
    place = Place(3, "web", 1)
    return Container(
        "c1",
        AppName("shop"),
        place,
        stage,
        state,
        False,
        "image",
        "",
        5000,
        ("127.0.0.1", 1),
        0.0,
        health=tuple(health),
    )


RoundOf = Callable[..., Round]


@pytest.fixture
def round_of(tmp_path: Path) -> Iterator[RoundOf]:
    made: list[Round] = []

    def make(*health: HealthCheck) -> Round:
        made.append(Round(tmp_path, *health))
        return made[-1]

    yield make
    for each in made:
        each.vigil.stop()
    assert not [t for t in threading.enumerate() if t.name.startswith("vigil")]


def test_one_that_misses_readiness_is_led_nothing_until_it_passes(round_of: RoundOf) -> None:
    world = round_of(READY)
    world.engine.codes["ready"] = 1
    world.seconds(5)
    assert world.vigil.unready == frozenset(), "one miss is none"
    world.seconds(6)
    assert world.vigil.unready == {"c1"}
    assert world.finding == Finding("exit 1 (no luck)")
    assert world.engine.restarted == []
    world.engine.codes["ready"] = 0
    world.seconds(6)
    assert world.vigil.unready == frozenset()
    assert world.finding == Finding()


def test_one_that_misses_liveness_is_started_anew_and_each_time_later(round_of: RoundOf) -> None:
    world = round_of(ALIVE)
    world.engine.codes["alive"] = 1
    world.seconds(8)
    assert world.engine.restarted == ["c1"]
    assert (world.finding.restarts, world.finding.last) == (1, "exit 1 (no luck)")
    world.seconds(12)
    assert world.engine.restarted == ["c1"], "it is given time"
    world.seconds(10)
    assert world.engine.restarted == ["c1"] * 2
    world.engine.codes["alive"] = 0
    world.seconds(60)
    assert world.engine.restarted == ["c1"] * 2
    assert world.finding.restarts == 2


def test_one_started_anew_is_ready_when_it_has_started_and_says_so(round_of: RoundOf) -> None:
    world = round_of(UP, READY, ALIVE)
    world.seconds(2)
    assert "up" not in world.engine.asked, "it has started, or it would not serve"
    world.engine.codes |= {"alive": 1, "up": 1}
    world.seconds(10)
    assert world.engine.restarted == ["c1"]
    assert world.vigil.unready == {"c1"}
    world.engine.asked.clear()
    world.seconds(4)
    assert set(world.engine.asked) <= {"up"}
    world.engine.codes.clear()
    world.seconds(12)
    assert world.vigil.unready == frozenset()


def test_one_that_does_not_start_again_is_started_again_and_again(round_of: RoundOf) -> None:
    world = round_of(UP, ALIVE)
    world.engine.codes |= {"alive": 1, "up": 1}
    world.seconds(60)
    assert len(world.engine.restarted) > 2


def test_an_engine_that_does_not_answer_says_nothing_of_a_process(round_of: RoundOf) -> None:
    world = round_of(READY, ALIVE)
    world.engine.gone = True
    world.seconds(30)
    assert (world.engine.restarted, world.vigil.unready) == ([], frozenset())


@pytest.mark.parametrize(
    "other",
    [
        a_container([READY], Stage.STARTING),
        a_container([READY], Stage.RETIRING),
        a_container([READY], state="exited"),
    ],
    ids=["starting", "retiring", "ended"],
)
def test_only_what_serves_is_asked(round_of: RoundOf, other: Container) -> None:
    world = round_of(READY)
    world.engine.codes["ready"] = 1
    world.seconds(8, [other])
    assert world.engine.asked == []
    world.seconds(12)
    assert world.finding.unready
    world.seconds(1, [other])
    assert world.finding == Finding(), "what is gone is forgotten"


def test_findings_that_cannot_be_read_are_none(tmp_path: Path) -> None:
    (tmp_path / "health.json").write_text("{")
    assert Findings(tmp_path / "health.json").all() == {}
