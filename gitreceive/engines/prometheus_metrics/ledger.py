"""What the ledger knows, asked for when Prometheus asks. What is counted there goes on over restarts."""

import threading
from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gitreceive.errors import GitreceiveError
from gitreceive.model import JobState, LedgerMeasures, Outcome
from gitreceive.ports import MeasuredLedger


class LedgerFamilies(Collector):
    """Without the ledger, there is one family alone: that it does not answer."""

    def __init__(self, ledger: MeasuredLedger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._events: Counter[tuple[str, Outcome]] = Counter()
        self._newest = 0

    def describe(self) -> Iterator[Metric]:
        """Nothing is asked of the ledger for it."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        answers = GaugeMetricFamily("gitreceive_ledger_up", "1 where the ledger has answered this request.")
        try:
            with self._lock:
                found = self._ledger.measures(self._newest)
                self._events.update(found.events)
                self._newest = found.newest_event
                events = dict(self._events)
        except GitreceiveError:
            answers.add_metric([], 0)
            yield answers
            return
        answers.add_metric([], 1)
        yield answers
        yield from _standing(found)
        happened = CounterMetricFamily(
            "gitreceive_events",
            "Events in the ledger, by what was done and its outcome.",
            labels=["verb", "outcome"],
        )
        for (verb, outcome), number in sorted(events.items()):
            happened.add_metric([verb, outcome.value], number)
        yield happened


def _standing(found: LedgerMeasures) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("gitreceive_jobs", "Jobs that have not ended, by state.", labels=["state"])
    for state in JobState:
        if not state.ended:
            jobs.add_metric([state.value], found.jobs.get(state, 0))
    yield jobs
    yield GaugeMetricFamily(
        "gitreceive_queue_oldest_seconds",
        "Age of the job that has been queued for longest; 0 where none is.",
        value=found.oldest_queued_seconds,
    )
    yield GaugeMetricFamily("gitreceive_apps", "Apps that there are.", value=found.apps)
    if found.size is not None:
        yield GaugeMetricFamily("gitreceive_ledger_bytes", "What the ledger takes on disk.", value=found.size)
