"""A rebase: the live release on another version of its run image, told as any job is."""

from dataclasses import replace

import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.errors import LeaseLostError, NotFoundError, RebaseError, RegistryError, RolloutError
from gitreceive.jobs import work
from gitreceive.model import JobState, ProcessType, Rebase, Stack, UserName
from gitreceive.stories.rebase import Wish, plan_move
from gitreceive.voice import Voice
from tests.platform import SHOP, World

DEBIAN = {"io.buildpacks.base.distro.name": "debian", "io.buildpacks.base.distro.version": "bookworm"}
ADA = UserName("ada")


@pytest.fixture
def world() -> World:
    """An app that is live on the first version of a stack."""
    world = World()
    world.stack("libssl 1", **DEBIAN)
    world.deploy(world.commit("one"))
    return world


@pytest.fixture
def newer(world: World) -> Stack:
    return world.stack("libssl 2", **DEBIAN)


def test_a_rebase_is_the_next_release_of_the_same_commit_on_the_new_run_image(
    world: World, newer: Stack
) -> None:
    head = world.head
    job = world.rebase(newer)
    assert job.state is JobState.LIVE
    second, first = world.ledger.releases(SHOP)
    assert (second.number, second.commit, second.user) == (2, first.commit, ADA)
    assert second.description == "Rebase to bookworm 2"
    assert (second.image.processes, second.image.buildpacks) == (
        first.image.processes,
        first.image.buildpacks,
    )
    assert world.registry.facts(second.image.ref).run_image == newer.run
    assert (world.head, world.target.running(SHOP)) == (head, 2)
    assert set(job.seconds) == {"rebase", "roll out"}
    log = world.log(job)
    assert "-----> Rebasing shop v1 to bookworm 2" in log
    assert "-----> shop v2 is live after" in log


def test_an_app_with_system_packages_keeps_them_on_the_new_run_image(world: World) -> None:
    old = world.ledger.stack("bookworm")
    assert old
    quiet = Voice(lambda _: None)
    derived = world.run_images.run_image(old, ["figlet", "tree=2"], quiet, Cancellation())
    world.builder.stand_on = lambda stack: replace(stack, run=derived)
    world.deploy(world.commit("two", world.head))
    newer = world.stack("libssl 2", **DEBIAN)

    job = world.rebase(newer)

    assert job.state is JobState.LIVE, job.reason
    facts = world.registry.facts(world.ledger.releases(SHOP)[0].image.ref)
    assert facts.run_image == world.run_images.run_image(newer, ["figlet", "tree=2"], quiet, Cancellation())
    assert (facts.stack_image, facts.packages) == (newer.run, ("figlet", "tree=2"))
    assert "Installing system packages: figlet, tree=2" in world.log(job)
    assert not plan_move(SHOP, Wish(), world.ledger, world.registry).needed


def test_nothing_is_built_and_the_release_command_does_not_run_again(world: World) -> None:
    world.builder.processes = (ProcessType("web"), ProcessType("release"))
    world.deploy(world.commit("two", world.head))
    built, calls = len(world.builder.requests), len(world.target.calls)
    world.rebase(world.stack("libssl 2", **DEBIAN))
    assert len(world.builder.requests) == built
    assert world.target.calls[calls:] == ["roll out v3"]


def test_the_scale_of_the_release_and_the_next_push_are_as_if_it_had_been_a_push(
    world: World, newer: Stack
) -> None:
    world.rebase(newer)
    assert world.deploy(world.commit("two", world.head)).state is JobState.LIVE
    assert [release.number for release in world.ledger.releases(SHOP)] == [3, 2, 1]


def test_a_release_that_does_not_come_up_on_the_new_run_image_is_put_back(world: World, newer: Stack) -> None:
    world.target.failure = RolloutError("web crashed: libssl.so.3 is missing")
    job = world.rebase(newer)
    assert (job.state, job.reason) == (JobState.FAILED, "web crashed: libssl.so.3 is missing")
    assert world.target.calls[-1] == "put back v1"
    current = world.ledger.current_release(SHOP)
    assert current
    assert current.number == 1


def test_a_registry_that_fails_changes_nothing(world: World, newer: Stack) -> None:
    world.registry.failure = RegistryError("the registry answers 500")
    assert world.rebase(newer).state is JobState.FAILED
    assert world.target.calls == ["roll out v1"]


def test_a_push_that_was_first_and_took_the_new_stack_leaves_nothing_to_do(
    world: World, newer: Stack
) -> None:
    world.deploy(world.commit("two", world.head))
    job = world.rebase(newer)
    assert (job.state, job.reason) == (JobState.CANCELED, "nothing to do: shop v2 is on bookworm 2 already")
    assert world.target.running(SHOP) == 2


def test_a_push_waits_for_a_rebase_of_its_app(world: World, newer: Stack) -> None:
    rebase = world.ledger.enqueue(Rebase(SHOP, ADA, newer.name, newer.version))
    push = world.enqueue(world.commit("two", world.head))
    assert world.claim().id == rebase.id
    assert world.ledger.claim("server-2", 8) is None
    assert [job.id for job in world.ledger.in_line()] == [rebase.id, push.id]


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.PUBLISHING])
def test_a_rebase_whose_server_died_before_it_was_published_begins_again(
    world: World, newer: Stack, state: JobState
) -> None:
    job = world.ledger.enqueue(Rebase(SHOP, ADA, newer.name, newer.version))
    held = world.claim()
    world.ledger.advance(job.id, held.fence, state)
    world.let_leases_run_out()
    work(world.claim(), world.platform, Cancellation())
    assert world.ledger.job(job.id).state is JobState.LIVE
    assert [release.number for release in world.ledger.releases(SHOP)] == [2, 1]


