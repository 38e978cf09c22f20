"""What is no longer kept goes, while people push, roll back and promote: what they need stays."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gitreceive.background.collector import once
from gitreceive.cancellation import Cancellation
from gitreceive.config import RetentionSettings
from gitreceive.errors import NotFoundError
from gitreceive.jobs import work
from gitreceive.model import AppName, ImageRef, Job, JobId, JobState, Promotion, Redeploy, Rollback, UserName
from gitreceive.stories.collection import Collected, Request, collect
from gitreceive.voice import Voice
from tests.platform import SHOP, World

ADA, PROD = UserName("ada"), AppName("prod")
TWO = RetentionSettings(releases=2, log_days=30)


@pytest.fixture
def world() -> World:
    """Five releases of five commits, and another app without any."""
    world = World()
    world.ledger.create_app(PROD, ADA, "main")
    world.sources.create(PROD)
    for text in ("one", "two", "three", "four", "five"):
        pushed(world, text)
    world.target.calls.clear()
    return world


def pushed(world: World, text: str) -> None:
    head = (world.head,) if world.ledger.current_release(SHOP) else ()
    assert world.deploy(world.commit(text, *head)).state is JobState.LIVE


def gc(world: World, *, dry: bool = False, holder: str = "gc", days: float = 0) -> Collected:
    request = Request(TWO, holder, datetime.now(UTC) + timedelta(days=days), dry=dry)
    return collect(request, world.platform, Voice(lambda _: None))


def images(world: World) -> list[ImageRef]:
    return [release.image.ref for release in world.ledger.releases(SHOP)]


def test_old_releases_go_with_their_images_and_their_numbers_are_not_used_again(world: World) -> None:
    newest = images(world)[:2]
    done = gc(world)
    assert [(going.app, going.releases) for going in done.apps] == [(SHOP, (3, 2, 1))]
    assert set(world.registry.images) == set(newest)
    assert [release.kept for release in world.ledger.releases(SHOP)] == [True, True, False, False, False]
    with pytest.raises(NotFoundError, match="shop v3 is no longer kept"):
        world.ledger.release(SHOP, 3)
    assert world.ask(Rollback(SHOP, ADA, 4)).release == 6
    assert world.ask(Rollback(SHOP, ADA, 2)).state is JobState.FAILED
    assert world.target.calls[:3] == ["forget registry.test/shop"] * 3


def test_what_would_go_is_told_and_stays(world: World) -> None:
    before, releases = dict(world.registry.images), world.ledger.releases(SHOP)
    would = gc(world, dry=True)
    assert (world.registry.images, world.ledger.releases(SHOP)) == (before, releases)
    assert would.registry > 0
    assert gc(world).apps == would.apps


def test_bytes_that_something_else_has_are_not_counted_and_none_twice(world: World) -> None:
    """In this world every image has a config of 100 bytes, and the same layer of one byte."""
    assert gc(world, dry=True).registry == 3 * 100
    digest = world.ledger.release(SHOP, 1).image.ref.digest
    assert world.ask(Promotion(PROD, ADA, SHOP, 1, digest)).state is JobState.LIVE
    assert gc(world, dry=True).registry == 2 * 100
    assert gc(world).registry == 2 * 100


def test_a_second_time_nothing_goes(world: World) -> None:
    gc(world)
    again = gc(world)
    assert (again.apps, again.problems, again.logs) == ([], [], 0)


def test_the_next_push_builds_on_what_was_made_last(world: World) -> None:
    world.ask(Rollback(SHOP, ADA, 4))
    world.ask(Redeploy(SHOP, ADA))
    gc(world)
    assert images(world)[0] in world.registry.images
    pushed(world, "six")
    assert world.builder.requests[-1].previous


def test_a_job_that_is_under_way_keeps_its_app_for_the_next_time(world: World) -> None:
    world.ledger.enqueue(Rollback(SHOP, ADA, 1))
    job = world.claim()
    done = gc(world)
    assert (done.apps, done.waiting) == ([], [SHOP])
    work(job, world.platform, Cancellation())
    assert world.ledger.job(job.id).state is JobState.LIVE


def test_what_is_asked_for_between_the_plan_and_the_doing_stays(world: World) -> None:
    """The rollback and the promotion come while the app is held: they wait, and find what they want."""
    asked: list[Job] = []

    def ask(image: ImageRef) -> None:
        if not asked:
            digest = world.ledger.release(SHOP, 4).image.ref.digest
            asked.append(world.ledger.enqueue(Rollback(SHOP, ADA, 4)))
            asked.append(world.ledger.enqueue(Promotion(PROD, ADA, SHOP, 4, digest)))
            claimed = world.ledger.claim("server-1", 8)
            assert claimed is not None
            assert claimed.app == PROD, "jobs of an app that is held wait"
            work(claimed, world.platform, Cancellation())

    world.registry.during_remove = ask
    done = gc(world)
    assert done.problems == []
    work(world.claim(), world.platform, Cancellation())
    assert [world.ledger.job(job.id).state for job in asked] == [JobState.LIVE, JobState.LIVE]


def test_a_promotion_that_was_asked_for_keeps_its_release(world: World) -> None:
    digest = world.ledger.release(SHOP, 1).image.ref.digest
    asked = world.ledger.enqueue(Promotion(PROD, ADA, SHOP, 1, digest))
    assert [going.releases for going in gc(world).apps] == [(3, 2)]
    work(world.claim(), world.platform, Cancellation())
    assert world.ledger.job(asked.id).state is JobState.LIVE
    assert [going.releases for going in gc(world).apps] == [(1,)]
    assert world.ask(Redeploy(PROD, ADA)).state is JobState.LIVE, "its image is its own"


def test_an_image_that_comes_again_while_others_go_stays(world: World) -> None:
    """A push of what an old release was makes the same image. It is not begun while that one goes."""
    old = world.ledger.release(SHOP, 1)
    world.builder.labels = {"commit": old.commit}

    def push(_image: ImageRef) -> None:
        if not world.ledger.unended():
            world.enqueue(world.commit("as one was", world.head))
            assert world.ledger.claim("server-1", 8) is None

    world.registry.during_remove = push
    gc(world)
    job = world.claim()
    work(job, world.platform, Cancellation())
    live = world.ledger.current_release(SHOP)
    assert live
    assert (live.number, live.image.ref) == (6, old.image.ref)
    assert live.image.ref in world.registry.images


def test_two_at_once_do_not_get_into_each_others_way(world: World) -> None:
    seen = []
    world.registry.during_remove = lambda _image: seen.append(gc(world, holder="other"))
    assert gc(world).problems == []
    assert all(done.waiting == [SHOP] for done in seen)


def test_a_registry_that_removes_nothing_is_told_once_and_tried_again(world: World) -> None:
    world.registry.deletes_nothing = True
    done = gc(world)
    assert [error.message for error in done.problems] == ["the registry deletes nothing"]
    assert len(world.registry.images) == 5
    world.registry.deletes_nothing = False
    assert [(going.releases, len(going.images)) for going in gc(world).apps] == [((), 3)]
    assert len(world.registry.images) == 2


def test_a_collection_that_was_killed_is_gone_on_with_once_its_hold_has_run_out(world: World) -> None:
    assert world.ledger.hold(SHOP, "killed", 30)
    assert world.ledger.collect(SHOP, "killed", (1, 2)) == (2, 1)
    assert gc(world).waiting == [SHOP]
    world.let_leases_run_out()
    assert [(going.releases, len(going.images)) for going in gc(world).apps] == [((3,), 3)]


def test_old_logs_go_and_so_do_those_of_no_job(world: World) -> None:
    world.logbook.append(JobId(77), b"of nobody\n")
    assert gc(world).logs == 1
    assert gc(world, days=29).logs == 0
    assert gc(world, days=31).logs == 5
    assert world.logbook.all() == {}


def test_caches_of_apps_that_are_gone_go(world: World) -> None:
    world.builder.caches = {SHOP, AppName("gone")}
    assert gc(world, dry=True).caches == ["gone"]
    assert gc(world).caches == ["gone"]
    assert world.builder.caches == {SHOP}


def test_commits_that_were_held_for_jobs_that_ended_unseen_are_let_go(world: World) -> None:
    waiting = world.enqueue(world.commit("six", world.head))
    world.sources.keep(SHOP, JobId(1), world.head)
    gc(world)
    assert world.sources.kept(SHOP) == {waiting.id, JobId(1)}, "the app waits"
    work(world.claim(), world.platform, Cancellation())
    gc(world)
    assert world.sources.kept(SHOP) == frozenset()


def test_one_app_alone_can_be_asked_for(world: World) -> None:
    world.builder.caches = {AppName("gone")}
    request = Request(TWO, "gc", datetime.now(UTC), only=PROD)
    assert collect(request, world.platform, Voice(lambda _: None)) == Collected()


def test_pushes_and_collections_at_the_same_time_leave_all_that_is_kept(world: World) -> None:
    stop = threading.Event()

    def collect_on() -> None:
        while not stop.is_set():
            gc(world, holder="beside")

    thread = threading.Thread(target=collect_on)
    thread.start()
    try:
        for text in ("one", "two", "three", "two", "one"):
            world.builder.labels = {"commit": text}  # so that images come again that have gone
            world.enqueue(world.commit(text, world.head))
            while (job := world.ledger.claim("server-1", 8)) is None:
                pass
            work(job, world.platform, Cancellation())
            assert world.ledger.job(job.id).state is JobState.LIVE
    finally:
        stop.set()
        thread.join()
    kept = [release for release in world.ledger.releases(SHOP, 100) if release.kept]
    assert all(release.image.ref in world.registry.images for release in kept)


def test_the_server_does_it_by_itself_and_says_in_its_log_what_it_could_not(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.registry.deletes_nothing = True
    assert once(world.platform, replace(TWO), "server").problems
    assert "the registry deletes nothing" in caplog.text
