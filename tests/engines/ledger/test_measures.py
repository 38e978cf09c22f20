"""What can be counted of the ledger."""

from gitreceive.model import JobState, Outcome
from gitreceive.ports import Ledger
from tests.engines.ledger.words import ANN, BLOG, BOB, LONG, SHOP, claimed, opened, push


def test_an_empty_ledger_has_nothing_to_count(empty: Ledger) -> None:
    found = empty.measures(0)
    assert (found.jobs, found.oldest_queued_seconds, found.apps, found.events) == ({}, 0, 0, {})
    assert found.newest_event == 0


def test_jobs_that_have_not_ended_are_counted_by_state(ledger: Ledger) -> None:
    ledger.enqueue(push())
    ledger.enqueue(push())
    ledger.enqueue(push(BLOG, BOB))
    job = claimed(ledger)
    ledger.advance(job.id, job.fence, JobState.BUILDING)
    found = ledger.measures(0)
    assert found.jobs == {JobState.QUEUED: 2, JobState.BUILDING: 1}
    assert found.apps == 2
    assert 0 <= found.oldest_queued_seconds < LONG
    ledger.end(job.id, job.fence, JobState.FAILED, "no", {})
    assert ledger.measures(0).jobs == {JobState.QUEUED: 2}


def test_events_are_counted_once_whatever_becomes_of_the_app(ledger: Ledger) -> None:
    first = ledger.measures(0)
    assert first.events == {("apps create", Outcome.DONE): 2}
    job = ledger.enqueue(push())
    ledger.request_cancel(job.id, "ann")
    ledger.delete_app(SHOP)
    found = ledger.measures(first.newest_event)
    assert found.events[("push", Outcome.DONE)] == 1
    assert found.events[("build", Outcome.FAILED)] == 1
    assert found.newest_event == ledger.newest_event()
    again = ledger.measures(found.newest_event)
    assert (again.events, again.newest_event) == ({}, found.newest_event)
    assert sum(ledger.measures(0).events.values()) == sum(first.events.values()) + sum(found.events.values())


def test_a_ledger_that_is_kept_somewhere_knows_its_size(url: str) -> None:
    book = opened(url)
    try:
        size = book.measures(0).size
        book.create_app(SHOP, ANN, "main")
        assert size is not None
        assert size > 10_000
    finally:
        book.close()
