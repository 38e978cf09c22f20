"""What people set for an app: as it is read, and what a change of it makes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreceive.cancellation import Cancellation
from gitreceive.errors import RolloutError, UsageError
from gitreceive.jobs import work
from gitreceive.model import (
    AppSettings,
    Autoscale,
    Formation,
    JobState,
    Limits,
    ProcessType,
    Release,
    Rollback,
    Runtime,
    SettingsChange,
    UserName,
)
from tests.platform import SHOP, World

ADA = UserName("ada")
_NAMES = st.sampled_from(["web", "worker", "a-b"])
_SETTINGS = st.builds(
    AppSettings,
    st.builds(
        Runtime,
        st.dictionaries(_NAMES, st.sampled_from([Limits("64Mi"), Limits(cpu="0.5"), Limits("1Gi", "250m")])),
    ),
    st.builds(
        Formation,
        st.dictionaries(_NAMES, st.integers(0, 1000)),
        st.dictionaries(_NAMES, st.just(Autoscale(1, 5, 70))),
        st.booleans(),
    ),
)


@pytest.fixture
def world() -> World:
    """An app that is live, with a release command and a worker."""
    world = World()
    world.builder.processes = (ProcessType("web"), ProcessType("worker"), ProcessType("release"))
    world.deploy(world.commit("one"))
    world.target.calls.clear()
    return world


def live(world: World) -> Release:
    found = world.ledger.current_release(SHOP)
    assert found
    return found


def scale(**counts: int) -> SettingsChange:
    return SettingsChange(SHOP, ADA, f"scale {counts}", {"formation": {"scale": counts}})


def limit(memory: str) -> SettingsChange:
    return SettingsChange(
        SHOP, ADA, f"limit web to {memory}", {"runtime": {"limits": {"web": {"memory": memory}}}}
    )


@given(_SETTINGS)
def test_settings_are_read_as_they_were_written(settings: AppSettings) -> None:
    assert AppSettings.parse(settings.document()) == settings


@given(_SETTINGS)
def test_a_patch_changes_what_it_names_alone(settings: AppSettings) -> None:
    patched = settings.patched({"formation": {"scale": {"web": 7, "worker": None}}})
    rest = {name: count for name, count in settings.formation.scale.items() if name == "a-b"}
    assert patched.formation.scale == {**rest, "web": 7}
    assert (patched.runtime, patched.formation.autoscale) == (settings.runtime, settings.formation.autoscale)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "the settings must be an object"),
        ({"nonsense": {}}, "has no 'nonsense'"),
        ({"formation": {"scale": {"Web": 1}}}, "'Web' is not a process type"),
        ({"formation": {"scale": {"web": -1}}}, "the scale of web must be a number from 0 to 1000"),
        ({"formation": {"scale": {"web": 1001}}}, "the scale of web must be a number"),
        ({"formation": {"scale": {"web": True}}}, "the scale of web must be a number"),
        ({"formation": {"stopped": 1}}, "formation.stopped must be true or false"),
        (
            {"formation": {"autoscale": {"web": {"least": 3, "most": 2, "cpu": 50}}}},
            "3 at least and 2 at most",
        ),
        ({"formation": {"autoscale": {"web": {"least": 1, "most": 2}}}}, "cpu must be a number"),
        ({"runtime": {"limits": {"web": {"memory": "lots"}}}}, "'lots' is no amount of memory"),
        ({"runtime": {"limits": {"web": {"memory": "1Ki"}}}}, "too little memory"),
        ({"runtime": {"limits": {"web": {"cpu": "-1"}}}}, "'-1' is no amount of CPU"),
        ({"runtime": {"limits": {"web": {"cpu": "0"}}}}, "needs some CPU"),
        ({"runtime": {"limits": {"web": {"disk": "1Gi"}}}}, "has no 'disk'"),
    ],
)
def test_what_cannot_be_set_is_refused_by_name(document: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        AppSettings.parse(document)


@pytest.mark.parametrize(
    ("memory", "count"), [("512Mi", 512 << 20), ("1Gi", 1 << 30), ("500M", 500 * 10**6), ("4194304", 4 << 20)]
)
def test_memory_is_counted_as_kubernetes_counts(memory: str, count: int) -> None:
    assert Limits(memory).memory_bytes == count


@pytest.mark.parametrize(("cpu", "count"), [("0.5", 500), ("500m", 500), ("2", 2000), ("0.001", 1)])
def test_cpu_is_counted_in_thousandths(cpu: str, count: int) -> None:
    assert Limits(cpu=cpu).milli_cpu == count


def test_an_autoscaler_begins_with_what_it_may(world: World) -> None:
    formation = Formation({"web": 9}, {"web": Autoscale(2, 4, 70), "worker": Autoscale(2, 4, 70)})
    assert (formation.replicas("web"), formation.replicas("worker"), formation.replicas("other")) == (4, 2, 1)


def test_another_scale_makes_no_release_and_stays_with_the_next_push(world: World) -> None:
    job = world.ask(scale(web=3))
    assert (job.state, job.release) == (JobState.LIVE, None)
    assert (world.target.calls, world.target.live[SHOP].replicas("web")) == (["roll out v1"], 3)
    assert (live(world).number, live(world).replicas("web")) == (1, 3)
    world.deploy(world.commit("two", world.head))
    assert (live(world).number, world.target.live[SHOP].replicas("web")) == (2, 3)


def test_other_limits_are_a_release_of_the_same_image_without_the_release_command(world: World) -> None:
    job = world.ask(limit("256Mi"))
    assert (job.state, job.release, world.target.calls) == (JobState.LIVE, 2, ["roll out v2"])
    assert live(world).settings.runtime.limits == {"web": Limits("256Mi")}
    assert (live(world).image, live(world).description) == (
        world.ledger.release(SHOP, 1).image,
        "Limit web to 256Mi",
    )


def test_a_rollback_brings_the_limits_back_and_leaves_the_scale(world: World) -> None:
    world.ask(limit("256Mi"))
    world.ask(scale(web=3))
    world.ask(Rollback(SHOP, ADA, 1))
    assert (live(world).number, live(world).settings) == (3, AppSettings(formation=Formation({"web": 3})))


def test_a_scale_that_does_not_come_up_is_gone_back_from(world: World) -> None:
    def refuse_three(release: Release, _cancel: Cancellation) -> None:
        if release.replicas("web") == 3:
            raise RolloutError("no node has room")

    world.target.during = refuse_three
    job = world.ask(scale(web=3))
    assert (job.state, job.reason) == (JobState.FAILED, "no node has room")
    assert (world.target.live[SHOP].replicas("web"), world.ledger.settings(SHOP)) == (1, AppSettings())
    assert "Going back to the settings as they were" in world.log(job)


def test_changes_that_wait_for_each_other_are_all_kept(world: World) -> None:
    for change in (scale(web=2), scale(worker=3), limit("256Mi")):
        world.ledger.enqueue(change)
    for _ in range(3):
        work(world.claim(), world.platform, Cancellation())
    assert world.ledger.settings(SHOP) == AppSettings(
        Runtime({"web": Limits("256Mi")}), Formation({"web": 2, "worker": 3})
    )


def test_what_is_so_already_is_not_done_again(world: World) -> None:
    world.ask(scale(web=2))
    job = world.ask(scale(web=2))
    assert (job.state, job.reason) == (JobState.CANCELED, "nothing to do: shop is set so already")


@pytest.mark.parametrize("change", [scale(web=2), limit("256Mi")])
def test_a_change_whose_server_died_goes_on_to_the_same_end(world: World, change: SettingsChange) -> None:
    job = world.ledger.enqueue(change)
    held = world.claim()
    world.ledger.advance(job.id, held.fence, JobState.ROLLING_OUT)
    world.let_leases_run_out()
    work(world.claim(), world.platform, Cancellation())
    assert world.ledger.job(job.id).state is JobState.LIVE
    assert world.ledger.settings(SHOP) == AppSettings().patched(change.patch)
