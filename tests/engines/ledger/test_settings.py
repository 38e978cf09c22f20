"""Settings of apps: the runtime belongs to a release, all else to the app as it is now."""

import pytest

from gitreceive.errors import ConflictError, LeaseLostError, NotFoundError
from gitreceive.model import AppName, AppSettings, Autoscale, Formation, JobState, Limits, Runtime
from gitreceive.ports import Ledger
from tests.engines.ledger.words import BLOG, SHOP, claimed, go_live, intend, push, settings_change

NONE = AppSettings()
SMALL = Runtime({"web": Limits("256Mi", "500m")})
TWO = Formation({"web": 2}, {"worker": Autoscale(1, 3, 70)})


def test_what_is_kept_is_the_first_releases(ledger: Ledger) -> None:
    assert ledger.settings(SHOP) == NONE
    ledger.keep_settings(SHOP, NONE, AppSettings(SMALL, TWO))
    go_live(ledger)
    assert ledger.releases(SHOP)[0].settings == ledger.settings(SHOP) == AppSettings(SMALL, TWO)
    assert ledger.settings(BLOG) == NONE


def test_who_was_second_to_change_what_is_kept_is_told(ledger: Ledger) -> None:
    ledger.keep_settings(SHOP, NONE, AppSettings(formation=TWO))
    with pytest.raises(ConflictError, match="were changed just now"):
        ledger.keep_settings(SHOP, NONE, AppSettings(SMALL))
    assert ledger.settings(SHOP) == AppSettings(formation=TWO)


def test_nothing_is_kept_that_a_job_may_have_missed_or_a_release_has(ledger: Ledger) -> None:
    ledger.enqueue(push())
    with pytest.raises(ConflictError, match="first release of shop"):
        ledger.keep_settings(SHOP, NONE, AppSettings(SMALL))
    job = claimed(ledger)
    intend(ledger, job)
    ledger.go_live(job.id, job.fence, {})
    with pytest.raises(ConflictError, match="first release of shop"):
        ledger.keep_settings(SHOP, NONE, AppSettings(SMALL))


def test_a_release_keeps_its_runtime_and_sees_the_formation_of_today(ledger: Ledger) -> None:
    go_live(ledger)
    job = ledger.enqueue(push())
    held = claimed(ledger)
    assert intend(ledger, held, settings=AppSettings(SMALL, TWO)).settings == AppSettings(SMALL, TWO)
    assert ledger.settings(SHOP) == NONE
    ledger.go_live(job.id, held.fence, {})
    first, second = ledger.release(SHOP, 1), ledger.release(SHOP, 2)
    assert (first.settings, second.settings) == (AppSettings(formation=TWO), AppSettings(SMALL, TWO))
    assert (ledger.settings(SHOP), ledger.current_release(SHOP)) == (AppSettings(SMALL, TWO), second)


def test_settings_without_a_release_are_recorded_as_the_job_ends(ledger: Ledger) -> None:
    go_live(ledger)
    asked = ledger.enqueue(settings_change())
    held = claimed(ledger)
    assert held.cause == asked.cause == settings_change()
    ended = ledger.settle(held.id, held.fence, AppSettings(formation=TWO), {"adjust": 0.5})
    assert (ended.state, ended.release, ended.seconds) == (JobState.LIVE, None, {"adjust": 0.5})
    assert [release.number for release in ledger.releases(SHOP)] == [1]
    live = ledger.current_release(SHOP)
    assert live
    assert live.settings == ledger.settings(SHOP) == AppSettings(formation=TWO)


def test_who_has_lost_the_lease_records_nothing(ledger: Ledger) -> None:
    go_live(ledger)
    ledger.enqueue(settings_change())
    held = claimed(ledger)
    with pytest.raises(LeaseLostError):
        ledger.settle(held.id, held.fence - 1, AppSettings(formation=TWO), {})
    assert ledger.settings(SHOP) == NONE


def test_an_intended_release_that_failed_leaves_the_settings_as_they_were(ledger: Ledger) -> None:
    go_live(ledger)
    ledger.enqueue(push())
    held = claimed(ledger)
    intend(ledger, held, settings=AppSettings(SMALL, TWO))
    ledger.end(held.id, held.fence, JobState.FAILED, "no", {})
    assert ledger.settings(SHOP) == NONE


def test_there_are_no_settings_of_an_app_that_there_is_not(ledger: Ledger) -> None:
    with pytest.raises(NotFoundError):
        ledger.settings(AppName("nobody"))
    with pytest.raises(NotFoundError):
        ledger.keep_settings(AppName("nobody"), NONE, NONE)
