"""A registry that wants a login: the server pushes with its own credentials, and the target pulls with them."""

import base64
import json
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.world import Server, running
from tests.engines.real_registry import docker_registry

pytestmark = [pytest.mark.e2e, pytest.mark.registry]

_USER, _PASSWORD = "pusher", secrets.token_urlsafe(16)


@pytest.fixture(scope="module")
def private_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    hashed = subprocess.run(
        ["perl", "-e", "print crypt($ARGV[0], q($2b$05$abcdefghijklmnopqrstuu))", _PASSWORD],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    with docker_registry(tmp_path_factory.mktemp("private"), f"{_USER}:{hashed}\n") as address:
        yield address


@pytest.fixture(
    params=[
        pytest.param("docker", marks=pytest.mark.docker),
        pytest.param("kubernetes", marks=pytest.mark.kubernetes),
    ]
)
def private_server(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    private_registry: str,
    make_server: Callable[..., Server],
) -> Iterator[Server]:
    login = base64.b64encode(f"{_USER}:{_PASSWORD}".encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {private_registry: {"auth": login}}}))
    settings = {"GITRECEIVE_REGISTRY": private_registry, "DOCKER_CONFIG": str(tmp_path)}
    with running(make_server(request.param, **settings)) as server:
        yield server


def test_an_image_in_a_private_registry_is_pushed_and_pulled(private_server: Server, app_name: str) -> None:
    shop = private_server.developer("ada").creates(app_name, "procfile-worker")
    push = shop.push().ok()
    push.says("is live")
    push.does_not_say(_PASSWORD)
    assert "version 1" in shop.get()
    assert _PASSWORD not in private_server.log.read_text()


def test_without_credentials_the_push_is_rejected_and_says_what_to_do(
    tmp_path: Path, private_registry: str, make_server: Callable[..., Server], app_name: str
) -> None:
    (tmp_path / "config.json").write_text("{}")
    server = make_server("docker", DOCKER_CONFIG=str(tmp_path))
    server.settings = {**server.settings, "GITRECEIVE_REGISTRY": private_registry}
    with running(server):
        server.cli("doctor").failed().says("FAIL  registry", "docker login")
        shop = server.developer("ada").creates(app_name, "procfile-worker")
        shop.push().failed().says("docker login", "! [remote rejected]", private_registry)
        assert shop.remote_head() == ""
