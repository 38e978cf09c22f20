"""Processes and builds under one roof, until the app goes."""

import threading
from collections.abc import Iterator

import pytest

from gitreceive.applogs import AppLogs
from gitreceive.errors import RolloutError
from gitreceive.model import AppName, CommitId, JobState, LogQuery, LogSource, Push, PushOptions, UserName
from gitreceive.tailing import Follower, read
from tests.fake_ledger import FakeLedger
from tests.fake_logbook import FakeLogBook
from tests.fakes import FakeTarget
from tests.tailing.fake_runs import FakeRuns

ALL = frozenset(LogSource)
PUSH = Push(
    AppName("shop"),
    UserName("ada"),
    "refs/heads/main",
    CommitId("0" * 40),
    CommitId("a" * 40),
    PushOptions(),
)


class Printing(FakeTarget):
    """A target whose containers print."""

    def __init__(self, runs: FakeRuns) -> None:
        super().__init__()
        self.runs = runs

    def logs(self, app: AppName, query: LogQuery) -> Iterator:  # type: ignore[type-arg]
        return Follower(self.runs, query) if query.follow else iter(read(self.runs, query))


class Place:
    def __init__(self) -> None:
        self.runs, self.ledger, self.logbook = FakeRuns(), FakeLedger(), FakeLogBook()
        self.app = self.ledger.create_app(AppName("shop"), UserName("ada"), "main")
        self.logs = AppLogs(self.app, Printing(self.runs), self.ledger, self.logbook)

    def build(self, *lines: str) -> int:
        job = self.ledger.enqueue(PUSH)
        self.say(job.id, *lines)
        return job.id

    def say(self, job: int, *lines: str) -> None:
        self.logbook.append(job, "".join(f"{line}\n" for line in lines).encode())  # type: ignore[arg-type]

    def end(self, job: int) -> None:
        held = self.ledger.claim("tests", 60)
        assert held
        assert held.id == job
        self.ledger.end(held.id, held.fence, JobState.FAILED, "", {})


@pytest.fixture
def place() -> Place:
    return Place()


def test_processes_and_builds_are_one_log(place: Place) -> None:
    place.runs.add("a")
    place.runs.say("a", "one", "two")
    place.build("-----> Building")
    everything = place.logs.read(LogQuery(sources=ALL))
    assert [line.text for line in everything] == ["one", "two", "-----> Building"]
    assert [line.text for line in place.logs.read(LogQuery())] == ["one", "two"]
    assert [line.text for line in place.logs.read(LogQuery(lines=2, sources=ALL))] == [
        "two",
        "-----> Building",
    ]


def test_a_build_that_begins_while_it_is_followed_is_followed(place: Place) -> None:
    place.end(place.build("old build"))
    place.runs.add("a")
    place.runs.say("a", "old line")
    following = place.logs.follow(LogQuery(sources=ALL))
    assert {next(following).text for _ in range(2)} == {"old build", "old line"}
    job = place.build("new build")
    assert next(following).text == "new build"
    place.say(job, "more")
    place.runs.say("a", "new line")
    assert {next(following).text for _ in range(2)} == {"more", "new line"}
    following.close()
    assert list(following) == []


def test_one_build_is_followed_to_its_end(place: Place) -> None:
    job = place.build("first")
    following = place.logs.follow(LogQuery(sources=ALL, job=job))  # type: ignore[arg-type]
    assert next(following).text == "first"
    place.say(job, "last")
    place.end(job)
    assert [line.text for line in following] == ["last"]


def test_following_ends_when_the_app_is_destroyed_and_also_if_another_takes_its_name(place: Place) -> None:
    place.runs.add("a")
    for again in (False, True):
        following = place.logs.follow(LogQuery(sources=ALL))
        place.ledger.delete_app(AppName("shop"))
        if again:
            place.ledger.create_app(AppName("shop"), UserName("eve"), "main")
        assert list(following) == []
        assert not place.logs.is_there()
        if not again:
            place.logs.app = place.ledger.create_app(AppName("shop"), UserName("ada"), "main")


def test_a_target_that_refuses_is_heard(place: Place) -> None:
    following = place.logs.follow(LogQuery())
    place.runs.failure = RolloutError("forbidden")
    with pytest.raises(RolloutError):
        next(following)


def test_what_is_known_of_jobs_is_not_told_again(place: Place) -> None:
    first, second = place.build("a", "b"), place.build("c")
    query = LogQuery(lines=None, sources=ALL, jobs_after=0, after={f"job/{first}": 2})
    following = place.logs.follow(query)
    got = [next(following) for _ in range(2)]
    assert [(line.text, line.log, line.position) for line in got] == [
        ("b", f"job/{first}", 4),
        ("c", f"job/{second}", 2),
    ]
    following.close()
    later = place.logs.follow(LogQuery(lines=None, sources=ALL, jobs_after=second))
    timer = threading.Timer(0.5, later.close)
    timer.start()
    assert list(later) == []
    timer.join()
