"""What is kept for all apps and was not used for long: fetched buildpacks, images with system packages."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.config import BuildSettings
from gitreceive.engines.buildpackages import Kept
from gitreceive.engines.buildpackages.kept import BUILDPACKS
from gitreceive.engines.stacks import DerivedStacks
from gitreceive.model import Build, Digest
from gitreceive.ports import Shelf
from gitreceive.voice import Voice
from tests.fake_registry import FakeRegistry

DAY = 86400.0
DIGEST = Digest(f"sha256:{'a' * 64}")


def old(path: Path, days: float = 40) -> None:
    moment = time.time() - days * DAY
    os.utime(path, (moment, moment))


def fetched(folder: Path) -> tuple[Shelf, Path, Callable[[], object]]:
    kept = Kept(folder / "buildpacks")
    with kept.making() as new:
        (new / BUILDPACKS).mkdir()
        (new / BUILDPACKS / "file").write_bytes(b"x" * 1000)
        kept.keep(DIGEST, new, "x/a", "1")
    return kept, folder / "buildpacks" / ("a" * 64), lambda: kept.find(DIGEST)


def derived(folder: Path) -> tuple[Shelf, Path, Callable[[], object]]:
    registry = FakeRegistry()
    stacks = DerivedStacks(BuildSettings(), folder, registry)
    image = registry.publish(
        Build((), (), None, None, (), {}), "stacks/a-run", Voice(lambda _: None), Cancellation()
    )
    record = folder / "system-packages" / "abc.json"
    record.parent.mkdir()
    record.write_text(json.dumps({"image": str(image), "installed": [], "added_bytes": 7}))

    def use() -> object:
        return image in registry.images or None

    return stacks, record, use


@pytest.fixture(params=[fetched, derived])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Shelf, Path, Callable[[], object]]:
    made: tuple[Shelf, Path, Callable[[], object]] = request.param(tmp_path)
    return made


def test_what_is_used_stays_and_what_is_not_goes(shelf: tuple[Shelf, Path, Callable[[], object]]) -> None:
    on, path, found = shelf
    assert on.unused(30 * DAY) == {}
    old(path)
    assert list(on.unused(30 * DAY)) == [path.stem]
    assert on.drop(path.stem, 30 * DAY)
    assert on.unused(30 * DAY) == {}
    assert found() is None
    assert not path.exists()


def test_what_was_used_between_the_look_and_the_removal_stays(
    shelf: tuple[Shelf, Path, Callable[[], object]],
) -> None:
    on, path, found = shelf
    old(path)
    (name,) = on.unused(30 * DAY)
    old(path, days=0)
    assert not on.drop(name, 30 * DAY)
    assert found() is not None


def test_finding_a_buildpack_is_using_it(tmp_path: Path) -> None:
    kept, path, find = fetched(tmp_path)
    old(path)
    assert kept.unused(30 * DAY)[path.name] > 1000
    find()
    assert kept.unused(30 * DAY) == {}
    assert not kept.drop("b" * 64, 30 * DAY)
    assert not kept.drop(path.name, 30 * DAY)
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_where_there_is_nothing_nothing_is_unused(tmp_path: Path) -> None:
    assert Kept(tmp_path / "none").unused(1) == {}
    assert DerivedStacks(BuildSettings(), tmp_path, FakeRegistry()).unused(1) == {}
