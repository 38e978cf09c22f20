"""Whether the parts that the server stands on answer."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.applications import Starlette

from gitreceive.background.readiness import Finding, Readiness
from gitreceive.background.readings import questions, room
from gitreceive.config import Settings
from gitreceive.errors import UnavailableError
from gitreceive.model import Check
from gitreceive.web import health
from tests.asking import ask
from tests.platform import World


class Part:
    """``asked`` counts; while ``held`` is not set, nobody gets an answer."""

    def __init__(self, *checks: Check) -> None:
        self.checks = checks
        self.asked = 0
        self.held = threading.Event()
        self.held.set()

    def __call__(self) -> Iterator[Check]:
        self.asked += 1
        self.held.wait()
        yield from self.checks


def test_the_first_finding_of_each_part_counts_and_no_more_is_asked() -> None:
    def registry() -> Iterator[Check]:
        yield Check("registry answers", ok=True, seen="127.0.0.1:5000")
        raise AssertionError("nobody wanted to know")

    readiness = Readiness({"registry": registry, "docker": Part(Check("docker", ok=False, seen="refused"))})
    assert readiness.findings() == (
        Finding("registry", ok=True, seen="127.0.0.1:5000"),
        Finding("docker", ok=False, seen="refused"),
    )


def test_what_was_found_does_for_a_while_however_often_somebody_asks() -> None:
    part = Part(Check("ledger", ok=True, seen="ledger.db"))
    kept = Readiness({"ledger": part}, fresh=3600)
    assert [kept.findings() for _ in range(50)] == [(Finding("ledger", ok=True, seen="ledger.db"),)] * 50
    assert part.asked == 1
    asked_anew = Readiness({"ledger": part}, fresh=0)
    asked_anew.findings()
    asked_anew.findings()
    assert part.asked == 3


def test_a_part_that_does_not_answer_is_a_finding_and_is_not_asked_again_before_it_has() -> None:
    part = Part(Check("cluster", ok=True, seen="v1.31"))
    part.held.clear()
    readiness = Readiness({"cluster": part}, fresh=0, patience=0.05)
    for _ in range(3):
        assert readiness.findings() == (Finding("cluster", ok=False, seen="no answer within 0.05 s"),)
    assert part.asked == 1
    part.held.set()
    patient = Readiness({"cluster": part}, patience=60)
    assert patient.findings() == (Finding("cluster", ok=True, seen="v1.31"),)


def test_who_asks_after_a_part_that_is_late_does_not_wait_for_it_again() -> None:
    """Were each to wait as long as the first, this would take an hour."""
    part = Part()
    part.held.clear()
    readiness = Readiness({"cluster": part}, patience=0.2)
    assert [readiness.findings()[0].ok for _ in range(18_000)] == [False] * 18_000
    part.held.set()


def test_a_part_whose_question_fails_is_not_well() -> None:
    def ledger() -> Iterator[Check]:
        raise UnavailableError("the ledger does not answer")
        yield

    def docker() -> Iterator[Check]:
        raise KeyError("Version")
        yield

    found = Readiness({"ledger": ledger, "docker": docker}).findings()
    assert [(finding.ok, finding.seen) for finding in found] == [
        (False, "the ledger does not answer"),
        (False, "KeyError: 'Version'"),
    ]


def test_there_is_room_where_the_largest_push_has_room(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    small = replace(settings, policy=replace(settings.policy, max_push_bytes=1))
    large = replace(settings, policy=replace(settings.policy, max_push_bytes=1 << 62))
    assert [check.ok for check in room(small)] == [True]
    assert [(check.ok, "policy.max_push_bytes" in check.fix) for check in room(large)] == [(False, True)]
    gone = replace(settings, data_dir=tmp_path / "gone")
    assert [(check.ok, "No such file" in check.seen) for check in room(gone)] == [(False, True)]


@pytest.mark.parametrize(("target", "last"), [("docker", "registry"), ("kubernetes", "cluster")])
def test_what_a_push_needs_is_asked(target: str, last: str) -> None:
    asked = questions(replace(Settings(), target=target), World().platform)
    assert list(asked)[:3] == ["ledger", "disk", "docker"]
    assert list(asked)[-1] == last


@pytest.mark.parametrize("in_full", [False, True])
def test_the_world_is_told_which_part_is_not_well_and_only_the_operator_why(in_full: bool) -> None:
    found = [
        Finding("ledger", ok=True, seen="/srv/ledger.db"),
        Finding("docker", ok=False, seen="at\n10.0.0.7"),
    ]
    app = Starlette(routes=list(health.routes(lambda: found, in_full=in_full)))
    status, _, body = ask(app, "/readyz")
    assert status == 503
    assert body == (
        "ledger: ok (/srv/ledger.db)\ndocker: not well (at 10.0.0.7)\n"
        if in_full
        else "ledger: ok\ndocker: not well\n"
    )
    found.pop()
    assert ask(app, "/readyz")[0] == 200
    assert ask(app, "/healthz")[2] == "ok\n"
