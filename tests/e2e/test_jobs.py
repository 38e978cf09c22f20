"""Jobs belong to the server: detaching, attaching, canceling, waiting, and a server that is killed."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.world import Clone, Developer, Server, running, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.docker]


def _dockerfile(app: str, pause: str = "sleep 0.5") -> str:
    """A build that says something each half second. It names the app, so that no cache has run it before."""
    return f"""
ARG GITRECEIVE_RUN_IMAGE
FROM ${{GITRECEIVE_RUN_IMAGE}}
COPY serve.py /app/
USER 1000
RUN : {app}; for i in 1 2 3 4 5 6 7 8 9 10; do echo tick $i; {pause}; done
CMD ["python3", "/app/serve.py"]
"""


@pytest.fixture
def dora(docker_server: Server) -> Developer:
    return docker_server.developer("dora")


@pytest.fixture
def slow(dora: Developer, app_name: str) -> Iterator[Clone]:
    yield from _slow_app(dora, app_name)


def _slow_app(owner: Developer, app_name: str) -> Iterator[Clone]:
    clone = owner.creates(app_name, "dockerfile")
    clone.commit("Take time", {"Dockerfile": _dockerfile(app_name)})
    yield clone
    owner.server.cli("builds", "cancel", "--app", app_name)
    wait_until(lambda: all(_ended(build) for build in clone.builds()), "all builds have ended")


def _ended(build: dict[str, object]) -> bool:
    return build["state"] in {"live", "failed", "canceled"}


def _building(clone: Clone) -> bool:
    builds = clone.builds()
    return bool(builds) and "tick 1" in clone.owner.ssh("builds", "log", str(builds[0]["build"])).out


def test_ctrl_c_detaches_and_attach_tells_the_whole_log(slow: Clone) -> None:
    push = slow.start_push()
    wait_until(lambda: _building(slow), "the build is under way")
    push.send_signal(signal.SIGINT)
    push.communicate(timeout=10)

    build = str(slow.builds()[0]["build"])
    attached = slow.owner.ssh("builds", "attach", build).ok()

    attached.says("tick 1", "tick 10", "v1 is live")
    assert [
        line
        for line in attached.out.splitlines()
        if "tick" in line and "RUN" not in line and "echo" not in line
    ] == [f"       tick {i}" for i in range(1, 11)]
    assert attached.out == slow.owner.ssh("builds", "log", build).ok().out
    half = len(attached.out.encode()) // 2
    rest = slow.owner.ssh("builds", "attach", build, "--offset", str(half)).ok()
    assert rest.out.encode() == attached.out.encode()[half:]
    assert slow.remote_head() == slow.head


def test_cancel_stops_a_build_within_seconds_and_frees_the_app(slow: Clone) -> None:
    push = slow.start_push()
    wait_until(lambda: _building(slow), "the build is under way")
    began = time.monotonic()
    slow.owner.ssh("builds", "cancel", "--app", slow.app).ok()
    _, said = push.communicate(timeout=30)
    took = time.monotonic() - began

    assert push.returncode != 0
    assert "canceled by dora" in said
    assert took < 5
    assert slow.remote_head() == ""
    slow.commit("Be quick", {"Dockerfile": _dockerfile(slow.app, "true")})
    slow.push().ok().says("v1 is live")


def test_a_second_push_waits_its_turn_and_says_behind_what(slow: Clone) -> None:
    first = slow.start_push()
    wait_until(lambda: _building(slow), "the build is under way")
    number = slow.builds()[0]["build"]
    slow.commit("Be quick", {"Dockerfile": _dockerfile(slow.app, "true")})
    second = slow.push().ok()
    _, said = first.communicate(timeout=60)

    assert first.returncode == 0, said
    second.says(f"build {number}", "dora", "v2 is live")
    assert slow.remote_head() == slow.head


def test_a_killed_server_takes_its_jobs_up_again(make_server: Callable[..., Server], app_name: str) -> None:
    with (
        running(make_server("docker")) as server,
        contextmanager(_slow_app)(server.developer("erin"), app_name) as clone,
    ):
        push = clone.start_push()
        wait_until(lambda: _building(clone), "the build is under way")
        server.stop(signal.SIGKILL)
        push.communicate(timeout=30)
        assert push.returncode != 0

        server.start()
        build = str(clone.builds()[0]["build"])
        clone.owner.ssh("builds", "attach", build).ok().says("restarted", "v1 is live")
        assert clone.remote_head() == clone.head
        assert len(clone.builds()) == 1
        assert "Hello" in clone.get()
