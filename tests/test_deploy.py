import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.errors import (
    BrokenOffError,
    BuildError,
    EngineAwayError,
    GitreceiveError,
    LeaseLostError,
    RegistryError,
    RolloutError,
    UnavailableError,
)
from gitreceive.jobs import work
from gitreceive.model import (
    ZERO_COMMIT,
    AppName,
    Blob,
    CommitId,
    Digest,
    JobId,
    JobState,
    Layer,
    ProcessType,
    Quota,
    QuotaKind,
    Release,
    UserName,
)
from gitreceive.ports import BuildRequest
from gitreceive.stories.chapters import UnrecordedError
from tests.fake_ledger import FakeLedger
from tests.fake_source_store import FakeSourceStore
from tests.platform import SHOP, World


@pytest.fixture
def world() -> World:
    return World()


def test_an_accepted_push_is_live(world: World) -> None:
    commit = world.commit("one")
    job = world.deploy(commit)
    assert job.state is JobState.LIVE
    assert world.head == commit
    assert world.target.running(SHOP) == 1
    release = world.ledger.current_release(SHOP)
    assert release is not None
    assert (release.number, release.commit, release.image.ref) == (1, commit, job.image and job.image.ref)
    log = world.log(job)
    assert "-----> Building" in log
    assert "-----> Publishing" in log
    assert "-----> Rolling out v1: web=1" in log
    assert "v1 is live after" in log
    assert "http://shop.test" in log
    assert set(job.seconds) == {"build", "publish", "roll out"}


def test_a_layer_is_sent_while_the_build_goes_on(world: World) -> None:
    layer = Layer(
        "dependencies", Digest(f"sha256:{'a' * 64}"), Blob(Digest(f"sha256:{'b' * 64}"), 1, ""), None
    )
    held: list[bool] = []

    def during(request: BuildRequest, _cancel: Cancellation) -> None:
        request.finished(layer)
        held.append(layer.blob.digest in world.registry.held[SHOP])

    world.builder.during = during
    assert world.deploy(world.commit("one")).state is JobState.LIVE
    assert held == [True]


def test_a_build_that_was_broken_off_is_begun_again(world: World) -> None:
    begun: list[int] = []

    def during(_request: BuildRequest, _cancel: Cancellation) -> None:
        begun.append(1)
        if len(begun) == 1:
            raise BrokenOffError("the build container ended without a word")

    world.builder.during = during
    job = world.deploy(world.commit("one"))

    assert job.state is JobState.LIVE
    assert len(begun) == 2
    assert "ended without a word; building again" in world.log(job)


def test_a_job_whose_engine_goes_away_waits_for_it_and_goes_on_from_its_last_step(world: World) -> None:
    def during(_release: Release, _cancel: Cancellation) -> None:
        if world.target.calls == ["roll out v1"]:
            world.builder.away = world.target.away = 1
            raise EngineAwayError("Docker does not answer: Connection refused")

    world.target.during = during
    job = world.deploy(world.commit("one"))

    assert job.state is JobState.LIVE
    assert len(world.builder.requests) == 1
    log = world.log(job)
    assert "Docker does not answer: Connection refused; waiting for it, at most 5 minutes" in log
    assert f"It is back; build {job.id} goes on from 'rolling out'" in log
    assert "a command that had begun" not in log
    assert log.index("goes on from") < log.index("shop v1 is live")


def test_a_job_whose_engine_goes_away_again_and_again_fails_with_the_reason(world: World) -> None:
    world.builder.failure = EngineAwayError("Docker does not answer: Connection refused", hint="start it")
    job = world.deploy(world.commit("one"))

    assert (job.state, len(world.builder.requests)) == (JobState.FAILED, 3)
    assert job.reason == "Docker does not answer: Connection refused"
    assert world.log(job).count("It is back") == 2
    assert world.log(job).count("goes on from 'building'\n") == 2


