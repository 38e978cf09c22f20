import threading
import time
from collections.abc import Callable, Iterator

import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.errors import UnavailableError
from gitreceive.jobs import JobRunner
from gitreceive.model import AppName, JobState, Push, PushOptions, UserName
from gitreceive.ports import BuildRequest
from tests.fake_source_store import FakeFile
from tests.platform import MAIN, SHOP, ZERO_COMMIT, World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def runner(world: World) -> Iterator[JobRunner]:
    runner = JobRunner(world.platform, 2, "server-1")
    runner.start()
    yield runner
    runner.stop()


def _wait(seen: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not seen():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_woken_runner_takes_the_job_at_once(world: World, runner: JobRunner) -> None:
    job = world.enqueue(world.commit("one"))
    runner.wake()
    _wait(lambda: world.ledger.job(job.id).state is JobState.LIVE)


def test_a_runner_whose_engine_is_not_there_yet_takes_jobs_once_it_is(world: World) -> None:
    world.builder.away = 2
    job = world.enqueue(world.commit("one"))
    runner = JobRunner(world.platform, 2, "server-1")
    runner.start()
    try:
        assert world.ledger.job(job.id).fence == 0
        _wait(lambda: world.ledger.job(job.id).state is JobState.LIVE)
        assert "waiting" not in world.log(job)
    finally:
        runner.stop()


def test_a_cancel_request_in_the_ledger_reaches_the_build(world: World, runner: JobRunner) -> None:
    started = threading.Event()

    def build(_request: BuildRequest, cancel: Cancellation) -> None:
        started.set()
        cancel.wait(30)

    world.builder.during = build
    job = world.enqueue(world.commit("one"))
    runner.wake()
    assert started.wait(10)
    world.ledger.request_cancel(job.id, "ada")
    _wait(lambda: world.ledger.job(job.id).state is JobState.CANCELED)
    assert "canceled by ada" in world.log(job)


def test_jobs_of_one_app_run_one_at_a_time_and_others_beside_them(world: World, runner: JobRunner) -> None:
    other = AppName("other")
    world.ledger.create_app(other, UserName("bea"), "main")
    world.sources.create(other)
    running: list[AppName] = []
    most: list[int] = []
    gate = threading.Event()

    def build(request: BuildRequest, _cancel: Cancellation) -> None:
        running.append(request.source.app)
        most.append(running.count(request.source.app))
        gate.wait(10)
        running.remove(request.source.app)

    world.builder.during = build
    first = world.commit("one")
    jobs = [world.enqueue(first), world.enqueue(world.commit("two", first))]
    commit = world.sources.commit(other, {"a": FakeFile(b"")})
    theirs = world.ledger.enqueue(Push(other, UserName("bea"), MAIN, ZERO_COMMIT, commit, PushOptions()))
    runner.wake()
    _wait(lambda: set(running) == {SHOP, other})
    gate.set()
    _wait(lambda: all(world.ledger.job(job.id).state is JobState.LIVE for job in [*jobs, theirs]))
    assert max(most) == 1


def test_a_runner_that_stops_hands_its_jobs_over_and_ends_none(world: World, runner: JobRunner) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def build(_request: BuildRequest, _cancel: Cancellation) -> None:
        begun.set()
        go_on.wait(10)
        raise UnavailableError("the engine is being closed", hint="")

    world.builder.during = build
    job = world.enqueue(world.commit("one"))
    waiting = world.enqueue(world.commit("two", world.commit("one")))
    runner.wake()
    assert begun.wait(10)
    runner.stop()
    go_on.set()
    taken = world.ledger.claim("server-2", 8)
    assert taken
    assert (taken.id, taken.state) == (job.id, JobState.BUILDING)
    _wait(lambda: not any(thread.name == f"job-{job.id}" for thread in threading.enumerate()))
    assert world.ledger.job(job.id).state is JobState.BUILDING
    assert world.ledger.job(waiting.id).state is JobState.QUEUED
    assert "closed" not in world.log(job)
