"""The points at which servers under test are killed are those that a job passes, all of them."""

import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.errors import RolloutError
from gitreceive.jobs import work
from gitreceive.model import ProcessType
from tests.crash_points import DEPLOYING, FAILING, POINTS, watched
from tests.platform import World

_APP_JSON = '{"scripts": {"postdeploy": "seed"}}'


@pytest.fixture
def world() -> World:
    world = World()
    world.builder.processes = (*world.builder.processes, ProcessType("release", ("migrate",)))
    return world


def _reached(world: World) -> list[str]:
    """By one push."""
    told: list[str] = []
    world.enqueue(world.commit_files({"app.py": "", "app.json": _APP_JSON}))
    platform = watched(world.platform, told.append)
    job = platform.ledger.claim("server-1", 8)
    assert job
    work(job, platform, Cancellation())
    return [name for name in told if name in POINTS]


def test_a_push_that_goes_live_passes_each_point_of_deploying_in_order(world: World) -> None:
    firsts = list(dict.fromkeys(_reached(world)))
    assert firsts == list(DEPLOYING)


def test_a_push_that_cannot_be_rolled_out_passes_each_point_of_failing_in_order(world: World) -> None:
    world.target.failure = RolloutError("web crashed")
    assert [name for name in dict.fromkeys(_reached(world)) if name in FAILING] == list(FAILING)


def test_each_point_is_listed_once() -> None:
    assert len(set(POINTS)) == len(POINTS)