@pytest.mark.parametrize("intended", [False, True])
def test_a_rebase_whose_server_died_after_that_goes_on_with_what_was_published(
    world: World, newer: Stack, intended: bool
) -> None:
    live = world.ledger.current_release(SHOP)
    assert live
    job = world.ledger.enqueue(Rebase(SHOP, ADA, newer.name, newer.version))
    held = world.claim()
    world.ledger.advance(job.id, held.fence, JobState.RELEASING, image=live.image)
    if intended:
        world.ledger.intend_release(job.id, held.fence, live.image, live.commit, "Rebase to bookworm 2")
        world.ledger.advance(job.id, held.fence, JobState.ROLLING_OUT)
    world.let_leases_run_out()
    published = len(world.registry.images)
    work(world.claim(), world.platform, Cancellation())
    assert len(world.registry.images) == published
    second = world.ledger.releases(SHOP)[0]
    assert (second.number, second.image, second.commit) == (2, live.image, live.commit)
    assert "The server was restarted; build 2 goes on" in world.log(job)


def test_who_lost_the_lease_while_rolling_a_rebase_out_puts_nothing_back(world: World, newer: Stack) -> None:
    def lose(_release: object, _cancel: Cancellation) -> None:
        world.let_leases_run_out()
        world.ledger.claim("server-2", 8)
        raise RolloutError("web crashed")

    world.target.during = lose
    world.ledger.enqueue(Rebase(SHOP, ADA, newer.name, newer.version))
    with pytest.raises(LeaseLostError):
        work(world.claim(), world.platform, Cancellation())
    assert world.target.calls[-1] == "roll out v2"


# --- whether, and to what -------------------------------------------------------------------------------------------


def refused(world: World, wish: Wish, *texts: str) -> None:
    with pytest.raises(RebaseError) as caught:
        plan_move(SHOP, wish, world.ledger, world.registry)
    for text in texts:
        assert text in caught.value.message
    assert caught.value.hint


def test_an_app_goes_to_the_newest_version_of_the_stack_that_it_is_on(world: World, newer: Stack) -> None:
    world.stack("other", name="alpine")
    move = plan_move(SHOP, Wish(), world.ledger, world.registry)
    assert (move.origin, move.to, move.needed) == (world.ledger.stack("bookworm", 1), newer, True)


def test_an_app_that_is_on_the_newest_version_need_not_move(world: World) -> None:
    assert not plan_move(SHOP, Wish(), world.ledger, world.registry).needed


def test_a_version_with_the_same_run_image_is_no_reason_to_move(world: World) -> None:
    world.stack("libssl 1", **DEBIAN)
    assert not plan_move(SHOP, Wish(), world.ledger, world.registry).needed


def test_nobody_is_moved_back_to_an_earlier_version(world: World, newer: Stack) -> None:
    world.rebase(newer)
    assert not plan_move(SHOP, Wish("bookworm", 1), world.ledger, world.registry).needed


def test_an_app_of_a_dockerfile_is_refused(world: World) -> None:
    plain = World()
    plain.deploy(plain.commit("FROM scratch"))
    refused(plain, Wish(force=True), "Dockerfile")


def test_an_app_of_which_nothing_is_live_and_a_stack_that_is_not_there_are_said(world: World) -> None:
    with pytest.raises(NotFoundError, match="nothing of shop is live"):
        plan_move(SHOP, Wish(), World().ledger, world.registry)
    with pytest.raises(NotFoundError, match="'trixie'"):
        plan_move(SHOP, Wish("trixie"), world.ledger, world.registry)


def test_an_image_that_calls_itself_unsafe_is_moved_only_by_force(world: World) -> None:
    world.builder.labels = {"io.buildpacks.rebasable": "false"}
    world.deploy(world.commit("two", world.head))
    newer = world.stack("libssl 2", **DEBIAN)
    refused(world, Wish(), "not safe to rebase")
    assert plan_move(SHOP, Wish(force=True), world.ledger, world.registry).to == newer


def test_another_distribution_or_stack_is_taken_only_by_force(world: World) -> None:
    world.stack("libssl 3", **(DEBIAN | {"io.buildpacks.base.distro.version": "trixie"}))
    refused(world, Wish(), "the distribution's version was bookworm, and there it is trixie")
    assert plan_move(SHOP, Wish(force=True), world.ledger, world.registry).needed
    world.stack("libssl 2", name="bare")
    refused(world, Wish("bare"), "the distribution was debian, and there it is not told")


def test_a_run_image_of_no_stack_is_left_only_for_a_named_one_and_by_force(world: World) -> None:
    world.ledger._stacks.clear()
    stack = world.stack("libssl 9", name="bare")
    refused(world, Wish(), "the run image of no stack here")
    refused(world, Wish("bare"), "the run image of no stack here")
    assert plan_move(SHOP, Wish("bare", force=True), world.ledger, world.registry).to == stack
