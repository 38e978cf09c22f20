"""What an engine is asked for volumes, without one."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from gitreceive.engines.docker_target import volumes
from gitreceive.engines.docker_target.engine import Engine
from gitreceive.errors import RolloutError
from gitreceive.model import AppName, AppSettings, Release, Runtime, Volume, VolumeStatus
from tests.test_manifests import WEB, WORKER, a_release

SHOP = AppName("shop")


class _Engine:
    """Volumes by name, and what is done to folders. ``owner``: whose they are."""

    def __init__(self, owner: int = 0) -> None:
        self.owner = owner
        self.there: dict[str, Mapping[str, str]] = {}
        self.made: list[tuple[Any, ...]] = []

    def create_volume(self, name: str, labels: Mapping[str, str]) -> None:
        self.there.setdefault(name, labels)

    def remove_volume(self, name: str) -> None:
        del self.there[name]

    def volumes(self, labels: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
        return [
            {"Name": name, "Labels": has, "UsageData": {"Size": len(name) if "uploads" in name else -1}}
            for name, has in self.there.items()
            if all(has.get(key) == value or (not value and key in has) for key, value in labels.items())
        ]

    def folder_owner(self, _container: str, _folder: str) -> int:
        return self.owner

    def make_folder(self, *words: Any) -> None:
        self.made.append(words)

    @property
    def engine(self) -> Engine:
        return cast("Engine", self)


@pytest.fixture
def release() -> Release:
    mounted = {"uploads": Volume("/data"), "index": Volume("/srv/index", ("worker",))}
    return a_release(settings=AppSettings(runtime=Runtime(volumes=mounted)))


def test_a_process_s_volumes_are_made_once_and_told_from_others(release: Release) -> None:
    engine = _Engine()
    for _ in range(2):
        volumes.make(engine.engine, release, WEB, "0123")
    assert list(engine.there) == ["gitreceive.0123.shop.volume.uploads"]
    volumes.make(engine.engine, release, WORKER, "0123")
    volumes.make(engine.engine, release, WEB, "another-server")
    assert volumes.statuses(engine.engine, "0123", SHOP) == (
        VolumeStatus("index", "", None, "there"),
        VolumeStatus("uploads", "", len("gitreceive.0123.shop.volume.uploads"), "there"),
    )
    assert volumes.remove(engine.engine, "0123", SHOP, "uploads")
    assert not volumes.remove(engine.engine, "0123", SHOP, "uploads")
    volumes.remove_all(engine.engine, "0123", SHOP)
    assert list(engine.there) == ["gitreceive.another-server.shop.volume.uploads"]
    assert volumes.statuses(engine.engine, "0123", AppName("other")) == ()


@pytest.mark.parametrize(
    ("user", "owner", "made"),
    [
        ("1000:1000", 0, [("c1", "/data", 1000, 1000)]),
        ("1234", 0, [("c1", "/data", 1234, 0)]),
        ("1000:1000", 1000, []),
        ("somebody", 1000, []),
    ],
)
def test_what_is_root_s_is_given_to_the_app_s_user(
    release: Release, user: str, owner: int, made: list[tuple[Any, ...]]
) -> None:
    engine = _Engine(owner)
    volumes.hand_over(engine.engine, "c1", release, WEB, user)
    assert engine.made == made


def test_a_user_by_name_cannot_be_given_a_volume(release: Release) -> None:
    with pytest.raises(RolloutError, match="volume uploads cannot be given to 'somebody'") as error:
        volumes.hand_over(_Engine().engine, "c1", release, WEB, "somebody")
    assert "USER 1000" in error.value.hint
