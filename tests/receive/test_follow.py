"""A job's log as it grows: what is said, and how often it is looked."""

from contextlib import ExitStack
from dataclasses import dataclass, field

from gitreceive.model import ZERO_COMMIT as ZERO
from gitreceive.model import AppName, CommitId, Job, JobState, Push, PushOptions, UserName
from gitreceive.receive.follow import Pace, follow
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
    ended = follow(watched.job, watched.ledger, watched.logbook, Voice(watched.say), watched)
    assert (ended.state, watched.heard) == (JobState.FAILED, b"begun\nbroken\n")
    waiting, running = watched.waits[:40], watched.waits[40:]
    assert waiting == sorted(waiting)
    assert waiting[-1] == 1.0
    assert max(running) <= 0.2


def test_many_who_wait_look_as_often_together_as_few_do() -> None:
    watched, pace = course(queued=60), Pace()
    with ExitStack() as others:
        for _ in range(199):
            others.enter_context(pace.kept())
        follow(watched.job, watched.ledger, watched.logbook, Voice(watched.say), watched, pace)
    assert watched.waits[59] == 4.0  # 50 looks a second, of 200
    assert max(watched.waits[60:]) <= 0.2
    assert pace.seconds == 1.0