def test_a_job_that_waits_for_its_engine_can_be_canceled(world: World) -> None:
    def during(_request: BuildRequest, cancel: Cancellation) -> None:
        world.builder.away = 1_000_000
        threading.Timer(0.05, cancel.request, ["canceled by ada"]).start()
        raise EngineAwayError("Docker does not answer")

    world.builder.during = during
    job = world.deploy(world.commit("one"))
    assert (job.state, job.reason) == (JobState.CANCELED, "canceled by ada")


def test_releases_are_numbered_without_gaps_over_failures(world: World) -> None:
    first = world.commit("one")
    world.deploy(first)
    world.target.failure = RolloutError("web crashed")
    world.deploy(world.commit("two", first))
    world.target.failure = None
    world.deploy(world.commit("three", first))
    assert [release.number for release in world.ledger.releases(SHOP)] == [2, 1]


Failing = Callable[[World], None]


def _build(world: World) -> None:
    world.builder.failure = BuildError("gitreceive/python failed (exit 1)", hint="see above")


def _publish(world: World) -> None:
    world.registry.failure = RegistryError("the registry answers 500")


def _roll_out(world: World) -> None:
    world.target.failure = RolloutError("web crashed: exit 1")


@pytest.mark.parametrize("fail", [_build, _publish, _roll_out])
def test_a_failed_push_leaves_ref_and_release_as_they_were_and_can_be_pushed_again(
    world: World, fail: Failing
) -> None:
    first = world.commit("one")
    world.deploy(first)
    second = world.commit("two", first)
    fail(world)

    job = world.deploy(second)

    assert job.state is JobState.FAILED
    assert job.reason
    assert f" !     {job.reason}" in world.log(job)
    assert world.head == first
    assert world.target.running(SHOP) == 1
    assert world.builder.open_builds == 0
    world.builder.failure = world.target.failure = None
    assert world.deploy(second).state is JobState.LIVE
    assert world.head == second


def test_a_failed_roll_out_is_put_back(world: World) -> None:
    first = world.commit("one")
    world.deploy(first)
    _roll_out(world)
    job = world.deploy(world.commit("two", first))
    assert world.target.calls[-2:] == ["roll out v2", "put back v1"]
    assert "Putting v1 back" in world.log(job)


def test_a_failed_first_roll_out_leaves_nothing_running(world: World) -> None:
    _roll_out(world)
    world.deploy(world.commit("one"))
    assert world.target.calls[-1] == "put back nothing"
    assert world.head == ZERO_COMMIT


def test_where_putting_back_fails_too_both_failures_are_told(world: World) -> None:
    class Broken(type(world.target)):  # type: ignore[misc]
        def put_back(self, *_: object) -> None:
            raise RolloutError("the cluster is away")

    world.target = Broken(failure=RolloutError("web crashed"))
    job = world.deploy(world.commit("one"))
    assert job.reason == "web crashed"
    assert "putting back failed too: the cluster is away" in world.log(job)


class FullSources(FakeSourceStore):
    """With ``full``, no branch can be written."""

    full = False

    def move(self, app: AppName, ref: str, old: CommitId, new: CommitId) -> None:
        if self.full:
            raise UnavailableError("no space left on device")
        super().move(app, ref, old, new)


def test_where_the_branch_cannot_be_moved_what_was_live_comes_back() -> None:
    sources = FullSources()
    world = World(sources=sources)
    first = world.commit("one")
    world.deploy(first)
    sources.full = True
    job = world.deploy(world.commit("two", first))
    assert (job.state, job.reason) == (JobState.FAILED, "no space left on device")
    assert world.target.calls[-2:] == ["roll out v2", "put back v1"]
    assert world.head == first


class FullLedger(FakeLedger):
    """It refuses to record that something is live, so many times."""

    refusals = 0

    def go_live(self, job: JobId, fence: int, seconds: Mapping[str, float]) -> Release:
        if self.refusals:
            self.refusals -= 1
            raise UnavailableError("no space left on device")
        return super().go_live(job, fence, seconds)


