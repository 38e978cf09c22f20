"""Config: carried from release to release to the byte, kept for the first one, and forgotten by the jobs that set it."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitreceive.errors import ConflictError, NotFoundError
from gitreceive.model import AppName, ConfigChange, JobState, Secret
from gitreceive.ports import Ledger
from tests.engines.ledger.words import ANN, BLOG, SHOP, claimed, go_live, intend, push

ONE, TWO = {"A": Secret("1")}, {"A": Secret("2"), "B": Secret("")}
_VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")).map(Secret)
_CONFIGS = st.dictionaries(st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,20}\Z"), _VALUES)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(config=_CONFIGS)
def test_names_and_values_are_kept_to_the_byte(ledger: Ledger, config: dict[str, Secret]) -> None:
    job = ledger.enqueue(ConfigChange(SHOP, ANN, config, ("GONE",)))
    held = claimed(ledger)
    assert held.cause == job.cause == ConfigChange(SHOP, ANN, config, ("GONE",))
    intend(ledger, held, config=config)
    ledger.go_live(held.id, held.fence, {})
    assert ledger.config(SHOP) == ledger.releases(SHOP, 1)[0].config == config


def test_what_is_kept_is_the_first_releases(ledger: Ledger) -> None:
    assert ledger.config(SHOP) == {}
    ledger.keep_config(SHOP, {}, ONE)
    ledger.keep_config(SHOP, ONE, TWO)
    assert (ledger.config(SHOP), ledger.config(BLOG)) == (TWO, {})
    go_live(ledger)
    assert (ledger.config(SHOP), ledger.releases(SHOP)[0].config) == (TWO, TWO)
    go_live(ledger, config={})
    assert ledger.config(SHOP) == {}


def test_who_was_second_to_change_what_is_kept_is_told(ledger: Ledger) -> None:
    ledger.keep_config(SHOP, {}, ONE)
    with pytest.raises(ConflictError, match="was changed just now"):
        ledger.keep_config(SHOP, {}, TWO)
    assert ledger.config(SHOP) == ONE


def test_nothing_is_kept_that_the_first_release_may_have_missed(ledger: Ledger) -> None:
    ledger.enqueue(push())
    with pytest.raises(ConflictError, match="first release of shop"):
        ledger.keep_config(SHOP, {}, ONE)
    job = claimed(ledger)
    intend(ledger, job)
    ledger.go_live(job.id, job.fence, {})
    with pytest.raises(ConflictError, match="first release of shop"):
        ledger.keep_config(SHOP, {}, ONE)
    assert ledger.config(SHOP) == {}


def test_there_is_no_config_of_an_app_that_there_is_not(ledger: Ledger) -> None:
    nobody = AppName("nobody")
    with pytest.raises(NotFoundError):
        ledger.config(nobody)
    with pytest.raises(NotFoundError):
        ledger.keep_config(nobody, {}, ONE)


@pytest.mark.parametrize("end", ["live", "failed", "canceled"])
def test_a_job_that_has_ended_no_longer_knows_the_values(ledger: Ledger, end: str) -> None:
    job = ledger.enqueue(ConfigChange(SHOP, ANN, ONE, ("B",)))
    if end == "canceled":
        ledger.request_cancel(job.id, "ann")
    else:
        held = claimed(ledger)
        intend(ledger, held, config=ONE)
        if end == "live":
            ledger.go_live(held.id, held.fence, {})
        else:
            ledger.end(held.id, held.fence, JobState.FAILED, "crashed", {})
    ended = ledger.job(job.id)
    assert ended.cause == ConfigChange(SHOP, ANN, {"A": Secret("")}, ("B",))
    assert (ended.state, ended.title) == (end, "set A; unset B")
