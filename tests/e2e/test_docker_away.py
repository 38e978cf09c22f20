"""Docker that is not there: when the server starts, and in the middle of a build. Builds wait for it, and nobody has to push again."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import pytest

from tests.e2e.world import Clone, Server, fetch, wait_until
from tests.faults.kinds import Faults
from tests.faults.ways import docker_behind

pytestmark = [pytest.mark.e2e, pytest.mark.docker]

_PATIENCE = 180.0  # seconds, on a machine that has much else to do
_AWAY_SECONDS = 8.0  # longer than a question to Docker is asked again

Away = Callable[[], AbstractContextManager[str]]


@pytest.fixture
def docker_there(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Away]:
    """Where the server looks for Docker, and what it is there in."""
    folder, host = tmp_path_factory.mktemp("d"), os.environ.get("DOCKER_HOST", "")
    return folder / "docker.sock", lambda: docker_behind(Faults(), host, folder)


@pytest.fixture
def server(make_server: Callable[..., Server], docker_there: tuple[Path, Away]) -> Iterator[Server]:
    with docker_there[1]():
        server = make_server("docker", DOCKER_HOST=f"unix://{docker_there[0]}")
    yield server.start()
    with docker_there[1]():
        server.destroy_apps()
        server.stop()


def _is_told(server: Server, build: int, text: str) -> None:
    log = server.folder / "data" / "logs" / f"{build}.log"
    wait_until(lambda: log.exists() and text in log.read_text(), f"build {build} says {text!r}", _PATIENCE)


def _docker_is_missed(server: Server) -> bool:
    with suppress(OSError):  # no answer in time
        return "docker: not well" in fetch(f"http://127.0.0.1:{server.http_port}/readyz", status=503)
    return False


def test_builds_wait_for_docker_and_go_on_from_where_they_were(
    server: Server, docker_there: tuple[Path, Away]
) -> None:
    wait_until(lambda: _docker_is_missed(server), "the server says that it is not ready", _PATIENCE)

    shop: Clone = server.developer("dora").creates("shop", "procfile-worker")
    push = shop.start_push("-o", "nocache")
    wait_until(shop.builds, "the push is a build", _PATIENCE)
    assert shop.builds()[0]["state"] == "queued"
    with docker_there[1]():
        _is_told(server, 1, "Detected")
    time.sleep(_AWAY_SECONDS)
    _is_told(server, 1, "waiting for it, at most 5 minutes")
    with docker_there[1]():
        _, said = push.communicate(timeout=_PATIENCE)
        assert push.returncode == 0, said
        assert "It is back; build 1 goes on from" in said
        assert shop.remote_head() == shop.head
