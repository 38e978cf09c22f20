"""A build's container whose engine goes away before it could be removed."""

from typing import Any, cast

import docker
import requests

from gitreceive.config import BuildSettings
from gitreceive.engines.docker_builder.container import BuildContainer, Spec
from gitreceive.ports import LentNetwork


class _Engine:
    """Knows one container; nothing reaches it while it is ``away``."""

    def __init__(self) -> None:
        self.away = True
        self.removed: list[str] = []

    def create_host_config(self, **_: object) -> dict[str, object]:
        return {}

    def create_container(self, *_: object, **__: object) -> dict[str, str]:
        return {"Id": "c1"}

    def remove_container(self, container: str, **_: object) -> None:
        if self.away:
            raise requests.ConnectionError("Connection refused")
        self.removed.append(container)


class _Network:
    mode = "none"

    def __init__(self) -> None:
        self.given_back = 0

    def give_back(self) -> None:
        self.given_back += 1


def test_what_an_engine_that_is_away_keeps_is_removed_once_it_is_back_and_its_network_is_free_only_then() -> (
    None
):
    engine, network = _Engine(), _Network()
    spec = Spec("image", "build", {}, "cache")
    container = BuildContainer(
        cast("docker.APIClient", engine), BuildSettings(), spec, cast("LentNetwork", network), _ignore
    )
    container.__exit__(None, None, None)
    assert not container.gone()
    assert (engine.removed, network.given_back) == ([], 0)

    engine.away = False
    assert container.gone()
    assert container.gone()
    assert (engine.removed, network.given_back) == (["c1"], 1)


def _ignore(_: bytes) -> Any: ...
