"""Fixtures of the builder's tests: a stack, a Docker client, builders that clean up after themselves."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import docker
import docker.utils
import pytest

from gitreceive.config import BuildSettings, process_environment
from gitreceive.engines.docker_builder import DockerBuilder
from gitreceive.model import AppName
from tests.engines.builder.case import Make


@pytest.fixture
def client() -> Iterator[docker.APIClient]:
    options = docker.utils.kwargs_from_env(environment=process_environment())
    with contextlib.closing(docker.APIClient(version="auto", **options)) as client:
        yield client


@pytest.fixture
def make(tmp_path: Path, client: docker.APIClient) -> Iterator[Make]:
    """A builder over the buildpacks in ``tmp_path / "packs"``."""
    (tmp_path / "packs").mkdir()
    made: list[DockerBuilder] = []

    def builder(**settings: object) -> DockerBuilder:
        settings.setdefault("network", "none")
        values = BuildSettings(buildpacks=str(tmp_path / "packs"), **settings)  # type: ignore[arg-type]
        made.append(DockerBuilder(values, tmp_path / "data"))
        return made[-1]

    yield builder
    for one in made:
        one.sweep()
        one.forget(AppName("shop"))
        for image in client.images(filters={"label": f"gitreceive.builder={one.owner}"}):
            client.remove_image(image["Id"], force=True)
        one.close()


@pytest.fixture
def packs(tmp_path: Path, make: Make) -> Path:
    return tmp_path / "packs"
