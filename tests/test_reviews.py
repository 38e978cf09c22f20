"""Review apps: their names, what they are given, how they go."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreceive.cancellation import Cancellation
from gitreceive.config import RetentionSettings
from gitreceive.errors import ConflictError, SourceError
from gitreceive.jobs import work
from gitreceive.model import (
    ZERO_COMMIT,
    App,
    AppName,
    Job,
    JobId,
    JobState,
    ProcessType,
    Push,
    PushOptions,
    ReviewRules,
    Secret,
    UserName,
)
from gitreceive.stories.collection import Request, collect
from gitreceive.stories.removal import remove, remove_overdue_reviews
from gitreceive.stories.reviews import names, review_app
from gitreceive.voice import Voice
from tests.fake_logbook import FakeLogBook
from tests.platform import SHOP, World

ADA = UserName("ada")
NOW = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)
DAY = timedelta(days=1)
SILENT = Voice(lambda _chunk: None)


@pytest.fixture
def world() -> World:
    return World()


def reviewed(world: World, branch: str = "fix", now: datetime = NOW) -> App:
    return review_app(world.ledger.app(SHOP), branch, world.ledger, now)


def deployed(world: World, app: App, text: str = "one", **files: str) -> JobState:
    """A push of the branch, as the door asks for it."""
    commit = world.commit_files({"app.py": text, **files})
    ref = app.deploy_ref
    old = world.sources.head(SHOP, ref)
    return world.ask(Push(app.name, ADA, ref, old, commit, PushOptions(review=True), SHOP)).state


def test_a_branch_gets_an_app_of_its_own_that_a_further_push_keeps(world: World) -> None:
    app = reviewed(world)
    assert (app.name, app.owner, app.branch) == ("shop-fix", "ada", "fix")
    assert app.review
    assert (app.review.of, app.review.until) == (SHOP, NOW + 5 * DAY)
    again = reviewed(world, now=NOW + DAY)
    assert again.name == app.name
    assert again.review
    assert again.review.until == NOW + 6 * DAY
    assert len(world.ledger.reviews(SHOP)) == 1


def test_branches_that_read_alike_and_apps_that_have_the_name_are_told_apart(world: World) -> None:
    world.ledger.create_app(AppName("shop-main2"), ADA, "main")
    found = [reviewed(world, branch).name for branch in ("fix-a", "fix/a", "Fix-A", "main2")]
    assert found[0] == "shop-fix-a"
    assert len(set(found)) == 4
    assert all(name.startswith(("shop-fix-a-", "shop-main2-")) for name in found[1:])
    for name in names(SHOP, "taken"):
        world.ledger.create_app(name, ADA, "main")
    with pytest.raises(ConflictError, match="has no name"):
        reviewed(world, "taken")


@given(st.from_regex("[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True), st.text(min_size=1))
def test_every_branch_of_every_app_has_a_name(parent: str, branch: str) -> None:
    for name in names(AppName(parent), branch):
        assert AppName.parse(name) == name


def test_it_is_built_from_the_parents_repository_and_runs_beside_it(world: World) -> None:
    world.deploy(world.commit("main"))
    app = reviewed(world)
    assert deployed(world, app, "fix") is JobState.LIVE
    assert world.target.running(app.name) == world.target.running(SHOP) == 1
    assert not world.sources.head(SHOP, "refs/heads/fix").is_zero
    request = world.builder.requests[-1]
    assert (request.source.app, request.source.repository) == (app.name, SHOP)
    assert deployed(world, app, "fixed", **{"app.json": "{"}) is JobState.FAILED
    assert world.target.running(app.name) == 1


def test_it_has_of_the_parents_config_only_what_may_leave_it(world: World) -> None:
    world.ledger.keep_config(SHOP, {}, {"MAIL": Secret("mail"), "DATABASE_URL": Secret("hush")})
    world.ledger.set_reviews(SHOP, ReviewRules(), ReviewRules(inherit=("MAIL", "NONE")))
    app = reviewed(world)
    files = {"app.json": '{"env": {"MODE": "p"}, "environments": {"review": {"env": {"MODE": "r"}}}}'}
    assert deployed(world, app, **files) is JobState.LIVE
    live = world.ledger.current_release(app.name)
    assert live
    assert live.config == {"MAIL": Secret("mail"), "MODE": Secret("r")}


def test_what_is_set_for_it_before_its_first_release_counts_more(world: World) -> None:
    world.ledger.keep_config(SHOP, {}, {"A": Secret("parent")})
    world.ledger.set_reviews(SHOP, ReviewRules(), ReviewRules(inherit=("A",)))
    app = reviewed(world)
    world.ledger.keep_config(app.name, {"A": Secret("parent")}, {"A": Secret("own")})
    reviewed(world)
    assert world.ledger.config(app.name) == {"A": Secret("own")}


def test_it_is_built_by_the_buildpacks_that_were_set_for_its_parent(world: World) -> None:
    world.ledger.set_buildpacks(SHOP, (), ("gitreceive/ruby",))
    deployed(world, reviewed(world))
    assert [str(ref) for ref in world.builder.requests[-1].choice.group] == ["gitreceive/ruby"]


def test_it_goes_with_its_branch_its_script_and_all_that_it_had(world: World) -> None:
    app = reviewed(world)
    deployed(world, app, **{"app.json": '{"scripts": {"pr-predestroy": "bye"}}'})
    world.target.exit_codes["predestroy"] = 1
    remove(world.platform, app, SILENT)
    assert "run predestroy of v1" in world.target.calls
    assert world.target.running(app.name) is None
    assert world.sources.head(SHOP, "refs/heads/fix").is_zero
    assert world.ledger.apps() == (world.ledger.app(SHOP),)


def test_it_goes_with_its_parent(world: World) -> None:
    deployed(world, reviewed(world))
    remove(world.platform, world.ledger.app(SHOP), SILENT)
    assert world.ledger.apps() == ()


def test_nothing_goes_where_one_of_them_cannot(world: World) -> None:
    deployed(world, reviewed(world, "done"))
    push = Push(
        reviewed(world).name, ADA, "refs/heads/fix", ZERO_COMMIT, world.commit("x"), PushOptions(), SHOP
    )
    world.ledger.enqueue(push)
    with pytest.raises(ConflictError, match="of shop-fix is queued"):
        remove(world.platform, world.ledger.app(SHOP), SILENT)
    assert [app.name for app in world.ledger.apps()] == ["shop", "shop-done", "shop-fix"]


def test_it_goes_when_its_time_is_over_but_not_while_it_is_built(world: World) -> None:
    old, young = reviewed(world, "old"), reviewed(world, "young", NOW + DAY)
    remove_overdue_reviews(world.platform, NOW + 5 * DAY - timedelta(seconds=1), SILENT)
    assert world.ledger.reviews() == (old, young)
    push = Push(old.name, ADA, old.deploy_ref, ZERO_COMMIT, world.commit("x"), PushOptions(), SHOP)
    job = world.ledger.enqueue(push)
    remove_overdue_reviews(world.platform, NOW + 5 * DAY, SILENT)
    assert world.ledger.reviews() == (old, young)
    with pytest.raises(ConflictError, match="is queued"):
        remove(world.platform, world.ledger.app(SHOP), SILENT)
    world.ledger.request_cancel(job.id, "ada")
    remove_overdue_reviews(world.platform, NOW + 5 * DAY, SILENT)
    assert world.ledger.reviews() == (young,)


def test_a_push_that_comes_while_it_goes_waits_and_is_deployed(world: World) -> None:
    app = reviewed(world)
    deployed(world, app)
    jobs: list[Job] = []

    def push(name: AppName) -> None:
        cause = Push(name, ADA, app.deploy_ref, ZERO_COMMIT, world.commit("late"), PushOptions(), SHOP)
        jobs.append(world.ledger.enqueue(cause))
        assert world.ledger.claim("server", 60) is None, "nothing is built while it is taken away"

    world.target.while_destroying = push
    with pytest.raises(ConflictError, match="has not ended"):
        remove(world.platform, app, SILENT)
    assert world.target.running(app.name) is None
    work(world.claim(), world.platform, Cancellation())
    assert world.ledger.job(jobs[0].id).state is JobState.LIVE
    assert world.target.running(app.name) == 2


def test_a_removal_that_was_killed_can_be_gone_on_with_at_once(world: World) -> None:
    app = reviewed(world)
    deployed(world, app)

    def die(_name: AppName) -> None:
        raise KeyboardInterrupt

    world.target.while_destroying = die
    world.ledger.hold(app.name, "removal", 60)  # as one that was killed outright has left it
    with pytest.raises(KeyboardInterrupt):
        remove(world.platform, app, SILENT)
    world.target.while_destroying = lambda _name: None
    world.ledger.hold(app.name, "removal", 60)
    remove(world.platform, app, SILENT)
    assert world.ledger.reviews() == ()


def test_an_app_of_which_something_is_collected_stays_for_now(world: World) -> None:
    app = reviewed(world)
    world.ledger.hold(app.name, "gc", 60)
    with pytest.raises(ConflictError) as caught:
        remove(world.platform, app, SILENT)
    assert caught.value.hint == "try again in a moment"
    assert world.ledger.reviews() == (app,)


def test_a_repository_that_a_push_made_anew_until_the_app_was_gone_goes_too(world: World) -> None:
    world.deploy(world.commit("one"))

    class Late(FakeLogBook):
        def delete(self, job: JobId) -> None:
            world.sources.create(SHOP)
            super().delete(job)

    platform = replace(world.platform, logbook=Late())
    remove(platform, world.ledger.app(SHOP), SILENT)
    with pytest.raises(SourceError):
        world.sources.head(SHOP, "refs/heads/main")


def test_scripts_of_other_apps_say_no_farewell(world: World) -> None:
    world.builder.processes = (ProcessType("web"),)
    world.deploy(world.commit_files({"app.json": '{"scripts": {"pr-predestroy": "bye"}}'}))
    remove(world.platform, world.ledger.app(SHOP), SILENT)
    assert "run predestroy of v1" not in world.target.calls


def test_what_a_build_of_a_review_app_holds_in_the_parents_repository_is_not_collected(world: World) -> None:
    world.deploy(world.commit("main"))
    app = reviewed(world)
    push = Push(app.name, ADA, app.deploy_ref, ZERO_COMMIT, world.commit("x"), PushOptions(), SHOP)
    job = world.ledger.enqueue(push)
    world.sources.keep(SHOP, job.id, push.new)
    collect(Request(RetentionSettings(), "gc", NOW), world.platform, SILENT)
    assert world.sources.kept(SHOP) == {job.id}
