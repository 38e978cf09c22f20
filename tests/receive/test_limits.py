"""What is too much at once is refused in words, and what was there before goes on."""

import http.client
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from gitreceive.config.limits import LimitSettings
from gitreceive.model import QueueLimits
from tests.receive.conftest import Clone, Place


def limited(place: Place, limits: LimitSettings) -> Place:
    place.settings = replace(place.settings, limits=limits)
    place.start()
    return place


@contextmanager
def open_sessions(place: Place, number: int, user: str = "alice") -> Iterator[None]:
    """Commands that run until the context is left."""
    command = ["ssh", *place._options(user), "-p", str(place.port), "git@127.0.0.1", "sleep"]
    with ExitStack() as stack:
        for _ in range(number):
            client = stack.enter_context(
                subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
            )
            stack.callback(client.kill)
            assert client.stdout
            assert client.stdout.readline()
        yield


@pytest.mark.parametrize("limit", [{"connections": 2}, {"address_connections": 2}])
def test_a_connection_too_many_is_told_so_and_the_others_go_on(
    unstarted: Place, limit: dict[str, int]
) -> None:
    place = limited(unstarted, LimitSettings(**limit))
    with open_sessions(place, 2):
        seen = place.ssh()
        assert seen.code == 255
        assert "connections" in seen.err
        assert "try again" in seen.err
    until = time.monotonic() + 20
    while place.ssh().code != 0:
        assert time.monotonic() < until, "the places are not given back"


def test_a_session_too_many_is_told_so_and_other_users_are_served(unstarted: Place) -> None:
    place = limited(unstarted, LimitSettings(user_sessions=2))
    with open_sessions(place, 2):
        seen = place.ssh("whoami")
        assert seen.code == 7
        assert "alice has 2 sessions at once already" in seen.err
        assert "limits.user_sessions" in seen.err
        assert place.ssh(user="bob").code == 0


def test_a_push_to_a_queue_that_is_full_is_refused_and_changes_nothing(
    unstarted: Place, tmp_path: Path
) -> None:
    unstarted.ledger._queue = QueueLimits(of_app=0)
    unstarted.start()
    clone = Clone(unstarted, tmp_path / "clone")
    clone.commit(app_py="print('hello')\n")
    pushed = clone.push()
    assert pushed.code == 1
    assert "shop has 0 builds in the queue already; nothing was changed" in pushed.err
    assert "limits.app_queue" in pushed.err
    assert unstarted.head().is_zero
    assert unstarted.ledger.jobs() == ()


def test_a_request_over_http_too_many_gets_503_and_when_to_come_again(unstarted: Place) -> None:
    place = limited(unstarted, LimitSettings(address_connections=1))
    assert place.http
    with socket.create_connection(("127.0.0.1", place.http.port)):
        second = http.client.HTTPConnection("127.0.0.1", place.http.port, timeout=20)
        second.request("GET", "/healthz")
        answer = second.getresponse()
        assert (answer.status, answer.headers["retry-after"]) == (503, "30")
        assert b"127.0.0.1 has 1 connections already; try again" in answer.read()
        second.close()


def test_a_push_over_http_of_a_user_with_too_many_sessions_is_told_so_by_git(
    unstarted: Place, tmp_path: Path
) -> None:
    unstarted.door = "http"
    place = limited(unstarted, LimitSettings(user_sessions=1))
    clone = Clone(place, tmp_path / "clone")
    clone.commit(app_py="print('hello')\n")
    with open_sessions(place, 1):
        pushed = clone.push()
        assert pushed.code != 0
        assert "alice has 1 sessions at once already" in pushed.err
