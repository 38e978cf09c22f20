"""Jobs: order, leases, fences, cancels."""

import time
from collections.abc import Iterator

import pytest

from gitreceive.errors import (
    ConflictError,
    LeaseLostError,
    NotFoundError,
    UsageError,
)
from gitreceive.model import (
    AppName,
    JobId,
    JobState,
)
from gitreceive.ports import Ledger
from tests.engines.ledger.words import (
    ANN,
    BLINK,
    BLOG,
    BOB,
    IMAGE,
    LONG,
    SHOP,
    claimed,
    intend,
    promotion,
    push,
    rebase,
    redeploy,
    rollback,
    settings_change,
)


def test_a_job_is_read_as_it_was_enqueued(ledger: Ledger) -> None:
    job = ledger.enqueue(push())
    assert (job.cause, job.state, job.fence) == (push(), JobState.QUEUED, 0)
    assert (job.started_at, job.ended_at, job.image, job.release) == (None, None, None, None)
    assert ledger.job(job.id) == job
    with pytest.raises(NotFoundError, match="999"):
        ledger.job(JobId(999))


def test_a_job_without_a_push_stands_in_the_same_queue(ledger: Ledger) -> None:
    first, second = ledger.enqueue(push()), ledger.enqueue(rebase())
    assert (second.cause, second.app, second.user) == (rebase(), SHOP, ANN)
    assert second.title == "rebase to bookworm 2"
    assert ledger.job(second.id) == second
    assert [job.id for job in ledger.in_line()] == [first.id, second.id]
    assert claimed(ledger).id == first.id
    assert ledger.claim("server-2", LONG) is None


def test_what_a_job_was_asked_for_is_read_as_it_was_written(ledger: Ledger) -> None:
    for cause in (push(), rebase(), rollback(), redeploy(), promotion(), settings_change()):
        job = ledger.enqueue(cause)
        assert (job.cause, ledger.job(job.id)) == (cause, job)


def test_jobs_are_listed_newest_first(ledger: Ledger) -> None:
    ids = [ledger.enqueue(push(app)).id for app in (SHOP, BLOG, SHOP, SHOP)]
    assert [job.id for job in ledger.jobs()] == ids[::-1]
    assert [job.id for job in ledger.jobs(SHOP, limit=2)] == [ids[3], ids[2]]


