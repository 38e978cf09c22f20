"""Releases: numbered without gaps."""

import time
from dataclasses import replace

import pytest

from gitreceive.errors import (
    LeaseLostError,
    NotFoundError,
)
from gitreceive.model import (
    AppSettings,
    CheckKind,
    CronTask,
    Declared,
    HealthCheck,
    JobState,
    Scripts,
    Secret,
)
from gitreceive.ports import Ledger
from tests.engines.ledger.words import ANN, BLINK, BLOG, COMMIT, IMAGE, SHOP, claimed, go_live, intend, push


def test_a_release_is_read_as_it_was_intended_and_its_job_has_ended_live(ledger: Ledger) -> None:
    queued = ledger.enqueue(push())
    job = claimed(ledger)
    intended = intend(ledger, job)
    assert (intended.app, intended.number, intended.image) == (SHOP, 1, IMAGE)
    assert (intended.commit, intended.user, intended.description) == (COMMIT, ANN, "Deploy it")
    assert (intended.config, intended.settings) == ({}, AppSettings())
    assert ledger.job(job.id).release == 1
    assert (ledger.current_release(SHOP), ledger.releases(SHOP)) == (None, ())
    assert ledger.go_live(job.id, job.fence, {"rollout": 2.5}) == intended
    assert (ledger.current_release(SHOP), ledger.releases(SHOP)) == (intended, (intended,))
    ended = ledger.job(queued.id)
    assert (ended.state, ended.release, ended.seconds) == (JobState.LIVE, 1, {"rollout": 2.5})
    assert ended.ended_at


def test_intending_twice_gives_the_same_release_also_after_a_restart(ledger: Ledger) -> None:
    ledger.enqueue(push())
    job = claimed(ledger, BLINK)
    intended = intend(ledger, job)
    time.sleep(BLINK * 2)
    again = claimed(ledger)
    assert again.release == 1
    assert intend(ledger, again, replace(IMAGE, size=1)) == intended


def test_a_release_goes_live_once(ledger: Ledger) -> None:
    job = go_live(ledger)
    with pytest.raises(LeaseLostError):
        ledger.go_live(job.id, job.fence, {})
    assert len(ledger.releases(SHOP)) == 1


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELED])
def test_a_release_that_did_not_go_live_leaves_no_gap(ledger: Ledger, state: JobState) -> None:
    go_live(ledger)
    ledger.enqueue(push())
    job = claimed(ledger)
    assert intend(ledger, job).number == 2
    assert ledger.end(job.id, job.fence, state, "crashed", {}).release is None
    current = ledger.current_release(SHOP)
    assert current
    assert current.number == 1
    go_live(ledger)
    assert [release.number for release in ledger.releases(SHOP)] == [2, 1]


def test_each_app_counts_its_own_releases_newest_first(ledger: Ledger) -> None:
    for app in (SHOP, BLOG, SHOP, SHOP):
        go_live(ledger, app)
    assert [release.number for release in ledger.releases(SHOP)] == [3, 2, 1]
    assert [release.number for release in ledger.releases(SHOP, limit=2)] == [3, 2]
    assert [release.number for release in ledger.releases(BLOG)] == [1]


def test_a_release_that_was_live_is_found_by_its_number_and_no_other(ledger: Ledger) -> None:
    for app in (SHOP, BLOG, SHOP):
        go_live(ledger, app)
    ledger.enqueue(push())
    intend(ledger, claimed(ledger))
    assert [ledger.release(SHOP, number) for number in (2, 1)] == list(ledger.releases(SHOP))
    for app, number in ((SHOP, 3), (SHOP, 0), (BLOG, 2)):
        with pytest.raises(NotFoundError, match=f"no release v{number} of {app}"):
            ledger.release(app, number)


def test_a_release_takes_over_the_config_of_the_live_one_unless_it_is_given_one(ledger: Ledger) -> None:
    strange = {"KEY": Secret("no\n'\"{{ x }} $(HOME) ü \u2028 1e3"), "EMPTY": Secret("")}
    for config in (None, strange, None, {}, None):
        go_live(ledger, config=config)
    go_live(ledger, BLOG)
    configs = [dict(release.config) for release in reversed(ledger.releases(SHOP))]
    assert configs == [{}, strange, strange, {}, {}]
    assert ledger.releases(BLOG)[0].config == {}


def test_the_config_of_a_release_that_did_not_go_live_is_not_taken_over(ledger: Ledger) -> None:
    go_live(ledger, config={"A": Secret("1")})
    ledger.enqueue(push())
    job = claimed(ledger)
    intend(ledger, job, config={"A": Secret("2")})
    ledger.end(job.id, job.fence, JobState.FAILED, "crashed", {})
    go_live(ledger)
    assert ledger.releases(SHOP)[0].config == {"A": Secret("1")}


def test_what_a_source_declares_stays_with_its_releases(ledger: Ledger) -> None:
    check = HealthCheck(
        CheckKind.LIVENESS, "up", "/up", "https", (("X-A", "ü"),), ("a", "b c"), True, 81, 4, 5, 6, 7
    )
    declared = Declared(
        {"web": (check, HealthCheck(CheckKind.STARTUP))},
        (CronTask("0 3 * * *", "a && b", "forbid"),),
        Scripts("before", "after", "first", "farewell"),
    )
    ledger.enqueue(push())
    job = claimed(ledger)
    assert intend(ledger, job, declared=declared).declared == declared
    ledger.go_live(job.id, job.fence, {})
    go_live(ledger)
    live = ledger.current_release(SHOP)
    assert live
    assert live.declared == ledger.release(SHOP, 1).declared == declared
    ledger.enqueue(push())
    job = claimed(ledger)
    assert intend(ledger, job, declared=Declared()).declared == Declared()