def test_what_is_live_and_cannot_be_recorded_is_recorded_later(world: World) -> None:
    world.ledger = ledger = FullLedger(lambda: datetime.now(UTC) + world.passed)
    ledger.create_app(SHOP, UserName("ada"), "main")
    ledger.refusals = 6
    commit = world.commit("one")
    job = world.enqueue(commit)
    with pytest.raises(UnrecordedError):
        work(world.claim(), world.platform, Cancellation())
    assert not ledger.job(job.id).state.ended
    assert world.head == commit
    world.let_leases_run_out()
    work(world.claim(), world.platform, Cancellation())
    assert ledger.job(job.id).state is JobState.LIVE
    assert not [call for call in world.target.calls if call.startswith("put back")]


def test_a_push_whose_branch_has_moved_is_accepted_whatever_happens_before_it_is_recorded(
    world: World,
) -> None:
    world.ledger = ledger = FullLedger(lambda: datetime.now(UTC) + world.passed)
    ledger.create_app(SHOP, UserName("ada"), "main")
    world.builder.processes = (ProcessType("web"), ProcessType("release"))
    ledger.refusals = 6
    job = world.enqueue(world.commit("one"))
    with pytest.raises(UnrecordedError):
        work(world.claim(), world.platform, Cancellation())
    world.let_leases_run_out()
    ledger.set_quota(Quota(QuotaKind.APP, SHOP, replicas=0))
    told, canceled = list(world.target.calls), Cancellation()
    world.target.failure, world.target.exit_code = RolloutError("it does not come up"), 3
    canceled.request("somebody")
    work(world.claim(), world.platform, canceled)
    assert ledger.job(job.id).state is JobState.LIVE
    assert world.target.calls == told


def test_a_release_command_does_not_run_again_for_a_roll_out_that_was_broken_off(world: World) -> None:
    world.builder.processes = (ProcessType("web"), ProcessType("release"))
    world.target.during = _killed
    world.enqueue(world.commit("one"))
    with pytest.raises(KeyboardInterrupt):
        work(world.claim(), world.platform, Cancellation())
    world.target.during = lambda _release, _cancel: None
    world.let_leases_run_out()
    work(world.claim(), world.platform, Cancellation())
    assert world.target.calls.count("run release of v1") == 1
    assert world.target.calls[-1] == "roll out v1"
    assert world.target.running(SHOP) == 1


def _killed(_release: Release, _cancel: Cancellation) -> None:
    raise KeyboardInterrupt


def test_the_release_command_runs_before_the_roll_out(world: World) -> None:
    world.builder.processes = (ProcessType("web"), ProcessType("release"))
    world.deploy(world.commit("one"))
    assert world.target.calls == ["run release of v1", "roll out v1"]


def test_a_failing_release_command_stops_the_release(world: World) -> None:
    world.builder.processes = (ProcessType("web"), ProcessType("release"))
    world.target.exit_code = 3
    job = world.deploy(world.commit("one"))
    assert job.reason == "the release command failed (exit 3)"
    assert world.target.calls == ["run release of v1"]


def test_a_push_that_waited_is_refused_before_it_is_built_when_the_branch_went_elsewhere(
    world: World,
) -> None:
    first = world.commit("one")
    world.deploy(first)
    world.deploy(world.commit("theirs", first))
    built = len(world.builder.requests)
    job = world.deploy(world.commit("mine", first), old=first)
    assert job.state is JobState.FAILED
    assert len(world.builder.requests) == built


def test_a_push_that_waited_goes_on_when_it_contains_what_went_live(world: World) -> None:
    first = world.commit("one")
    second = world.commit("two", first)
    third = world.commit("three", second)
    world.deploy(first)
    world.deploy(second)
    assert world.deploy(third, old=first).state is JobState.LIVE


