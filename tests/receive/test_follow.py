"""A job's log as it grows: what is said, and how often it is looked."""

from dataclasses import dataclass, field

import pytest

from gitreceive.model import ZERO_COMMIT as ZERO
from gitreceive.model import AppName, CommitId, InLine, Job, JobState, Push, PushOptions, UserName
from gitreceive.receive.follow import Line, follow
from gitreceive.voice import Voice
from tests.fake_ledger import FakeLedger
from tests.fake_logbook import FakeLogBook

SHOP, ANN = AppName("shop"), UserName("ann")


@dataclass
class Course:
    """Who watches, by whose waiting the time goes on: the job begins after ``queued`` looks, and ends after as many more."""

    ledger: FakeLedger
    logbook: FakeLogBook
    job: Job
    queued: int
    heard: bytes = b""
    waits: list[float] = field(default_factory=list)

    def line(self) -> Line:
        """Of a clock that goes on by the waiting alone."""
        return Line(self.ledger, lambda: sum(self.waits))

    def say(self, output: bytes) -> None:
        self.heard += output

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        if len(self.waits) == self.queued:
            held = self.ledger.claim("server", 60)
            assert held
            self.job = self.ledger.advance(held.id, held.fence, JobState.BUILDING)
            self.logbook.append(held.id, b"begun\n")
        elif len(self.waits) == 2 * self.queued:
            self.logbook.append(self.job.id, b"broken\n")
            self.ledger.end(self.job.id, self.job.fence, JobState.FAILED, "broken", {})


def course(queued: int) -> Course:
    ledger = FakeLedger()
    ledger.create_app(SHOP, ANN, "main")
    push = Push(SHOP, ANN, "refs/heads/main", ZERO, CommitId("a" * 40), PushOptions())
    return Course(ledger, FakeLogBook(), ledger.enqueue(push), queued)


def test_a_job_that_waits_is_looked_at_less_and_less_and_one_that_runs_often() -> None:
    watched = course(queued=40)
    ended = follow(watched.job, watched.ledger, watched.logbook, Voice(watched.say), watched, watched.line())
    assert (ended.state, watched.heard) == (JobState.FAILED, b"begun\nbroken\n")
    waiting, running = watched.waits[:40], watched.waits[40:]
    assert waiting == sorted(waiting)
    assert waiting[-1] == 1.0
    assert max(running[3:]) <= 0.2


def test_many_who_wait_look_at_the_ledger_once_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = course(queued=1000)
    behind = [watched.ledger.enqueue(watched.job.cause) for _ in range(30)]
    line, looks = watched.line(), 0
    counted = watched.ledger.in_line

    def in_line() -> tuple[InLine, ...]:
        nonlocal looks
        looks += 1
        return counted()

    monkeypatch.setattr(watched.ledger, "in_line", in_line)
    for _ in range(10):
        for number, job in enumerate(behind, 1):
            place = line.place(job.id)
            assert place is not None
            assert line.ahead(place)[0].id == watched.job.id
            assert len(line.ahead(place)) == number
        watched.wait(0.06)
    assert looks == 5


def test_what_takes_long_to_see_is_looked_at_more_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = course(queued=1000)
    counted = watched.ledger.in_line

    def in_line() -> tuple[InLine, ...]:
        watched.wait(2.0)
        return counted()

    line = watched.line()
    monkeypatch.setattr(watched.ledger, "in_line", in_line)
    line.place(watched.job.id)
    looked = len(watched.waits)
    watched.wait(19.0)
    line.place(watched.job.id)
    assert len(watched.waits) == looked + 1
    watched.wait(1.5)
    line.place(watched.job.id)
    assert len(watched.waits) == looked + 3
