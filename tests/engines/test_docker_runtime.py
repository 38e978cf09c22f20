"""The OCI runtime that apps run in, where the setting names one: without an engine."""

from collections.abc import Mapping
from typing import Any

import pytest

from gitreceive.config import DockerSettings
from gitreceive.engines.docker_target.containers import Place, service
from gitreceive.engines.docker_target.diagnosis import check
from gitreceive.engines.docker_target.engine import Engine
from tests.test_manifests import WEB, a_release


class _Answering(Engine):
    """An engine that has two runtimes."""

    def __init__(self) -> None:
        super().__init__(lambda: None)

    def version(self) -> Mapping[str, Any]:
        return {"Version": "28.0", "ApiVersion": "1.48"}

    def info(self) -> Mapping[str, Any]:
        return {"MemoryLimit": True, "Runtimes": {"runc": {}, "runsc": {}}}


def _host_config(settings: DockerSettings) -> dict[str, Any]:
    made = service(
        a_release(), Place(3, "web", 1), WEB, owned_by="x", host_port=8100, user="1000", settings=settings
    )
    found: dict[str, Any] = made["HostConfig"]
    return found


def test_apps_run_in_the_runtime_that_is_set() -> None:
    assert _host_config(DockerSettings(runtime="runsc"))["Runtime"] == "runsc"
    assert "Runtime" not in _host_config(DockerSettings())


@pytest.mark.parametrize(("name", "found"), [("runsc", [True]), ("kata", [False]), ("", [])])
def test_doctor_says_whether_docker_has_it(name: str, found: list[bool]) -> None:
    checks = [
        one for one in check(_Answering(), DockerSettings(runtime=name)) if one.name == "docker.runtime"
    ]
    assert [one.ok for one in checks] == found
    for one in checks:
        assert one.ok or ("kata" in one.seen and "runc, runsc" in one.fix)
