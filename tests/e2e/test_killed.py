"""A server that is killed at steps of a job, and one that is told to end: the next one goes on, and each push is live once, or ends with a reason.

``scripts/chaos --points`` does the same at every point there is.
"""

import signal
from collections.abc import Callable, Iterator

import pytest

from scripts.survival.invariants import complaints
from scripts.survival.looking import look, states
from tests.crash_points import POINTS
from tests.e2e.world import Clone, Server, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.docker]

_PATIENCE = 180.0  # seconds, on a machine that has much else to do
_IN_QUARANTINE, _ASKED_FOR = "ledger.reviews begins", "ledger.enqueue done"
_TO_LIVE = (
    "builder.build done",
    "registry.publish done",
    "target.run_once release speaks",
    "target.roll_out done",
    "sources.move done",
)
_TO_FAILED = ("target.put_back begins", "ledger.end begins")
_PROCFILE = "web: python serve.py\nrelease: python prepare_release.py\n"
_SERVE = """\
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["GITRECEIVE_COMMIT"].encode() + b"\\n")


if {broken}:
    sys.exit("it does not start")
HTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"""

_SLOW = """\
import time

for step in range(5):
    print("step", step, flush=True)
    time.sleep(0.8)
"""


@pytest.fixture(scope="module")
def server(make_server: Callable[..., Server]) -> Iterator[Server]:
    """One that dies where it is told to."""
    server = make_server("docker")
    server.program = ("-m", "tests.crash_points")
    server.start()
    yield server
    _start(server)
    server.destroy_apps()
    server.stop()


@pytest.fixture(scope="module")
def shop(server: Server) -> Clone:
    clone = server.developer("dora").creates("shop", "procfile-worker")
    clone.commit("One process", {"Procfile": _PROCFILE, "serve.py": _SERVE.format(broken=False)})
    return clone


def _start(server: Server, crash_at: str = "") -> None:
    if server.process is not None and server.process.poll() is None:
        assert server.stop() == 0
    server.settings = {**server.settings, "GITRECEIVE_TEST_CRASH_AT": crash_at}
    server.start(may_die=bool(crash_at))


def _dies(server: Server, point: str) -> None:
    process = server.process
    assert process is not None
    wait_until(lambda: process.poll() is not None, f"it dies at {point!r}", _PATIENCE)
    assert process.returncode == -signal.SIGKILL


def _dies_at_each(server: Server, shop: Clone, points: tuple[str, ...]) -> None:
    """One push, and a server after the other that takes it a step further. The last one stays."""
    _start(server, points[0])
    push = shop.start_push()
    for point, following in zip(points, (*points[1:], ""), strict=True):
        _dies(server, point)
        _start(server, following)
    push.communicate(timeout=30)
    assert push.returncode != 0
    wait_until(lambda: not states(server), "the build ends", _PATIENCE)


def _nothing_is_lost(server: Server, accepted: dict[str, frozenset[str]] | None = None) -> None:
    server.cli("gc").ok()
    found: tuple[str, ...] = ()

    def whole() -> bool:
        nonlocal found
        found = complaints(look(server, accepted or {}, frozenset()))
        return not found

    wait_until(lambda: whole() or None, "nothing is lost, and nothing left behind", _PATIENCE)


def test_the_points_are_some_of_those_that_there_are() -> None:
    assert {_IN_QUARANTINE, _ASKED_FOR, *_TO_LIVE, *_TO_FAILED} <= set(POINTS)


def test_a_push_that_is_cut_before_it_is_a_build_changed_nothing(server: Server, shop: Clone) -> None:
    _start(server, _IN_QUARANTINE)
    shop.push().failed()
    _dies(server, _IN_QUARANTINE)
    _start(server)
    assert not list(server.folder.glob("data/repos/*.git/objects/*incoming-*"))
    assert (shop.builds(), shop.remote_head()) == ([], "")


def test_a_push_is_live_once_though_a_server_dies_at_each_step_of_it(server: Server, shop: Clone) -> None:
    _dies_at_each(server, shop, (_ASKED_FOR, *_TO_LIVE))
    (build,) = shop.builds()
    assert (build["state"], build["release"], shop.remote_head()) == ("live", 1, shop.head)
    assert shop.get() == f"{shop.head}\n"
    _nothing_is_lost(server)


def test_a_push_that_fails_does_so_once_though_a_server_dies_while_it_puts_back(
    server: Server, shop: Clone
) -> None:
    live = shop.head
    shop.commit("Break it", {"serve.py": _SERVE.format(broken=True)})
    _dies_at_each(server, shop, _TO_FAILED)
    assert [build["state"] for build in shop.builds()] == ["failed", "live"]
    assert "crashed" in str(shop.builds()[0]["reason"])
    assert (shop.remote_head(), shop.get()) == (live, f"{live}\n")
    _nothing_is_lost(server)


def test_a_server_that_is_told_to_end_hands_its_job_over_to_the_next(server: Server, shop: Clone) -> None:
    files = {"serve.py": _SERVE.format(broken=False), "prepare_release.py": _SLOW}
    shop.commit("Mend it, and take time", files)
    push = shop.start_push()
    assert push.stderr is not None
    assert any("step 1" in line for line in push.stderr), "the release command does not run"
    assert server.stop() == 0
    _, said = push.communicate(timeout=30)
    assert push.returncode != 0

    server.start()
    build = str(shop.builds()[0]["build"])
    assert f"build {build} goes on when it is back" in said
    assert f"builds attach {build}" in said
    attached = shop.owner.ssh("builds", "attach", build).ok()
    attached.says("restarted", "step 1", "step 4", "v2 is live")
    assert (shop.remote_head(), shop.get()) == (shop.head, f"{shop.head}\n")
    _nothing_is_lost(server, {shop.app: frozenset({shop.head})})
