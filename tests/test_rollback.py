"""A rollback, and a redeploy: a release that was live as the next one, told as any job is."""

from dataclasses import replace

import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.errors import ConflictError, LeaseLostError, NotFoundError, RegistryError, RolloutError
from gitreceive.jobs import work
from gitreceive.model import (
    Changes,
    JobState,
    ProcessType,
    Redeploy,
    Release,
    Rollback,
    Secret,
    UserName,
)
from gitreceive.stories.rollback import number_before, plan_return, require_image
from tests.platform import SHOP, World

ADA, BOB = UserName("ada"), UserName("bob")
OLD, NEW = {"GREETING": Secret("old")}, {"GREETING": Secret("new"), "DEBUG": Secret("1")}


@pytest.fixture
def world() -> World:
    """Two releases, of different commits, configs and process types; each has a release command."""
    world = World()
    release(world, "one", OLD, "web", "worker", "release")
    release(world, "two", NEW, "web", "release")
    world.target.calls.clear()
    return world


def release(world: World, text: str, config: dict[str, Secret], *processes: str) -> None:
    """As a push would make it, with a config set before."""
    world.builder.processes = tuple(ProcessType(name) for name in processes)
    head = (world.head,) if world.ledger.current_release(SHOP) else ()
    job = world.deploy(world.commit(text, *head))
    assert job.state is JobState.LIVE
    live = world.ledger._live[SHOP]
    live[-1] = replace(live[-1], config=config)


def live(world: World) -> Release:
    found = world.ledger.current_release(SHOP)
    assert found
    return found


def test_a_rollback_is_the_next_release_with_the_old_ones_image_config_and_processes(world: World) -> None:
    head = world.head
    job = world.ask(Rollback(SHOP, BOB, 1))
    assert job.state is JobState.LIVE
    third, _, first = world.ledger.releases(SHOP)
    assert (third.number, third.description, third.user) == (3, "Rollback to v1", BOB)
    assert (third.image, third.config, third.commit) == (first.image, OLD, first.commit)
    assert [process.name for process in third.services] == ["web", "worker"]
    assert world.target.live[SHOP] == third
    assert world.head == head
    log = world.log(job)
    assert "-----> Rolling back shop v2 to v1" in log
    assert "-----> Rolling out v3: web=1, worker=1" in log
    assert "-----> shop v3 is live after" in log
    assert set(job.seconds) == {"roll out"}


def test_a_redeploy_is_the_live_release_once_more(world: World) -> None:
    job = world.ask(Redeploy(SHOP, BOB))
    third, second, _ = world.ledger.releases(SHOP)
    assert (third.number, third.description, third.user) == (3, "Redeploy v2", BOB)
    assert (third.image, third.config, third.commit) == (second.image, NEW, second.commit)
    assert "-----> Redeploying shop v2" in world.log(job)


@pytest.mark.parametrize("cause", [Rollback(SHOP, ADA, 1), Redeploy(SHOP, ADA)])
def test_nothing_is_built_and_the_release_command_does_not_run_again(
    world: World, cause: Rollback | Redeploy
) -> None:
    built, published = len(world.builder.requests), len(world.registry.images)
    world.ask(cause)
    assert (len(world.builder.requests), len(world.registry.images)) == (built, published)
    assert world.target.calls == ["roll out v3"]


def test_a_rollback_of_a_rollback_brings_the_newer_one_back(world: World) -> None:
    world.ask(Rollback(SHOP, ADA, 1))
    world.ask(Rollback(SHOP, ADA, number_before(live(world))))
    fourth, _, second, _ = world.ledger.releases(SHOP)
    assert (fourth.image, fourth.config) == (second.image, NEW)


def test_the_next_push_keeps_the_config_that_was_rolled_back_to(world: World) -> None:
    world.ask(Rollback(SHOP, ADA, 1))
    assert world.deploy(world.commit("three", world.head)).state is JobState.LIVE
    assert (live(world).number, live(world).config) == (4, OLD)


def test_the_next_push_builds_on_what_was_made_last_and_not_on_what_was_rolled_back_to(world: World) -> None:
    world.ask(Rollback(SHOP, ADA, 1))
    del world.registry.images[world.ledger.release(SHOP, 1).image.ref]
    world.deploy(world.commit("three", world.head))
    assert world.builder.requests[-1].previous


def test_a_release_that_does_not_come_up_again_is_put_back(world: World) -> None:
    world.target.failure = RolloutError("web crashed: no such table")
    job = world.ask(Rollback(SHOP, ADA, 1))
    assert (job.state, job.reason) == (JobState.FAILED, "web crashed: no such table")
    assert world.target.calls[-1] == "put back v2"
    assert live(world).number == 2


@pytest.mark.parametrize("cause", [Rollback(SHOP, ADA, 1), Redeploy(SHOP, ADA)])
def test_where_the_registry_no_longer_has_the_image_nothing_is_touched(
    world: World, cause: Rollback | Redeploy
) -> None:
    number = 1 if isinstance(cause, Rollback) else 2
    commit = world.ledger.release(SHOP, number).commit
    del world.registry.images[world.ledger.release(SHOP, number).image.ref]
    job = world.ask(cause)
    assert (job.state, job.reason) == (
        JobState.FAILED,
        f"the registry no longer has the image of shop v{number}",
    )
    assert f"push its commit, {commit.short}, again" in world.log(job)
    assert world.target.calls == []


