"""How many jobs may wait: of an app, of a user, of all."""

from collections.abc import Iterator

import pytest

from gitreceive.errors import UnavailableError
from gitreceive.model import AppName, JobState, QueueLimits
from gitreceive.ports import Ledger
from tests.engines.ledger.words import ANN, BLOG, BOB, SHOP, claimed, opened, push, redeploy
from tests.fake_ledger import FakeLedger

FEW = QueueLimits(all=4, of_user=3, of_app=2)


@pytest.fixture(params=["fake", "sqlite", "postgresql"])
def small(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    if request.param == "fake":
        ledger: Ledger = FakeLedger(queue=FEW)
        made = None
    else:
        ledger = made = opened(request.getfixturevalue(f"{request.param}_url"), FEW)
    ledger.create_app(SHOP, ANN, "main")
    ledger.create_app(BLOG, BOB, "main")
    yield ledger
    if made:
        made.close()


def test_an_app_has_no_more_jobs_than_it_may_whoever_asks(small: Ledger) -> None:
    small.enqueue(push(SHOP, ANN))
    small.enqueue(redeploy(SHOP, BOB))
    with pytest.raises(UnavailableError, match="shop has 2 builds in the queue already") as full:
        small.enqueue(push(SHOP, BOB))
    assert "builds list --app shop" in full.value.hint
    assert "limits.app_queue" in full.value.hint
    assert len(small.jobs()) == 2
    small.enqueue(push(BLOG, BOB))


def test_a_user_has_no_more_jobs_than_they_may_over_all_apps(small: Ledger) -> None:
    small.create_app(AppName("third"), ANN, "main")
    for app in (SHOP, SHOP, BLOG):
        small.enqueue(push(app, ANN))
    with pytest.raises(UnavailableError, match=r"ann has 3 .* nothing was changed") as full:
        small.enqueue(push(AppName("third"), ANN))
    assert "limits.user_queue" in full.value.hint
    small.enqueue(push(AppName("third"), BOB))


def test_the_server_has_no_more_jobs_than_it_may(small: Ledger) -> None:
    for name in ("third", "fourth"):
        small.create_app(AppName(name), ANN, "main")
    for app, user in ((SHOP, ANN), (BLOG, ANN), (SHOP, BOB), (BLOG, BOB)):
        small.enqueue(push(app, user))
    with pytest.raises(UnavailableError, match="the server has 4 builds in the queue already") as full:
        small.enqueue(push(AppName("third"), ANN))
    assert "limits.queue" in full.value.hint


def test_a_job_that_has_ended_makes_room(small: Ledger) -> None:
    for _ in range(FEW.of_app):
        small.enqueue(push(SHOP, ANN))
    job = claimed(small)
    small.end(job.id, job.fence, JobState.FAILED, "", {})
    small.enqueue(push(SHOP, ANN))
