"""Lines reach their receivers whatever the receivers and the server go through; no sockets here."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from gitreceive.drains import DrainService, read_status
from gitreceive.drains.receiving import Entry
from gitreceive.drains.sending import Pace
from gitreceive.errors import ConfigError, UnavailableError
from gitreceive.model import AppName, Drain, JobState, Secret, UserName
from tests.fake_ledger import FakeLedger
from tests.fake_logbook import FakeLogBook
from tests.tailing.fake_runs import FakeRuns
from tests.test_applogs import PUSH, Printing

SHOP, ADA = AppName("shop"), UserName("ada")
URL = Secret("https://logs.example.com/in")
PACE = Pace(pause=0.01, look=0.01)


class Away:
    """A receiver. ``away``: nothing gets through. ``loses``: it takes so many batches and breaks off before they are settled."""

    def __init__(self) -> None:
        self.got: list[Entry] = []
        self.away = False
        self.loses = 0
        self.settle_seconds = 0.0
        self._unsettled: list[Entry] = []

    def send(self, entries: Sequence[Entry]) -> int:
        if self.away:
            raise UnavailableError("connection refused")
        if self.loses:
            self._unsettled = list(entries)
            return len(entries)
        self.got += entries
        return len(entries)

    def check(self) -> bool:
        if self._unsettled:
            self._unsettled = []
            self.loses -= 1
            raise UnavailableError("broke off")
        return True

    def probe(self) -> None: ...

    def close(self) -> None: ...

    @property
    def texts(self) -> list[str]:
        return [entry["text"] for entry in self.got if entry["source"] != "drain"]


class Place:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs, self.ledger, self.logbook = FakeRuns(), FakeLedger(), FakeLogBook()
        self.ledger.create_app(SHOP, ADA, "main")
        self.receiver = Away()
        self.refusal: ConfigError | None = None
        self.service = self.new_service()

    def new_service(self, spool_bytes: int = 1 << 20) -> DrainService:
        target = Printing(self.runs)
        return DrainService(self.folder, target, self.ledger, self.logbook, self.receive, spool_bytes, PACE)

    def receive(self, _drain: Drain) -> Away:
        if self.refusal:
            raise self.refusal
        return self.receiver

    def restart(self, spool_bytes: int = 1 << 20) -> None:
        self.service.stop()
        self.service = self.new_service(spool_bytes)
        self.service.start()

    def add(self) -> Drain:
        return self.ledger.add_drain(SHOP, ADA, URL, {})

    def say(self, *texts: str) -> None:
        """Now, by the clock that drains begin by."""
        with self.runs.changed:
            for text in texts:
                self.runs.logs["a"].lines.append((time.time_ns(), text.encode()))
            self.runs.changed.notify_all()

    def arrive(self, *texts: str) -> None:
        eventually(lambda: set(texts) <= set(self.receiver.texts), lambda: self.receiver.texts)


def eventually(seen: Callable[[], bool], shown: Callable[[], object]) -> None:
    for _ in range(1000):
        if seen():
            return
        time.sleep(0.01)
    raise AssertionError(shown())


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    place.runs.add("a")
    place.service.start()
    yield place
    place.service.stop()


def test_lines_are_sent_from_when_a_drain_is_added(place: Place) -> None:
    place.runs.say("a", "long ago")
    drain = place.add()
    place.say("one", "two")
    place.arrive("one", "two")
    assert place.receiver.texts == ["one", "two"]
    assert {key: place.receiver.got[0][key] for key in ("app", "source", "process", "instance")} == {
        "app": "shop",
        "source": "app",
        "process": "web",
        "instance": "web.a",
    }
    eventually(
        lambda: read_status(place.folder, drain.id).delivered == 2,
        lambda: read_status(place.folder, drain.id),
    )
    assert read_status(place.folder, drain.id).state == "delivering"


def test_a_receiver_that_is_away_gets_all_when_it_is_back_and_in_order(place: Place) -> None:
    drain = place.add()
    place.say("before")
    place.arrive("before")
    place.receiver.away = True
    texts = [str(n) for n in range(1500)]
    place.say(*texts)
    eventually(
        lambda: read_status(place.folder, drain.id).state == "retrying",
        lambda: read_status(place.folder, drain.id),
    )
    assert read_status(place.folder, drain.id).error == "connection refused"
    place.receiver.away = False
    place.arrive(*texts)
    assert place.receiver.texts == ["before", *texts]


def test_what_was_sent_and_not_settled_is_sent_again(place: Place) -> None:
    place.receiver.settle_seconds = 0.05
    place.receiver.loses = 2
    place.add()
    place.say("one", "two", "three")
    place.arrive("one", "two", "three")
    assert place.receiver.texts[-3:] == ["one", "two", "three"]


def test_a_server_that_restarts_loses_nothing_neither_read_nor_unread(place: Place) -> None:
    place.add()
    place.say("one")
    place.arrive("one")
    place.receiver.away = True
    place.say("waits on the disk")
    place.service.stop()
    place.say("printed while no server ran")
    place.receiver.away = False
    place.service = place.new_service()
    place.service.start()
    place.arrive("waits on the disk", "printed while no server ran")
    assert sorted(set(place.receiver.texts)) == ["one", "printed while no server ran", "waits on the disk"]


def test_builds_and_release_commands_are_sent_too(place: Place) -> None:
    place.add()
    job = place.ledger.enqueue(PUSH)
    place.logbook.append(job.id, b"-----> Building\n")
    place.arrive("-----> Building")
    place.restart()
    place.logbook.append(job.id, b"-----> v1 is live\n")
    held = place.ledger.claim("tests", 60)
    assert held
    place.ledger.end(job.id, held.fence, JobState.FAILED, "", {})
    place.arrive("-----> v1 is live")
    assert place.receiver.texts.count("-----> Building") == 1
    assert {entry["source"] for entry in place.receiver.got} == {"build"}


def test_past_the_bound_the_oldest_is_lost_and_that_is_said(place: Place) -> None:
    place.restart(spool_bytes=64 << 10)
    place.receiver.away = True
    drain = place.add()
    texts = [f"{n} {'x' * 200}" for n in range(2000)]
    place.say(*texts)
    eventually(
        lambda: read_status(place.folder, drain.id).dropped > 0, lambda: read_status(place.folder, drain.id)
    )
    place.receiver.away = False
    place.arrive(texts[-1])
    dropped = read_status(place.folder, drain.id).dropped
    said = [entry["text"] for entry in place.receiver.got if entry["source"] == "drain"]
    assert dropped
    assert said
    assert "lines were lost" in said[0]
    lost = sum(int(text.split()[0]) for text in said)
    assert lost + len(set(place.receiver.texts)) >= len(texts)


def test_a_drain_that_is_removed_gets_no_more_and_leaves_nothing(place: Place) -> None:
    drain = place.add()
    place.say("one")
    place.arrive("one")
    place.ledger.remove_drain(SHOP, drain.id)
    eventually(
        lambda: not list((place.folder / "drains").glob("*")),
        lambda: list((place.folder / "drains").glob("*")),
    )
    place.say("two")
    assert place.receiver.texts == ["one"]


def test_a_receiver_that_cannot_be_set_up_is_told_and_tried_again(place: Place) -> None:
    place.refusal = ConfigError("drains.ca_bundle cannot be read")
    drain = place.add()
    eventually(
        lambda: "ca_bundle" in read_status(place.folder, drain.id).error,
        lambda: read_status(place.folder, drain.id),
    )
    place.refusal = None
    place.say("one")
    place.arrive("one")


def test_an_app_of_the_same_name_begins_anew(place: Place) -> None:
    place.add()
    place.say("one")
    place.arrive("one")
    place.ledger.delete_app(SHOP)
    place.ledger.create_app(SHOP, ADA, "main")
    place.add()
    place.say("two")
    place.arrive("two")