def test_a_redeploy_that_waited_starts_what_is_live_by_then(world: World) -> None:
    world.enqueue(world.commit("three", world.head))
    world.ledger.enqueue(Redeploy(SHOP, ADA))
    for _ in range(2):
        work(world.claim(), world.platform, Cancellation())
    assert live(world).description == "Redeploy v3"


@pytest.mark.parametrize("step", ["claimed", "releasing", "intended", "rolling out"])
@pytest.mark.parametrize("cause", [Rollback(SHOP, ADA, 1), Redeploy(SHOP, ADA)])
def test_a_job_whose_server_died_goes_on_to_the_same_end(
    world: World, cause: Rollback | Redeploy, step: str
) -> None:
    to = plan_return(cause, world.ledger).to
    job = world.ledger.enqueue(cause)
    held = world.claim()
    if step != "claimed":
        world.ledger.advance(job.id, held.fence, JobState.RELEASING, image=to.image)
    if step in {"intended", "rolling out"}:
        world.ledger.intend_release(job.id, held.fence, to.image, to.commit, "Rollback to v1", to.config)
    if step == "rolling out":
        world.ledger.advance(job.id, held.fence, JobState.ROLLING_OUT)
    world.let_leases_run_out()
    work(world.claim(), world.platform, Cancellation())
    assert world.ledger.job(job.id).state is JobState.LIVE
    assert (live(world).number, live(world).image, live(world).config) == (3, to.image, to.config)
    assert world.target.running(SHOP) == 3


def test_a_roll_out_that_had_begun_is_put_back_also_where_the_image_is_gone_by_then(world: World) -> None:
    to = world.ledger.release(SHOP, 1)
    job = world.ledger.enqueue(Rollback(SHOP, ADA, 1))
    held = world.claim()
    world.ledger.advance(job.id, held.fence, JobState.RELEASING, image=to.image)
    world.ledger.intend_release(job.id, held.fence, to.image, to.commit, "Rollback to v1", to.config)
    world.ledger.advance(job.id, held.fence, JobState.ROLLING_OUT)
    world.let_leases_run_out()
    del world.registry.images[to.image.ref]
    world.target.failure = RolloutError("the image cannot be pulled")
    work(world.claim(), world.platform, Cancellation())
    assert world.ledger.job(job.id).reason == "the image cannot be pulled"
    assert world.target.calls == ["roll out v3", "put back v2"]


def test_who_lost_the_lease_while_rolling_back_puts_nothing_back(world: World) -> None:
    def lose(_release: object, _cancel: Cancellation) -> None:
        world.let_leases_run_out()
        world.ledger.claim("server-2", 8)
        raise RolloutError("web crashed")

    world.target.during = lose
    world.ledger.enqueue(Rollback(SHOP, ADA, 1))
    with pytest.raises(LeaseLostError):
        work(world.claim(), world.platform, Cancellation())
    assert world.target.calls == ["roll out v3"]


# --- whether, and to what -------------------------------------------------------------------------------------------


def test_what_cannot_be_rolled_back_to_is_refused_by_name(world: World) -> None:
    with pytest.raises(ConflictError, match="shop v2 is live already") as refused:
        plan_return(Rollback(SHOP, ADA, 2), world.ledger)
    assert refused.value.hint == "to start it anew: gitreceive redeploy shop"
    with pytest.raises(NotFoundError, match="there is no release v9 of shop"):
        plan_return(Rollback(SHOP, ADA, 9), world.ledger)
    old = world.ledger.release(SHOP, 1)
    require_image(old, world.registry)
    world.registry.images.clear()
    with pytest.raises(RegistryError, match="no longer has the image of shop v1"):
        require_image(old, world.registry)


@pytest.mark.parametrize("cause", [Rollback(SHOP, ADA, 1), Redeploy(SHOP, ADA)])
def test_where_nothing_is_live_there_is_nothing_to_bring_back(cause: Rollback | Redeploy) -> None:
    with pytest.raises(NotFoundError, match="nothing of shop is live"):
        plan_return(cause, World().ledger)


def test_there_is_nothing_before_the_first_release(world: World) -> None:
    assert number_before(live(world)) == 1
    with pytest.raises(NotFoundError, match="no release of shop before v1"):
        number_before(world.ledger.release(SHOP, 1))


def test_a_job_is_called_by_what_it_brings_back(world: World) -> None:
    assert world.ledger.enqueue(Rollback(SHOP, ADA, 1)).title == "rollback to v1"
    assert world.ledger.enqueue(Redeploy(SHOP, ADA)).title == "redeploy"


def test_changes_are_names_alone() -> None:
    changes = Changes.between(OLD | {"GONE": Secret("x"), "SAME": Secret("s")}, NEW | {"SAME": Secret("s")})
    assert changes == Changes(added=("DEBUG",), removed=("GONE",), changed=("GREETING",))
    assert Changes.between(OLD, OLD) == Changes((), (), ())
