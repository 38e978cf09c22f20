"""Config: what a change makes of a release, and what no process could be given."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitreceive.cancellation import Cancellation
from gitreceive.errors import RegistryError, RolloutError, UsageError
from gitreceive.jobs import work
from gitreceive.model import (
    LARGEST_CONFIG,
    LONGEST_VALUE,
    ConfigChange,
    JobState,
    ProcessType,
    Release,
    Secret,
    UserName,
    parse_config_name,
    require_config_fits,
)
from tests.platform import SHOP, World

ADA = UserName("ada")
ONE, TWO = {"A": Secret("hush-1")}, {"A": Secret("hush-2"), "B": Secret("hush-3")}
_VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")).map(Secret)


@pytest.fixture
def world() -> World:
    """An app that is live, with a release command."""
    world = World()
    world.builder.processes = (ProcessType("web"), ProcessType("release"))
    world.ledger.keep_config(SHOP, {}, ONE)
    world.deploy(world.commit("one"))
    world.target.calls.clear()
    return world


def live(world: World) -> Release:
    found = world.ledger.current_release(SHOP)
    assert found
    return found


def test_the_first_release_has_what_was_set_before(world: World) -> None:
    assert live(world).config == ONE


def test_a_change_is_one_release_of_the_same_image_and_runs_the_release_command(world: World) -> None:
    built, head = len(world.builder.requests), world.head
    job = world.ask(ConfigChange(SHOP, ADA, {"C": Secret("hush-4"), "B": Secret("hush-3")}, ("A",)))
    assert job.state is JobState.LIVE
    second, first = world.ledger.releases(SHOP)
    assert (second.number, second.description, second.user) == (2, "Set B, C; unset A", ADA)
    assert second.config == {"B": Secret("hush-3"), "C": Secret("hush-4")}
    assert (second.image, second.commit) == (first.image, first.commit)
    assert (len(world.builder.requests), world.head) == (built, head)
    assert world.target.calls == ["run release of v2", "roll out v2"]
    assert "Config of shop: set B, C; unset A" in world.log(job)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.from_regex(r"\A[A-Z_][A-Z0-9_]{0,9}\Z"), _VALUES, min_size=1))
def test_names_and_values_reach_the_target_to_the_byte(config: dict[str, Secret]) -> None:
    world = World()
    world.deploy(world.commit("one"))
    world.ask(ConfigChange(SHOP, ADA, config))
    assert world.target.live[SHOP].config == config


def test_no_value_is_in_a_log_a_reason_a_title_or_a_repr(world: World) -> None:
    change = ConfigChange(SHOP, ADA, TWO)
    world.target.failure = RolloutError("web crashed")
    job = world.ask(change)
    said = (world.log(job), repr(change), repr(job), repr(live(world)), job.title, job.reason)
    assert not any("hush" in text for text in said)


@pytest.mark.parametrize("broken", ["release command", "roll out"])
def test_a_config_with_which_the_app_does_not_come_up_is_put_back(world: World, broken: str) -> None:
    if broken == "roll out":
        world.target.failure = RolloutError("web crashed")
    else:
        world.target.exit_code = 3
    assert world.ask(ConfigChange(SHOP, ADA, TWO)).state is JobState.FAILED
    assert (live(world).number, world.ledger.config(SHOP)) == (1, ONE)
    world.target.failure, world.target.exit_code = None, 0
    world.deploy(world.commit("two", world.head))
    assert (live(world).number, live(world).config) == (2, ONE)


def test_changes_that_wait_for_each_other_are_all_kept(world: World) -> None:
    for name in ("B", "C"):
        world.ledger.enqueue(ConfigChange(SHOP, ADA, {name: Secret(name)}))
    for _ in range(2):
        work(world.claim(), world.platform, Cancellation())
    assert live(world).config == {**ONE, "B": Secret("B"), "C": Secret("C")}


def test_what_another_change_has_done_already_is_not_done_again(world: World) -> None:
    world.ask(ConfigChange(SHOP, ADA, TWO))
    job = world.ask(ConfigChange(SHOP, ADA, TWO))
    assert (job.state, job.reason) == (JobState.CANCELED, "nothing to do: the config of shop is that already")


def test_where_the_registry_no_longer_has_the_image_nothing_is_touched(world: World) -> None:
    world.registry.images.clear()
    assert "no longer has the image of shop v1" in world.ask(ConfigChange(SHOP, ADA, TWO)).reason
    assert (world.target.calls, RegistryError.exit_code) == ([], 40)


@pytest.mark.parametrize("step", ["claimed", "releasing", "rolling out"])
def test_a_change_whose_server_died_goes_on_to_the_same_end(world: World, step: str) -> None:
    image, commit = live(world).image, live(world).commit
    job = world.ledger.enqueue(ConfigChange(SHOP, ADA, TWO))
    held = world.claim()
    if step != "claimed":
        world.ledger.advance(job.id, held.fence, JobState.RELEASING, image=image)
    if step == "rolling out":
        world.ledger.intend_release(job.id, held.fence, image, commit, "Set A, B", TWO)
        world.ledger.advance(job.id, held.fence, JobState.ROLLING_OUT)
    world.let_leases_run_out()
    work(world.claim(), world.platform, Cancellation())
    assert world.ledger.job(job.id).state is JobState.LIVE
    assert (live(world).number, live(world).config, world.target.running(SHOP)) == (2, TWO, 2)


# --- what can be set ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["A", "_", "DATABASE_URL", "http_proxy", "A1", "PORTS", "X" * 200])
def test_a_name_is_taken_as_it_is(name: str) -> None:
    assert parse_config_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "1A",
        "A-B",
        "A.B",
        "A B",
        " A",
        "A\n",
        "Ä",
        "A=B",
        "X" * 201,
        "PORT",
        "GITRECEIVE_",
        "GITRECEIVE_RELEASE",
    ],
)
def test_a_name_that_no_variable_can_have_or_that_is_ours_is_refused(name: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_config_name(name)
    assert refused.value.hint


def test_a_config_fits_up_to_the_byte() -> None:
    require_config_fits({"A": Secret("x" * (LONGEST_VALUE - 1))})
    many = {f"A{n:02}": Secret("x" * (LARGEST_CONFIG // 10 - 3)) for n in range(10)}
    require_config_fits(many)
    with pytest.raises(UsageError, match=f"{LARGEST_CONFIG + 1} bytes of names and values"):
        require_config_fits(many | {"B": Secret("")})


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("x" * LONGEST_VALUE, f"A is too long: {LONGEST_VALUE + 1} bytes"),
        ("ü" * (LONGEST_VALUE // 2), "A is too long"),
        ("hush\0", "A holds a NUL byte"),
        ("hush\udc80", "A is not UTF-8"),
    ],
)
def test_a_value_that_no_process_can_be_given_is_refused_and_not_told(value: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as refused:
        require_config_fits({"A": Secret(value)})
    assert "hush" not in refused.value.message + refused.value.hint


def test_many_names_are_told_in_short() -> None:
    change = ConfigChange(SHOP, ADA, {f"A{n}": Secret("") for n in range(7)}, ("C", "B"))
    assert change.title == "set A0, A1, A2, A3, A4 and 2 more; unset B, C"
