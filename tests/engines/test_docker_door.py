"""The docker target's door for all apps, with a real engine behind it."""

import http.client
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gitreceive.model import AppSettings, Domain, ImageRef, Routing
from tests.e2e.requests import Requests
from tests.engines.images import python_image
from tests.engines.test_docker_target import Ground

pytestmark = pytest.mark.docker

PORT = 18099


@pytest.fixture(scope="module")
def image() -> Iterator[ImageRef]:
    with python_image() as ref:
        yield ref


@pytest.fixture
def ground(image: ImageRef, tmp_path: Path) -> Iterator[Ground]:
    made = Ground(image, tmp_path, http_listen=f"127.0.0.1:{PORT}")
    yield made
    made.target.destroy(made.app)
    made.target.stop()


def ask(host: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
    try:
        connection.request("GET", "/", headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_no_request_by_a_host_fails_while_releases_replace_each_other(ground: Ground) -> None:
    at_home = AppSettings(routing=Routing((Domain("door.test"),)))
    ground.roll_out(replace(ground.release(1), settings=at_home))
    assert ground.target.url(ground.app) == f"http://door.test:{PORT}"
    with Requests(f"http://127.0.0.1:{PORT}/", host="door.test") as requests:
        for number in (2, 3):
            ground.roll_out(replace(ground.release(number), settings=at_home))
            requests.until(lambda seen, label=f"v{number} hello-canary": label in seen)  # type: ignore[misc]
    assert requests.failures == []

    first = ground.target.processes(ground.app)
    ground.roll_out(ground.release(3))
    assert ask("door.test")[0] == 404
    assert {each.instance for each in ground.target.processes(ground.app)} <= {
        each.instance for each in first
    }
    ground.target.put_back(ground.release(3), None, ground.log)
    assert ask("door.test")[0] == 404