@pytest.mark.parametrize("state", [JobState.BUILDING, JobState.PUBLISHING])
def test_a_job_whose_server_died_before_publishing_is_built_again_under_its_number(
    world: World, state: JobState
) -> None:
    job = world.enqueue(world.commit("one"))
    held = world.claim()
    world.ledger.advance(job.id, held.fence, state)
    world.let_leases_run_out()
    again = world.claim()
    work(again, world.platform, Cancellation())
    assert world.ledger.job(job.id).state is JobState.LIVE
    assert "The server was restarted" in world.log(job)


@pytest.mark.parametrize("state", [JobState.RELEASING, JobState.ROLLING_OUT])
def test_a_job_whose_server_died_after_publishing_is_not_built_again(world: World, state: JobState) -> None:
    done = world.deploy(world.commit("one"))
    assert done.image is not None
    job = world.enqueue(world.commit("two", world.head))
    held = world.claim()
    world.ledger.advance(job.id, held.fence, JobState.RELEASING, image=done.image)
    world.ledger.intend_release(job.id, held.fence, done.image, world.head, "Deploy two")
    world.ledger.advance(job.id, held.fence, state)
    world.let_leases_run_out()
    built = len(world.builder.requests)
    work(world.claim(), world.platform, Cancellation())
    assert len(world.builder.requests) == built
    assert [release.number for release in world.ledger.releases(SHOP)] == [2, 1]


def test_who_lost_the_lease_while_rolling_out_puts_nothing_back(world: World) -> None:
    world.deploy(world.commit("one"))
    job = world.enqueue(world.commit("two", world.head))

    def lose(_release: object, _cancel: Cancellation) -> None:
        world.let_leases_run_out()
        world.ledger.claim("server-2", 8)
        raise RolloutError("web crashed")

    world.target.during = lose
    with pytest.raises(LeaseLostError):
        work(world.claim(), world.platform, Cancellation())
    assert world.target.calls[-1] == "roll out v2"
    assert not world.ledger.job(job.id).state.ended


def test_a_cancel_during_the_build_ends_the_job_as_canceled(world: World) -> None:
    cancel = Cancellation()

    def ask(_request: BuildRequest, heard: Cancellation) -> None:
        heard.request("canceled by ada")
        heard.raise_if_requested()

    world.builder.during = ask
    world.enqueue(world.commit("one"))
    job = world.claim()
    work(job, world.platform, cancel)
    ended = world.ledger.job(job.id)
    assert (ended.state, ended.reason) == (JobState.CANCELED, "canceled by ada")
    assert world.head == ZERO_COMMIT


def test_a_cancel_during_the_roll_out_puts_the_previous_release_back(world: World) -> None:
    first = world.commit("one")
    world.deploy(first)
    cancel = Cancellation()

    def ask(_release: object, heard: Cancellation) -> None:
        heard.request("canceled by ada")
        heard.raise_if_requested()

    world.target.during = ask
    world.enqueue(world.commit("two", first))
    job = world.claim()
    work(job, world.platform, cancel)
    assert world.ledger.job(job.id).state is JobState.CANCELED
    assert world.target.calls[-1] == "put back v1"
    assert world.head == first


def test_a_fault_of_our_own_ends_the_job_and_says_so(world: World) -> None:
    def fault(_request: BuildRequest, _cancel: Cancellation) -> None:
        raise ZeroDivisionError

    world.builder.during = fault
    job = world.deploy(world.commit("one"))
    assert job.state is JobState.FAILED
    assert "gitreceive itself failed" in job.reason


def test_the_reason_is_one_line(world: World) -> None:
    world.builder.failure = BuildError("first line\nsecond line " + "x" * 500)
    job = world.deploy(world.commit("one"))
    assert job.reason.startswith("first line second line")
    assert len(job.reason) <= 200


def test_every_error_has_its_own_exit_code() -> None:
    def tree(kind: type[GitreceiveError]) -> list[type[GitreceiveError]]:
        return [kind, *(below for child in kind.__subclasses__() for below in tree(child))]

    public = [kind for kind in tree(GitreceiveError) if kind.__module__ == "gitreceive.errors"]
    assert len({kind.exit_code for kind in public}) == len(public)