def test_those_in_line_are_the_unended_ones_oldest_first(ledger: Ledger) -> None:
    first, second, third = (ledger.enqueue(push(app)) for app in (SHOP, BLOG, SHOP))
    held = claimed(ledger)
    ledger.advance(held.id, held.fence, JobState.BUILDING)
    ledger.request_cancel(third.id, "ann")
    begun, waiting = ledger.in_line()
    assert (begun.id, begun.app, begun.user, begun.state) == (first.id, SHOP, ANN, JobState.BUILDING)
    assert begun.since == held.started_at
    assert (waiting.id, waiting.app, waiting.state) == (second.id, BLOG, JobState.QUEUED)
    assert waiting.since == second.created_at


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In another time zone."""
    with monkeypatch.context() as there:
        there.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("elsewhere")
def test_when_a_job_was_begun_is_so_wherever_the_server_stands(ledger: Ledger) -> None:
    first = ledger.enqueue(push())
    held = claimed(ledger)
    assert held.started_at
    assert abs((held.started_at - first.created_at).total_seconds()) < 60
    assert ledger.in_line()[0].since == held.started_at


def test_jobs_of_one_app_are_claimed_one_at_a_time_in_push_order(ledger: Ledger) -> None:
    first, second = ledger.enqueue(push()), ledger.enqueue(push())
    held = claimed(ledger)
    assert (held.id, held.fence) == (first.id, 1)
    assert held.started_at
    assert ledger.claim("server-2", LONG) is None
    ledger.end(held.id, held.fence, JobState.FAILED, "broken", {})
    assert claimed(ledger).id == second.id


def test_users_take_turns(ledger: Ledger) -> None:
    for name in ("a1", "a2", "a3"):
        ledger.create_app(AppName(name), ANN, "main")
    first, second, third = (ledger.enqueue(push(AppName(name))).id for name in ("a1", "a2", "a3"))
    bobs = ledger.enqueue(push(BLOG, BOB)).id
    assert [claimed(ledger).id for _ in range(4)] == [first, bobs, second, third]
    assert ledger.claim("server-1", LONG) is None


def test_users_take_turns_also_where_only_one_job_is_worked_on_at_a_time(ledger: Ledger) -> None:
    """Whoever came first with many does not keep a later one waiting until all of them are done."""
    for number in range(4):
        ledger.create_app(AppName(f"a{number}"), ANN, "main")
        ledger.enqueue(push(AppName(f"a{number}")))
    for name in ("b1", "b2"):
        ledger.create_app(AppName(name), BOB, "main")
        ledger.enqueue(push(AppName(name), BOB))
    served = []
    for _ in range(6):
        job = claimed(ledger)
        served.append(job.app)
        ledger.end(job.id, job.fence, JobState.FAILED, "", {})
        time.sleep(0.002)  # databases know thousandths of a second
    assert served == ["a0", "b1", "a1", "b2", "a2", "a3"]


def test_what_a_dead_server_left_comes_first_and_with_a_new_fence(ledger: Ledger) -> None:
    ledger.create_app(AppName("a1"), BOB, "main")
    waiting = ledger.enqueue(push(AppName("a1"), BOB))
    ledger.end(waiting.id, claimed(ledger).fence, JobState.FAILED, "", {})
    left = ledger.enqueue(push())
    held = claimed(ledger, BLINK)
    ledger.advance(left.id, held.fence, JobState.BUILDING)
    ledger.enqueue(push(AppName("a1"), BOB))
    time.sleep(BLINK * 2)
    taken = claimed(ledger)
    assert (taken.id, taken.fence, taken.state) == (left.id, held.fence + 1, JobState.BUILDING)
    assert taken.started_at == held.started_at


def test_whoever_lost_the_lease_records_nothing_any_more(ledger: Ledger) -> None:
    job = ledger.enqueue(push())
    old = claimed(ledger, BLINK)
    time.sleep(BLINK * 2)
    new = claimed(ledger)
    with pytest.raises(LeaseLostError):
        ledger.renew(job.id, old.fence, LONG)
    with pytest.raises(LeaseLostError):
        ledger.advance(job.id, old.fence, JobState.PUBLISHING)
    with pytest.raises(LeaseLostError):
        ledger.end(job.id, old.fence, JobState.FAILED, "", {})
    with pytest.raises(LeaseLostError):
        intend(ledger, old)
    with pytest.raises(LeaseLostError):
        ledger.go_live(job.id, old.fence, {})
    assert ledger.job(job.id) == new


def test_what_a_holder_hands_over_is_claimed_at_once_and_it_records_nothing_of_it_any_more(
    ledger: Ledger,
) -> None:
    theirs, left = ledger.enqueue(push(BLOG, BOB)), ledger.enqueue(push())
    assert ledger.claim("server-2", LONG)
    held = claimed(ledger)
    ledger.advance(left.id, held.fence, JobState.BUILDING)
    assert ledger.hand_over("server-1") == (left.id,)
    with pytest.raises(LeaseLostError):
        ledger.end(left.id, held.fence, JobState.FAILED, "the engine is closed", {})
    taken = ledger.claim("server-3", LONG)
    assert taken
    assert (taken.id, taken.state, taken.fence > held.fence) == (left.id, JobState.BUILDING, True)
    assert ledger.hand_over("server-1") == ()
    assert ledger.job(theirs.id).fence == 1


def test_a_job_that_has_ended_is_not_handed_over(ledger: Ledger) -> None:
    ledger.enqueue(push())
    job = claimed(ledger)
    ended = ledger.end(job.id, job.fence, JobState.FAILED, "broken", {})
    assert ledger.hand_over("server-1") == ()
    assert ledger.job(job.id) == ended


def test_a_lease_that_ran_out_is_still_held_while_nobody_else_claimed_it(ledger: Ledger) -> None:
    ledger.enqueue(push())
    job = claimed(ledger, BLINK)
    time.sleep(BLINK * 2)
    ledger.renew(job.id, job.fence, LONG)
    assert ledger.claim("server-2", LONG) is None


def test_a_renewal_shows_who_asked_to_cancel(ledger: Ledger) -> None:
    ledger.enqueue(push())
    job = claimed(ledger)
    ledger.advance(job.id, job.fence, JobState.BUILDING)
    asked = ledger.request_cancel(job.id, "bob")
    assert (asked.state, asked.cancel_requested_by) == (JobState.BUILDING, "bob")
    ledger.request_cancel(job.id, "ann")
    assert ledger.renew(job.id, job.fence, LONG).cancel_requested_by == "bob"


def test_a_queued_job_is_canceled_at_once(ledger: Ledger) -> None:
    first, second = ledger.enqueue(push()), ledger.enqueue(push())
    canceled = ledger.request_cancel(first.id, "bob")
    assert (canceled.state, canceled.reason) == (JobState.CANCELED, "canceled by bob")
    assert canceled.ended_at
    assert claimed(ledger).id == second.id
    with pytest.raises(ConflictError, match="canceled"):
        ledger.request_cancel(first.id, "bob")


def test_a_job_canceled_before_its_first_step_is_lost_to_its_holder(ledger: Ledger) -> None:
    ledger.enqueue(push())
    job = claimed(ledger)
    assert ledger.request_cancel(job.id, "bob").state is JobState.CANCELED
    with pytest.raises(LeaseLostError):
        ledger.advance(job.id, job.fence, JobState.BUILDING)


def test_advancing_keeps_the_image_once_it_is_known(ledger: Ledger) -> None:
    ledger.enqueue(push())
    job = claimed(ledger)
    ledger.advance(job.id, job.fence, JobState.RELEASING, image=IMAGE)
    ledger.advance(job.id, job.fence, JobState.ROLLING_OUT)
    found = ledger.job(job.id)
    assert (found.state, found.image) == (JobState.ROLLING_OUT, IMAGE)


def test_an_ended_job_keeps_its_reason_and_seconds_and_cannot_go_on(ledger: Ledger) -> None:
    ledger.enqueue(push())
    job = claimed(ledger)
    ended = ledger.end(job.id, job.fence, JobState.FAILED, "pip failed", {"build": 1.25})
    assert (ended.state, ended.reason, ended.seconds) == (JobState.FAILED, "pip failed", {"build": 1.25})
    assert ended.ended_at
    assert ledger.job(job.id) == ended
    with pytest.raises(LeaseLostError):
        ledger.advance(job.id, job.fence, JobState.BUILDING)
    with pytest.raises(LeaseLostError):
        ledger.renew(job.id, job.fence, LONG)


def test_no_reason_is_too_strange_to_be_recorded(ledger: Ledger) -> None:
    ledger.enqueue(push())
    job = claimed(ledger)
    ended = ledger.end(job.id, job.fence, JobState.FAILED, "file \udcff\0 ✗ 'quoted'", {})
    assert ledger.job(job.id) == ended
    assert "✗ 'quoted'" in ended.reason


def test_only_going_live_makes_a_job_live(ledger: Ledger) -> None:
    ledger.enqueue(push())
    job = claimed(ledger)
    with pytest.raises(UsageError):
        ledger.end(job.id, job.fence, JobState.LIVE, "", {})
    with pytest.raises(UsageError):
        ledger.advance(job.id, job.fence, JobState.LIVE)
    with pytest.raises(ConflictError):
        ledger.go_live(job.id, job.fence, {})
    assert ledger.job(job.id).state is JobState.QUEUED
