"""Apps that are held, and releases that are no longer kept."""

from dataclasses import replace

import pytest

from gitreceive.errors import LeaseLostError, NotFoundError
from gitreceive.model import AppName, JobState, Secret
from gitreceive.ports import Ledger
from tests.engines.ledger.words import (
    BLOG,
    IMAGE,
    LONG,
    SHOP,
    claimed,
    go_live,
    intend,
    promotion,
    push,
    rollback,
)

MINUTE = 60.0


@pytest.fixture
def six(ledger: Ledger) -> Ledger:
    """Six releases of the shop, each with a config."""
    for number in range(6):
        ledger.enqueue(push())
        job = claimed(ledger)
        ledger.advance(job.id, job.fence, JobState.RELEASING, image=IMAGE)
        intend(ledger, job, config={"A": Secret(str(number))})
        ledger.go_live(job.id, job.fence, {})
    return ledger


def test_while_an_app_is_held_its_jobs_wait(ledger: Ledger) -> None:
    assert ledger.hold(SHOP, "gc", MINUTE)
    first, other = ledger.enqueue(push()), ledger.enqueue(push(BLOG))
    assert claimed(ledger).id == other.id
    assert ledger.claim("server-2", LONG) is None
    ledger.let_go(SHOP, "another")
    assert ledger.claim("server-2", LONG) is None
    ledger.let_go(SHOP, "gc")
    assert claimed(ledger).id == first.id


def test_an_app_with_a_job_is_not_held_nor_one_that_somebody_holds_nor_one_that_is_gone(
    ledger: Ledger,
) -> None:
    ledger.enqueue(push())
    assert not ledger.hold(SHOP, "gc", MINUTE)
    assert ledger.hold(BLOG, "gc", MINUTE)
    assert not ledger.hold(BLOG, "other", MINUTE)
    ledger.enqueue(push(BLOG))
    assert ledger.hold(BLOG, "gc", MINUTE), "the same holder holds it for longer, whatever waits by now"
    assert not ledger.hold(AppName("gone"), "gc", MINUTE)
    ledger.let_go(AppName("gone"), "gc")


def test_a_hold_that_ran_out_is_none(ledger: Ledger) -> None:
    assert ledger.hold(SHOP, "gc", -1)
    with pytest.raises(LeaseLostError):
        ledger.collect(SHOP, "gc", (1,))
    assert ledger.hold(SHOP, "other", MINUTE)
    with pytest.raises(LeaseLostError):
        ledger.collect(SHOP, "gc", (1,))


def test_a_release_that_is_not_kept_is_listed_and_not_found_and_its_config_is_forgotten(six: Ledger) -> None:
    assert six.hold(SHOP, "gc", MINUTE)
    assert six.collect(SHOP, "gc", (1, 2, 9)) == (2, 1)
    assert six.collect(SHOP, "gc", (1, 2)) == ()
    listed = six.releases(SHOP)
    assert [release.kept for release in listed] == [True, True, True, True, False, False]
    assert [len(release.config) for release in listed] == [1, 1, 1, 1, 0, 0]
    with pytest.raises(NotFoundError, match="v2 is no longer kept"):
        six.release(SHOP, 2)
    six.let_go(SHOP, "gc")
    assert go_live(six).release == 7


def test_the_live_release_and_what_jobs_name_stay(six: Ledger) -> None:
    assert six.hold(SHOP, "gc", MINUTE)
    six.enqueue(rollback())  # to v5
    named = replace(promotion(), app=BLOG, origin=SHOP, number=4)
    job = six.enqueue(named)
    assert six.unended()[-1] == job
    assert six.collect(SHOP, "gc", (1, 4, 5, 6)) == (1,)
    assert six.request_cancel(job.id, "ann").state is JobState.CANCELED
    assert six.collect(SHOP, "gc", (4, 5, 6)) == (4,)


def test_images_are_forgotten_by_the_jobs_that_ended(six: Ledger) -> None:
    assert {job.image for job in six.jobs(SHOP)} == {IMAGE}
    six.forget_images(BLOG, (IMAGE.ref,))
    assert {job.image for job in six.jobs(SHOP)} == {IMAGE}
    six.forget_images(SHOP, (IMAGE.ref,))
    assert {job.image for job in six.jobs(SHOP)} == {None}
    assert six.releases(SHOP)[0].image == IMAGE
