"""A promotion: another app's image as the next release, with this app's config, told as any job is."""

from dataclasses import replace

import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.errors import ConflictError, NotFoundError, RegistryError
from gitreceive.jobs import work
from gitreceive.model import (
    AppName,
    Digest,
    ImageRef,
    JobState,
    ProcessType,
    Promotion,
    Redeploy,
    Release,
    Secret,
    UserName,
)
from gitreceive.stories.promote import plan_promotion
from tests.platform import SHOP, World

ADA, BOB = UserName("ada"), UserName("bob")
PROD = AppName("prod")
STAGING, PRODUCTION = {"GREETING": Secret("staging")}, {"GREETING": Secret("production")}


@pytest.fixture
def world() -> World:
    """Shop is live; prod has a config that waits for its first release."""
    world = World()
    world.ledger.keep_config(SHOP, {}, STAGING)
    world.builder.processes = (ProcessType("web"), ProcessType("release"))
    assert world.deploy(world.commit("one")).state is JobState.LIVE
    world.ledger.create_app(PROD, BOB, "main")
    world.sources.create(PROD)
    world.ledger.keep_config(PROD, {}, PRODUCTION)
    world.target.calls.clear()
    return world


def promotion(world: World, number: int = 1) -> Promotion:
    return Promotion(PROD, BOB, SHOP, number, world.ledger.release(SHOP, number).image.ref.digest)


def live(world: World, app: AppName = PROD) -> Release:
    found = world.ledger.current_release(app)
    assert found
    return found


def test_the_other_apps_image_is_the_next_release_with_this_apps_config(world: World) -> None:
    built = len(world.builder.requests)
    job = world.ask(promotion(world))
    assert job.state is JobState.LIVE
    first, origin = live(world), live(world, SHOP)
    assert (first.number, first.description, first.user) == (1, "Promote shop v1", BOB)
    assert (first.config, first.commit) == (PRODUCTION, origin.commit)
    assert first.image == replace(origin.image, ref=ImageRef("registry.test/prod", origin.image.ref.digest))
    assert world.target.calls == ["run release of v1", "roll out v1"]
    assert len(world.builder.requests) == built
    assert live(world, SHOP) == origin
    assert "-----> Promoting shop v1 to prod" in world.log(job)


def test_what_becomes_of_the_other_app_does_not_touch_it(world: World) -> None:
    world.ask(promotion(world))
    del world.registry.images[live(world, SHOP).image.ref]
    assert world.ask(Redeploy(PROD, BOB)).state is JobState.LIVE


def test_the_release_that_was_live_when_it_was_asked_for_is_promoted(world: World) -> None:
    asked = world.ledger.enqueue(promotion(world))
    world.enqueue(world.commit("two", world.head))
    for _ in range(2):
        work(world.claim(), world.platform, Cancellation())
    assert live(world, SHOP).number == 2
    assert live(world).image.ref.digest == world.ledger.release(SHOP, 1).image.ref.digest
    assert world.ledger.job(asked.id).title == "promote shop v1"


def test_a_release_command_that_fails_leaves_all_as_it_was(world: World) -> None:
    world.target.exit_code = 3
    job = world.ask(promotion(world))
    assert (job.state, job.reason) == (JobState.FAILED, "the release command failed (exit 3)")
    assert world.target.calls == ["run release of v1"]
    assert world.ledger.current_release(PROD) is None
    assert world.ledger.config(PROD) == PRODUCTION


def test_what_is_live_there_already_is_no_new_release(world: World) -> None:
    world.ask(promotion(world))
    job = world.ask(promotion(world))
    assert (job.state, job.reason) == (JobState.CANCELED, "nothing to do: prod has shop v1 already")
    assert live(world).number == 1


def test_another_app_of_the_same_name_is_not_promoted(world: World) -> None:
    asked = replace(promotion(world), digest=Digest(f"sha256:{'0' * 64}"))
    with pytest.raises(ConflictError, match="shop v1 is another image by now") as refused:
        plan_promotion(asked, world.ledger)
    assert "gitreceive releases shop" in refused.value.hint
    assert world.ask(asked).state is JobState.FAILED
    with pytest.raises(NotFoundError, match="no release v7 of shop"):
        plan_promotion(replace(asked, number=7), world.ledger)


def test_an_image_that_the_registry_lost_fails_and_touches_nothing(world: World) -> None:
    world.registry.images.clear()
    job = world.ask(replace(promotion(world)))
    assert (job.state, world.target.calls) == (JobState.FAILED, [])
    with pytest.raises(RegistryError):
        world.registry.copy(str(live(world, SHOP).image.ref), PROD, None, Cancellation())  # type: ignore[arg-type]


@pytest.mark.parametrize("step", ["claimed", "publishing", "releasing", "intended", "rolling out"])
def test_a_job_whose_server_died_goes_on_to_the_same_end(world: World, step: str) -> None:
    job = world.ledger.enqueue(promotion(world))
    held = world.claim()
    origin = live(world, SHOP)
    image = replace(origin.image, ref=ImageRef("registry.test/prod", origin.image.ref.digest))
    if step == "publishing":
        world.ledger.advance(job.id, held.fence, JobState.PUBLISHING)
    elif step != "claimed":
        world.ledger.advance(job.id, held.fence, JobState.RELEASING, image=image)
    if step in {"intended", "rolling out"}:
        world.ledger.intend_release(job.id, held.fence, image, origin.commit, "Promote shop v1")
    if step == "rolling out":
        world.ledger.advance(job.id, held.fence, JobState.ROLLING_OUT)
    world.let_leases_run_out()
    work(world.claim(), world.platform, Cancellation())
    assert world.ledger.job(job.id).state is JobState.LIVE
    assert (live(world).number, live(world).image, live(world).config) == (1, image, PRODUCTION)
