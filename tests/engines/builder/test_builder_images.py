"""Which builder images are kept, and what goes into one."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gitreceive.buildpacks.gather import Gathered
from gitreceive.engines.docker_builder.builder_image import Recipe, outdated, recipe
from gitreceive.errors import DetectError
from gitreceive.lifecycle.folder import Buildpack, load
from gitreceive.model import Digest, ImageRef, Stack
from tests.engines.builder.case import write_buildpack, write_order

BUILD, OLDER = (ImageRef("r/build", Digest("sha256:" + one * 64)) for one in "ab")
STACK = Stack("bookworm", BUILD, BUILD, 0, 0, {}, datetime.now(UTC))


def _image(name: str, *, base: ImageRef = BUILD, extra: bool = False, created: int = 0) -> dict[str, Any]:
    labels = {"gitreceive.builder.base": str(base), "gitreceive.builder.extra": "yes" if extra else ""}
    return {"Id": name, "Labels": labels, "Created": created}


def _gone(images: Sequence[Mapping[str, Any]], *, extra: bool) -> list[str]:
    return [image["Id"] for image in outdated(images, Recipe(STACK, (), "a:b", extra))]


def test_a_new_image_takes_the_place_of_the_one_before_and_leaves_those_of_apps() -> None:
    assert _gone([_image("plain"), _image("extra", extra=True)], extra=False) == ["plain"]
    assert _gone([_image("plain"), _image("extra", extra=True)], extra=True) == []


def test_images_on_another_stack_image_go() -> None:
    old = [_image("plain", base=OLDER), _image("extra", base=OLDER, extra=True), {"Id": "unlabelled"}]
    assert _gone(old, extra=True) == ["plain", "extra", "unlabelled"]


def test_the_newest_images_of_apps_are_kept() -> None:
    images = [_image(str(age), extra=True, created=100 - age) for age in range(25)]
    assert _gone(images, extra=True) == [str(age) for age in range(19, 25)]
    assert _gone(images, extra=False) == [str(age) for age in range(20, 25)]


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    folder = tmp_path / "packs"
    folder.mkdir()
    write_buildpack(folder, "one", build="true")
    write_order(folder, ("one",))
    return folder


def _recipe(packs: Path, *extra: Buildpack) -> Recipe:
    folder = load(packs)
    return recipe(STACK, Gathered(folder, folder.order, extra), packs)


def test_an_image_is_named_by_all_that_is_in_it(packs: Path) -> None:
    first = _recipe(packs)
    assert _recipe(packs).tag == first.tag
    program = packs / "one" / "bin" / "build"
    program.write_text("#!/bin/sh\necho other\n")
    changed = _recipe(packs)
    program.chmod(0o644)
    assert len({first.tag, changed.tag, _recipe(packs).tag}) == 3


def test_a_chosen_buildpack_brings_no_file_of_the_server(packs: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the server")
    (packs / "one" / "inner").symlink_to("bin/build")
    (chosen,) = load(packs).buildpacks["test/one"]
    names = {file.name for file in _recipe(packs, chosen).files}
    assert "cnb/buildpacks/test_one/1.0/inner" in names
    assert (_recipe(packs).compiled, _recipe(packs, chosen).compiled) == (
        ("/cnb/buildpacks/test_one/1.0",),
        (),
    )
    (packs / "one" / "outer").symlink_to(tmp_path / "secret")
    with pytest.raises(DetectError, match="outer is a link that leads out of it"):
        _recipe(packs, chosen)
