"""Whatever happens to logs and connections, each line comes once and in its log's order."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from gitreceive.errors import ForbiddenError, UnavailableError
from gitreceive.model import LogQuery, LogSource
from gitreceive.tailing import Follower
from tests.tailing.fake_runs import EPOCH, FakeRuns

ALL = LogQuery(lines=1000, follow=True)


@pytest.fixture
def runs() -> FakeRuns:
    return FakeRuns()


class Reader:
    def __init__(self, runs: FakeRuns, query: LogQuery = ALL, streams: int = 48) -> None:
        self.follower = Follower(runs, query, streams)

    def take(self, number: int) -> list[str]:
        return [next(self.follower).text for _ in range(number)]


@pytest.fixture
def reading(runs: FakeRuns) -> Iterator[Callable[..., Reader]]:
    readers: list[Reader] = []

    def read(query: LogQuery = ALL, streams: int = 48) -> Reader:
        readers.append(Reader(runs, query, streams))
        return readers[-1]

    yield read
    for reader in readers:
        reader.follower.close()


Read = Callable[..., Reader]


def test_history_comes_first_and_by_time_and_then_what_is_new(runs: FakeRuns, reading: Read) -> None:
    runs.add("a")
    runs.add("b")
    for n in range(6):
        runs.say("ab"[n % 2], str(n))
    reader = reading(LogQuery(lines=4, follow=True))
    assert reader.take(4) == ["2", "3", "4", "5"]
    runs.say("b", "6")
    assert reader.take(1) == ["6"]


def test_with_no_history_only_what_is_new_comes(runs: FakeRuns, reading: Read) -> None:
    runs.add("a")
    runs.say("a", "old", "older")
    reader = reading(LogQuery(lines=0, follow=True))
    runs.say("a", "new")
    assert reader.take(1) == ["new"]


def test_a_run_that_begins_later_is_followed_from_its_first_line(runs: FakeRuns, reading: Read) -> None:
    runs.add("a")
    runs.say("a", "one")
    reader = reading()
    assert reader.take(1) == ["one"]
    runs.add("b")
    runs.say("b", "two")
    assert reader.take(1) == ["two"]


def test_a_run_that_ended_and_vanished_is_read_to_its_end(runs: FakeRuns, reading: Read) -> None:
    runs.add("a")
    reader = reading()
    runs.say("a", "one")
    assert reader.take(1) == ["one"]
    with runs.changed:  # all at once, as seen from outside
        runs.say("a", "two", "three")
        runs.end("a")
    assert reader.take(2) == ["two", "three"]


def test_a_run_that_had_ended_before_it_was_seen_is_read(runs: FakeRuns, reading: Read) -> None:
    reader = reading()
    with runs.changed:
        runs.add("a")
        runs.say("a", "last words")
        runs.end("a")
    assert reader.take(1) == ["last words"]


def test_a_run_that_starts_again_goes_on_where_it_was(runs: FakeRuns, reading: Read) -> None:
    runs.add("a")
    runs.say("a", "one")
    reader = reading()
    assert reader.take(1) == ["one"]
    runs.end("a")
    runs.start_again("a")
    runs.say("a", "two")
    assert reader.take(1) == ["two"]


@pytest.mark.parametrize("clean", [False, True])
def test_a_connection_that_breaks_off_loses_nothing_and_repeats_nothing(
    clean: bool, runs: FakeRuns, reading: Read
) -> None:
    runs.clean_ends = clean
    runs.add("a")
    reader = reading()
    expected = []
    for n in range(5):
        texts = [f"{n}.{i}" for i in range(50)]
        runs.say("a", *texts[:25])
        runs.break_off()
        runs.say("a", *texts[25:])
        expected += texts
    assert reader.take(250) == expected


def test_lines_of_one_nanosecond_and_equal_lines_are_told_apart(runs: FakeRuns, reading: Read) -> None:
    runs.add("a")
    runs.say("a", "same", "same", "other", at=5)
    reader = reading()
    assert reader.take(3) == ["same", "same", "other"]
    runs.break_off()
    runs.say("a", "same", at=5)
    assert reader.take(1) == ["same"]


def test_times_that_are_not_quite_in_order_lose_no_line(runs: FakeRuns, reading: Read) -> None:
    runs.add("a")
    reader = reading()
    runs.say("a", "stdout", at=2000)
    assert reader.take(1) == ["stdout"]
    runs.break_off()
    runs.say("a", "stderr", at=1000)
    assert reader.take(1) == ["stderr"]


def test_a_log_that_was_rotated_while_the_connection_was_away_goes_on(runs: FakeRuns, reading: Read) -> None:
    runs.add("a")
    reader = reading()
    runs.say("a", *(str(n) for n in range(100)))
    assert len(reader.take(100)) == 100
    runs.failure = UnavailableError("away")
    runs.break_off()
    runs.say("a", "100", "101")
    runs.rotate("a", keep=1)
    runs.failure = None
    assert reader.take(1) == ["101"]


def test_a_target_that_is_away_for_a_while_is_asked_again(runs: FakeRuns, reading: Read) -> None:
    runs.add("a")
    reader = reading()
    runs.failure = UnavailableError("away")
    runs.break_off()
    runs.say("a", "one")
    runs.add("b")
    runs.say("b", "two")
    runs.failure = None
    assert sorted(reader.take(2)) == ["one", "two"]


def test_what_is_past_asking_again_is_raised(runs: FakeRuns, reading: Read) -> None:
    reader = reading()
    runs.failure = ForbiddenError("no")
    with pytest.raises(ForbiddenError):
        reader.take(1)


def test_many_logs_are_followed_over_few_connections(runs: FakeRuns, reading: Read) -> None:
    for n in range(12):
        runs.add(str(n))
        runs.say(str(n), f"{n} old")
    reader = reading(streams=4)
    assert len(set(reader.take(12))) == 12
    for n in range(12):
        runs.say(str(n), f"{n} new")
    assert sorted(reader.take(12)) == sorted(f"{n} new" for n in range(12))
    assert runs.most_streams <= 4


def test_only_what_is_asked_for_is_opened(runs: FakeRuns, reading: Read) -> None:
    runs.add("a")
    runs.add("b", "worker")
    runs.add("c", "tidy", LogSource.CRON)
    for log in "abc":
        runs.say(log, log)
    reader = reading(LogQuery(process="worker", follow=True))
    assert reader.take(1) == ["b"]
    by_instance = reading(LogQuery(process="web.a", follow=True))
    assert by_instance.take(1) == ["a"]
    cron = reading(LogQuery(sources=frozenset({LogSource.CRON}), follow=True))
    assert cron.take(1) == ["c"]
    assert [runs.logs[log].opened > 0 for log in "abc"] == [True, True, True]


def test_a_reader_that_knows_how_far_it_was_goes_on_there(runs: FakeRuns, reading: Read) -> None:
    runs.add("a")
    runs.say("a", "known", at=0)
    runs.say("a", "again?", at=10**9)
    runs.say("a", "new", at=2 * 10**9)
    reader = reading(LogQuery(lines=None, follow=True, after={"a": EPOCH + 10**9}))
    assert reader.take(2) == ["again?", "new"]  # within the overlap, it may come twice


def test_closing_wakes_who_waits(runs: FakeRuns) -> None:
    runs.add("a")
    with closing(Follower(runs, ALL)) as follower:
        threading.Timer(0.05, follower.close).start()
        assert list(follower) == []


def test_a_run_that_came_to_its_end_is_not_asked_again_before_that_is_known(
    runs: FakeRuns, reading: Read
) -> None:
    runs.late_seconds, runs.clean_ends = 60.0, True
    runs.add("a")
    runs.say("a", "one")
    reader = reading()
    assert reader.take(1) == ["one"]
    while not runs.streams:
        runs.wait(0.02)
    opened = runs.logs["a"].opened
    runs.break_off()
    while runs.streams:
        runs.wait(0.02)
    runs.say("a", "the last")
    time.sleep(0.6)  # three times the pause after which another is asked again
    assert runs.logs["a"].opened == opened
    runs.end("a")
    assert reader.take(1) == ["the last"]
